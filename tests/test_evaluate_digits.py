"""The scoring command from end to end."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import data
import evaluate_digits
from config import CLASSIFIER, EvaluateSettings
from helpers import one_line, roots
from machine import files
from readers import read_npz
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
    printed = capsys.readouterr().out
    assert "generator.npz, epoch 2" in printed
    report = json.loads((copied_run / "checkpoints" / "small" / "scores.json").read_text())
    assert report["num_samples"] == 2000 and report["run"] == "small" and report["seed"] == 0
    checksum = files.checksum_path(Path(CLASSIFIER)).read_text().split()[0]
    assert report["classifier"] == checksum
    for key, label, _ in evaluate_digits.ROWS:
        assert label in printed
        for column in ("scores", "real_data"):
            assert np.isfinite(report[column][key]).all()
    scores, baseline = report["scores"], report["real_data"]
    # Two epochs of 40 digits draw nothing that could be taken for a digit.
    assert scores["fid_test"] > 20 * baseline["fid_test"]
    assert scores["coverage"] < 0.1 < 0.8 < baseline["coverage"]
    codes = report["codes"]
    assert len(codes["digits"]) == len(codes["shares"]) == 32
    assert codes["mean_purity"] == pytest.approx(np.mean(codes["shares"]), abs=1e-3)
    for name in ("densest", "sparsest", "nearest", "codes"):
        picture = images.load_png(copied_run / "samples" / "small" / f"scores-{name}.png")
        assert picture.shape[1] > 200
    assert (copied_run / "samples" / "small" / "scores-shares.png").stat().st_size > 0


def test_a_run_trained_on_other_images_is_named(small_run, real, data_path, capsys):
    folder = small_run / "checkpoints" / "small"
    image_set = evaluate_digits.ImageSet("small", {}, None, folder / "scores.json", "")
    settings = EvaluateSettings(data=str(real))
    for path, is_other in ((data_path, False), (real, True)):
        digest = data.digest(data.load_images(path))
        evaluate_digits.warn_of_other_images(settings, [image_set], digest)
        warned = "small was trained on other images" in capsys.readouterr().err
        assert warned == is_other


@pytest.mark.slow
def test_runs_stand_side_by_side(copied_run, real, capsys):
    runs = copied_run / "checkpoints"
    shutil.copytree(runs / "small", runs / "other")
    assert evaluate(copied_run, real, "--runs", "small", "other", "--num_samples", 2000) == 0
    table = capsys.readouterr().out
    heading = next(line for line in table.splitlines() if "better" in line)
    assert heading.split()[:2] == ["small", "other"]
    assert (runs / "other" / "scores.json").exists()


@pytest.mark.slow
def test_the_best_generator_is_scored_beside_the_latest(copied_run, real, capsys):
    run = copied_run / "checkpoints" / "small"
    shutil.copy(run / "generator.npz", run / "generator-best.npz")
    words = ["--run", "small", "--snapshot", "best", "--num_samples", 2000]
    assert evaluate(copied_run, real, *words) == 0
    assert "generator-best.npz" in capsys.readouterr().out
    assert (run / "scores-best.json").exists()
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


def test_scores_of_folders_with_a_point_in_their_names_are_kept_apart(tmp_path, monkeypatch):
    pixels = np.zeros((2000, 28, 28), np.uint8)
    monkeypatch.setattr(evaluate_digits.data, "load_images", lambda *_: pixels)
    monkeypatch.setattr(evaluate_digits, "check_images", lambda *_: None)
    found = []
    for version in ("v1.0", "v1.1"):
        (tmp_path / version).mkdir()
        settings = EvaluateSettings(images=str(tmp_path / version))
        found.append(evaluate_digits.load_images(settings))
    assert [each.json.name for each in found] == ["v1.0.scores.json", "v1.1.scores.json"]
    assert found[0].pictures == f"{tmp_path}/v1.0." and found[0].name == "v1.0"


def test_the_table_has_a_column_a_run_and_what_is_better():
    value = {"digit_shares": [0.11, 0.05, 0.12], "kid_test": (1.234567, 0.0456)}
    scores = {key: value.get(key, 3.686643) for key, *_ in evaluate_digits.ROWS}
    heading, *lines = evaluate_digits.make_table(
        [("a", scores), ("real images", scores)]
    ).splitlines()
    assert heading.split() == ["a", "real", "images", "better"]
    assert len(lines) == len(evaluate_digits.ROWS)
    row = {line[:40].strip(): line[40:].split() for line in lines}
    assert row["FID to test images"] == ["3.687", "3.687", "lower"]
    assert row["KID to test images"][:3] == ["1.235", "±", "0.046"]
    assert row["share of the rarest digit"][:2] == ["0.050", "(1)"]


BAD = {
    "too few": (dict(images=np.arange(1999 * 784).reshape(1999, 28, 28) % 255), "2,000"),
    "wrong shape": (dict(images=np.zeros((2000, 32, 32))), "(2000, 32, 32)"),
    "wrong type": (dict(images=np.full((2000, 28, 28), np.nan)), "float64"),
    "blank": (dict(images=np.zeros((2000, 28, 28))), "blank"),
    "the same": (dict(images=np.tile(np.arange(784).reshape(28, 28) % 9, (2000, 1, 1))), "same"),
    "two names": (dict(a=np.zeros((2000, 28, 28)), b=np.zeros((2000, 28, 28))), "several"),
    "none": (dict(images=np.zeros((0, 28, 28))), "no images"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_images_are_refused(kind, real, tmp_path, capsys):
    arrays, said = BAD[kind]
    path = tmp_path / "bad.npz"
    if kind != "wrong type":
        arrays = {name: array.astype(np.uint8) for name, array in arrays.items()}
    np.savez(path, **arrays)
    assert evaluate(tmp_path, real, "--images", path) == 2
    assert said in one_line(capsys.readouterr().err)
    assert [*tmp_path.iterdir()] == [path]


def test_other_bad_input_is_refused(small_run, real, tmp_path, capsys):
    (tmp_path / "empty.npz").touch()
    for words, said in [
        (["--images", tmp_path / "empty.npz"], "empty.npz"),
        (["--images", tmp_path / "nowhere.npz"], "nowhere.npz"),
        (["--run", "small", "--runs", "a", "b"], "one of"),
        (["--run", "nobody"], "nobody"),
        (["--runs", "small", "../up"], "--runs"),
        (["--num_samples", "1999"], "2000"),
        (["--data", tmp_path / "empty.npz"], "empty.npz"),
    ]:
        assert evaluate(small_run, real, *words) == 2, words
        assert said in one_line(capsys.readouterr().err)


def test_a_generator_with_weights_that_are_not_finite_is_refused(small_run, real, tmp_path, capsys):
    folder = tmp_path / "checkpoints" / "bad"
    folder.mkdir(parents=True)
    arrays = read_npz(small_run / "checkpoints" / "small" / "generator.npz")
    arrays["dense/kernel"][0, 0] = np.nan
    np.savez(folder / "generator.npz", **arrays)
    assert evaluate(tmp_path, real, "--run", "bad") == 2
    assert "dense/kernel" in one_line(capsys.readouterr().err)
