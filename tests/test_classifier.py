"""The digit classifier that ships, in whose features the scores are computed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cli import UserError
from config import CLASSIFIER, REPOSITORY
from evaluation.classifier import DigitClassifier
from machine import files


def test_the_shipped_classifier_is_as_good_as_the_docs_say(mnist, classifier, test_predictions):
    right = np.argmax(test_predictions.probabilities, 1) == mnist["y_test"]
    assert right.mean() >= 0.995
    page = (REPOSITORY / "docs" / "evaluation.md").read_text()
    assert classifier.sha256 in page and f"{right.mean():.2%}".replace("%", " %") in page


def test_changed_or_missing_weights_are_refused(tmp_path):
    path = tmp_path / "classifier.npz"
    whole = Path(CLASSIFIER).read_bytes()
    shutil.copy(files.checksum_path(Path(CLASSIFIER)), tmp_path)
    for content in (whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], None):
        path.unlink(missing_ok=True)
        if content:
            path.write_bytes(content)
        with pytest.raises(UserError, match=r"is not the file that classifier\.npz\.sha256 names"):
            DigitClassifier(path)
