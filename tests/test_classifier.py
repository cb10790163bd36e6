"""The digit classifier that ships, and the command that trains one."""

import re
import shutil

import files
import numpy as np
import pytest
import scores
from conftest import REPOSITORY, one_line

import train_classifier
from config import CLASSIFIER, UserError


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """An .npz with 300 labelled training digits and 100 test digits."""
    path = tmp_path_factory.mktemp("labelled") / "digits.npz"
    with np.load(REPOSITORY / "assets" / "mnist.npz") as arrays:
        np.savez(
            path,
            **{name: arrays[name][:300] for name in ("x_train", "y_train")},
            **{name: arrays[name][:100] for name in ("x_test", "y_test")},
        )
    return path


def test_the_shipped_classifier_is_as_good_as_the_readme_says(judged):
    with np.load(REPOSITORY / "assets" / "mnist.npz") as arrays:
        right = np.argmax(judged[2].probabilities, 1) == arrays["y_test"]
    assert right.mean() >= 0.995
    readme = (REPOSITORY / "README.md").read_text()
    assert judged[0].sha256 in readme
    assert f"{right.mean():.2%}".replace("%", " %") in readme


def test_the_shipped_weights_are_small():
    assert (REPOSITORY / "assets" / "classifier.npz").stat().st_size < 2_000_000


def test_training_writes_weights_that_scores_can_use(labelled, tmp_path, capsys):
    words = ["--data", str(labelled), "--epochs", "2", "--output"]
    for name in ("one.npz", "again.npz"):
        assert train_classifier.main([*words, str(tmp_path / name)]) == 0
    assert re.search(r"Test accuracy [0-9.]+%", capsys.readouterr().out)
    one, again = (DigitClassifier(tmp_path / name) for name in ("one.npz", "again.npz"))
    assert one.sha256 == again.sha256 != DigitClassifier().sha256
    assert train_classifier.main([*words, str(tmp_path / "b.npz"), "--seed", "1"]) == 0
    assert DigitClassifier(tmp_path / "b.npz").sha256 != one.sha256


def test_changed_or_missing_weights_are_refused(tmp_path):
    path = tmp_path / "classifier.npz"
    with pytest.raises(UserError, match="missing"):
        DigitClassifier(path)
    shutil.copy(CLASSIFIER, path)
    with pytest.raises(UserError, match=r"classifier\.npz\.sha256"):
        DigitClassifier(path)
    shutil.copy(files.checksum_path(REPOSITORY / "assets" / "classifier.npz"), tmp_path)
    DigitClassifier(path)
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not the file"):
        DigitClassifier(path)


def test_bad_labels_and_outputs_are_refused(labelled, tmp_path, capsys):
    arrays = dict(np.load(labelled))
    for change in (
        {"y_train": arrays["y_train"][:-1]},
        {"y_test": arrays["y_test"] + 10},
        {"x_test": arrays["x_test"][:99], "y_test": arrays["y_test"][:99]},
    ):
        np.savez(tmp_path / "bad.npz", **arrays | change)
        words = ["--data", str(tmp_path / "bad.npz"), "--output", str(tmp_path / "c.npz")]
        assert train_classifier.main(words) == 2
        assert next(iter(change)) in one_line(capsys.readouterr().err)
    assert train_classifier.main(["--output", str(tmp_path / "no" / "c.npz")]) == 2
    assert "--output" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "c.npz").exists()


def test_weights_that_are_there_stay(labelled, tmp_path, capsys):
    path = tmp_path / "mine.npz"
    path.write_bytes(b"mine")
    words = ["--data", str(labelled), "--epochs", "1", "--output", str(path)]
    assert train_classifier.main(words) == 2
    assert "--overwrite" in one_line(capsys.readouterr().err)
    assert path.read_bytes() == b"mine"
    assert train_classifier.main([*words, "--overwrite"]) == 0
    DigitClassifier(path)
