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
    with pytest.raises(UserError, match="missing"):
        DigitClassifier(path)
    shutil.copy(CLASSIFIER, path)
    with pytest.raises(UserError, match=r"classifier\.npz\.sha256"):
        DigitClassifier(path)
    shutil.copy(files.checksum_path(Path(CLASSIFIER)), tmp_path)
    DigitClassifier(path)
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not the file"):
        DigitClassifier(path)
