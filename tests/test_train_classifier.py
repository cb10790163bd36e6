"""The command that trains a digit classifier."""

import numpy as np
import pytest

import train_classifier
from evaluation.classifier import DigitClassifier
from helpers import one_line
from readers import read_npz

pytestmark = pytest.mark.slow  # training here makes TensorFlow deterministic for all that follows


@pytest.fixture(scope="module")
def labelled(mnist, tmp_path_factory):
    """An .npz with 300 labelled training digits and 100 test digits."""
    path = tmp_path_factory.mktemp("labelled") / "digits.npz"
    few = {name: mnist[name][:300] for name in ("x_train", "y_train")}
    np.savez(path, **few, **{name: mnist[name][:100] for name in ("x_test", "y_test")})
    return path


def test_training_writes_weights_that_scores_can_use_and_replaces_none(labelled, tmp_path, capsys):
    words = ["--data", str(labelled), "--epochs", "2", "--output"]
    for name in ("one.npz", "again.npz"):
        assert train_classifier.main([*words, str(tmp_path / name)]) == 0
    assert "Test accuracy" in capsys.readouterr().out
    one, again = (DigitClassifier(tmp_path / name) for name in ("one.npz", "again.npz"))
    assert one.sha256 == again.sha256 != DigitClassifier().sha256
    words += [str(tmp_path / "one.npz"), "--seed", "1"]
    assert train_classifier.main(words) == 2
    assert "--overwrite" in one_line(capsys.readouterr().err)
    assert DigitClassifier(tmp_path / "one.npz").sha256 == one.sha256
    assert train_classifier.main([*words, "--overwrite"]) == 0
    assert DigitClassifier(tmp_path / "one.npz").sha256 != one.sha256


def test_bad_labels_and_outputs_are_refused(labelled, tmp_path, capsys):
    arrays = read_npz(labelled)
    for change in (
        {"y_train": arrays["y_train"][:-1]},
        {"y_test": arrays["y_test"] + 10},
    ):
        np.savez(tmp_path / "bad.npz", **arrays | change)
        words = ["--data", str(tmp_path / "bad.npz"), "--output", str(tmp_path / "c.npz")]
        assert train_classifier.main(words) == 2
        assert next(iter(change)) in one_line(capsys.readouterr().err)
    assert train_classifier.main(["--output", str(tmp_path / "no" / "c.npz")]) == 2
    assert "--output" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "c.npz").exists()
