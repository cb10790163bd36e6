"""The digit classifier that ships, in whose features the scores are computed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cli import UserError
from config import CLASSIFIER, REPOSITORY
from evaluation.classifier import DigitClassifier, Predictions
from machine import files


def test_the_shipped_classifier_is_as_good_as_the_readme_says(mnist, classifier, test_predictions):
    right = np.argmax(test_predictions.probabilities, 1) == mnist["y_test"]
    assert right.mean() >= 0.995
    readme = (REPOSITORY / "README.md").read_text()
    assert classifier.sha256 in readme
    assert f"{right.mean():.2%}".replace("%", " %") in readme


def test_the_shipped_weights_are_small():
    assert Path(CLASSIFIER).stat().st_size < 2_000_000


def test_predictions_do_not_depend_on_the_chunk(mnist, classifier):
    pixels = mnist["x_test"][:25]
    whole, chunked = (classifier.predict(pixels, chunk) for chunk in (1000, 10))
    assert whole.features.shape == (25, 64) and whole.probabilities.shape == (25, 10)
    np.testing.assert_array_equal(whole.pixels, pixels)
    for one, other in zip(whole[1:], chunked[1:]):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_some_predictions_are_taken_together_and_seen_as_points():
    pixels = np.arange(3 * 784).reshape(3, 28, 28).astype(np.uint8)
    predictions = Predictions(pixels, np.arange(3.0)[:, None], np.arange(3.0)[:, None])
    some = predictions.take([2, 0])
    np.testing.assert_array_equal(some.points("features"), [[2], [0]])
    points = some.points("pixels")
    assert points.shape == (2, 784) and points.dtype == np.float32
    np.testing.assert_allclose(points[1] * 255, pixels[0].ravel(), rtol=1e-6)


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
