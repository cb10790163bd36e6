"""The scoring command from end to end."""

import json
import shutil

import numpy as np
import pytest

import evaluate_digits
from helpers import one_line, roots
from storage import images


@pytest.fixture(scope="module")
def real(mnist, tmp_path_factory):
    """An .npz with 3,000 training and 2,500 test images, to be quick."""
    path = tmp_path_factory.mktemp("real") / "digits.npz"
    np.savez(path, x_train=mnist["x_train"][:3000], x_test=mnist["x_test"][:2500])
    return path


def evaluate(folder, real, *words):
    """The exit status of the command, in this process."""
    return evaluate_digits.main(["--data", str(real), *roots(folder), *map(str, words)])


def test_a_run_gets_its_table_json_and_pictures(copied_run, real, capsys):
    assert evaluate(copied_run, real, "--run", "small", "--num_samples", 2000) == 0
    printed, warned = capsys.readouterr()
    assert "generator.npz, epoch 2" in printed
    assert "small was trained on images other than" in warned
    report = json.loads((copied_run / "checkpoints" / "small" / "scores.json").read_text())
    assert report["num_samples"] == 2000 and report["run"] == "small" and report["seed"] == 0
    for key, label, _ in evaluate_digits.ROWS:
        assert label in printed
        for column in ("scores", "real_data"):
            assert np.isfinite(report[column][key]).all()
    scores, baseline = report["scores"], report["real_data"]
    # Two epochs of 40 digits draw nothing that could be taken for a digit.
    assert scores["fid_test"] > 20 * baseline["fid_test"]
    assert scores["coverage"] < 0.1 < 0.8 < baseline["coverage"]
    assert len(report["codes"]["digits"]) == 4
    for name in ("densest", "sparsest", "nearest", "codes"):
        picture = images.load_png(copied_run / "samples" / "small" / f"scores-{name}.png")
        assert picture.shape[1] > 200
    assert (copied_run / "samples" / "small" / "scores-shares.png").stat().st_size > 0


@pytest.mark.slow
def test_runs_and_the_best_generator_of_each_stand_side_by_side(copied_run, real, capsys):
    runs = copied_run / "checkpoints"
    shutil.copy(runs / "small" / "generator.npz", runs / "small" / "generator-best.npz")
    shutil.copytree(runs / "small", runs / "other")
    words = ["--runs", "small", "other", "--snapshot", "best", "--num_samples", 2000]
    assert evaluate(copied_run, real, *words) == 0
    table = capsys.readouterr().out
    heading = next(line for line in table.splitlines() if "better" in line)
    assert heading.split()[:2] == ["small", "other"]
    assert "generator-best.npz" in table and (runs / "other" / "scores-best.json").exists()
    assert (copied_run / "samples" / "small" / "scores-best-nearest.png").exists()


@pytest.mark.slow
def test_any_images_are_scored_and_real_ones_score_as_real(real, mnist, tmp_path):
    np.savez(tmp_path / "held_out.npz", images=mnist["x_test"][5000:7500])
    assert evaluate(tmp_path, real, "--images", tmp_path / "held_out.npz") == 0
    report = json.loads((tmp_path / "held_out.scores.json").read_text())
    scores, baseline = report["scores"], report["real_data"]
    assert report["num_samples"] == 2500
    assert scores["fid_training"] < 3 * baseline["fid_training"]
    assert scores["coverage"] > 0.9 * baseline["coverage"]
    assert scores["copying_z_features"] > -3
    assert (tmp_path / "held_out.nearest.png").exists()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.arange(1999 * 784).reshape(1999, 28, 28) % 255, "2,000"),
        (np.zeros((2000, 32, 32)), "(2000, 32, 32)"),
        (np.zeros((2000, 28, 28)), "blank"),
        (np.tile(np.arange(784).reshape(28, 28) % 9, (2000, 1, 1)), "same"),
    ],
)
def test_bad_images_are_refused(array, said, real, tmp_path, capsys):
    path = tmp_path / "bad.npz"
    np.savez(path, images=array.astype(np.uint8))
    assert evaluate(tmp_path, real, "--images", path) == 2
    assert said in one_line(capsys.readouterr().err)
    assert [*tmp_path.iterdir()] == [path]


def test_other_bad_input_is_refused(small_run, real, tmp_path, capsys):
    (tmp_path / "empty.npz").touch()
    for words, said in [
        (["--images", tmp_path / "nowhere.npz"], "nowhere.npz"),
        (["--run", "small", "--runs", "a", "b"], "one of"),
        (["--run", "nobody"], "nobody"),
        (["--num_samples", "1999"], "2000"),
        (["--data", tmp_path / "empty.npz"], "empty.npz"),
    ]:
        assert evaluate(small_run, real, *words) == 2, words
        assert said in one_line(capsys.readouterr().err)
