"""Scoring from end to end: the command, and the scores that a run gets during training."""

import json
import math

import files
import images
import numpy as np
import pytest
import record
import runs
from conftest import REPOSITORY, one_line, read_history, roots, run_script, train

import config
import data
import evaluate_digits
import generate_digits


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """An .npz with 3,000 training and 2,500 test digits, to be quick."""
    path = tmp_path_factory.mktemp("real") / "digits.npz"
    with np.load(REPOSITORY / "assets" / "mnist.npz") as arrays:
        np.savez(path, x_train=arrays["x_train"][:3000], x_test=arrays["x_test"][:2500])
    return path


@pytest.fixture(scope="module")
def scored_run(data_path, tmp_path_factory):
    """A folder in which the run `small` was trained for four epochs and scored at each second."""
    folder = tmp_path_factory.mktemp("scored")
    assert train(folder, data_path, "--epochs", "4", "--evaluate_every", "2") == 0
    return folder


def evaluate(folder, real, *words):
    return evaluate_digits.main(["--data", str(real), *roots(folder), *map(str, words)])


def test_a_run_gets_its_table_json_and_pictures(scored_run, real, capsys):
    assert evaluate(scored_run, real, "--run", "small", "--num_samples", "2000") == 0
    printed = capsys.readouterr().out
    assert "generator.npz, epoch 4" in printed
    report = json.loads((scored_run / "checkpoints" / "small" / "scores.json").read_text())
    assert report["num_samples"] == 2000 and report["run"] == "small" and report["seed"] == 0
    assert (
        report["classifier"]
        == files.checksum_path(config.Path(config.CLASSIFIER)).read_text().split()[0]
    )
    for key, label, _ in evaluate_digits.ROWS:
        assert label in printed
        for column in ("scores", "floor"):
            assert np.isfinite(report[column][key]).all()
    drawn, floor = report["scores"], report["floor"]
    # Four epochs of 200 digits draw nothing that could be taken for a digit.
    assert drawn["fid_test"] > 20 * floor["fid_test"]
    assert drawn["coverage"] < 0.1 < 0.8 < floor["coverage"]
    for name in ("densest", "sparsest", "nearest"):
        picture = images.load_png(scored_run / "samples" / "small" / f"scores-{name}.png")
        assert picture.shape[1] > 200
    assert (scored_run / "samples" / "small" / "scores-shares.png").stat().st_size > 0


def test_a_run_that_learned_other_images_is_named(scored_run, real, data_path, capsys):
    folder = scored_run / "checkpoints" / "small"
    subject = evaluate_digits.Subject("small", {}, None, folder / "scores.json", "")
    settings = config.EvaluateSettings(data=str(real))
    for path, is_other in ((data_path, False), (real, True)):
        digest = data.digest(data.load_images(path))
        evaluate_digits.warn_of_other_images(settings, [subject], digest)
        assert ("small learned other images" in capsys.readouterr().err) == is_other


def test_runs_stand_side_by_side(scored_run, real, data_path, capsys):
    assert train(scored_run, data_path, "--run", "other", "--epochs", "1") == 0
    capsys.readouterr()
    assert evaluate(scored_run, real, "--runs", "small", "other", "--num_samples", 2000) == 0
    table = capsys.readouterr().out
    heading = next(line for line in table.splitlines() if "better" in line)
    assert heading.split()[:2] == ["small", "other"]
    assert (scored_run / "checkpoints" / "other" / "scores.json").exists()


def test_any_images_are_scored_and_real_ones_score_as_real(real, tmp_path, capsys):
    with np.load(REPOSITORY / "assets" / "mnist.npz") as arrays:
        np.savez(tmp_path / "held_out.npz", images=arrays["x_test"][5000:7500])
    assert evaluate(tmp_path, real, "--images", tmp_path / "held_out.npz") == 0
    report = json.loads((tmp_path / "held_out.scores.json").read_text())
    scores, floor = report["scores"], report["floor"]
    assert report["num_samples"] == 2500
    assert scores["fid_training"] < 3 * floor["fid_training"]
    assert scores["coverage"] > 0.9 * floor["coverage"]
    assert scores["copying_z_features"] > -3
    assert (tmp_path / "held_out.nearest.png").exists()


def test_epochs_are_scored_as_often_as_asked(scored_run):
    scored = [math.isfinite(float(row["fid"])) for row in read_history(scored_run)]
    assert scored == [False, True, False, True]


def test_scoring_does_not_change_the_run(data_path, tmp_path):
    states = []
    for every in (0, 1):
        words = ["--data", data_path, "--batch_size", 40, "--epochs", 2, "--deterministic"]
        words += ["--evaluate_every", every, *roots(tmp_path / str(every))]
        assert run_script("train_dcgan.py", *words).returncode == 0
        folder = tmp_path / str(every) / "checkpoints" / "digits"
        states.append(data.read_npz(folder / "state-000000010.npz"))
    for name in states[0].keys() - {"history", "seconds"}:
        np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)


def test_the_best_generator_is_kept_and_drawn_with(scored_run, real, tmp_path, capsys):
    distances = {
        int(row["epoch"]): float(row["fid"])
        for row in read_history(scored_run)
        if math.isfinite(float(row["fid"]))
    }
    best = min(distances, key=distances.get)
    for which, epoch in (("best", best), ("latest", 4)):
        words = ["--run", "small", "--generator", which, "--output", str(tmp_path / f"{which}.npz")]
        assert generate_digits.main([*words, *roots(scored_run)]) == 0
        assert f"{runs.SNAPSHOTS[which]}, epoch {epoch}" in capsys.readouterr().out
    words = ["--run", "small", "--generator", "best", "--num_samples", 2000]
    assert evaluate(scored_run, real, *words) == 0
    assert (scored_run / "checkpoints" / "small" / "scores-best.json").exists()


def test_a_worse_generator_does_not_replace_the_best(scored_run, data_path, monkeypatch, tmp_path):
    values = iter([5.0, 3.0, 4.0])
    monkeypatch.setattr(record.Record, "score", lambda self: (next(values), 1.0))
    words = ["--epochs", "2", "--evaluate_every", "1"]
    assert train(tmp_path, data_path, *words) == 0
    best = tmp_path / "checkpoints" / "small" / "generator-best.npz"
    content = best.read_bytes()
    assert data.read_npz(best)["epoch"] == 2
    words[1] = "3"  # and it is still known after a pause
    assert train(tmp_path, data_path, *words) == 0
    assert best.read_bytes() == content


def test_there_may_be_no_best_generator(small_run, capsys):
    assert generate_digits.main(["--generator", "best", *roots(small_run)]) == 2
    assert "--evaluate_every" in one_line(capsys.readouterr().err)


def history_of(**columns):
    """Rows of EpochRecord._fields in which all is well, but for these columns."""
    num = len(next(iter(columns.values())))
    well = {"d_real": [0.6] * num, "d_fake": [0.4] * num}
    well |= {"fid": [5.0] * num, "rarest_digit": [0.9] * num}
    return [
        [(well | columns).get(name, [1.0] * num)[i] for name in EpochRecord._fields]
        for i in range(num)
    ]


@pytest.mark.parametrize(
    "columns, expected",
    [
        (dict(d_real=[0.6] * 9), set()),
        (dict(rarest_digit=[0.05, 0.5, 0.05]), set()),
        (dict(rarest_digit=[0.9, math.nan, 0.05, math.nan, 0.0]), {"vanished"}),
        (dict(d_real=[0.99] * 3, d_fake=[0.01] * 3), {"won"}),
        (dict(d_real=[0.99] * 2, d_fake=[0.01] * 2), set()),
        (dict(fid=[9, 5, 5.3, 6, 6, 6, 6]), {"worse"}),
        (dict(fid=[9, 5, 6, 6, 6, 5.1]), set()),
        (dict(fid=[9, 8, 7, 6, 5, 4]), set()),
        (dict(fid=[math.nan] * 6), set()),
    ],
)
def test_what_calls_for_a_warning(columns, expected):
    assert find_troubles(history_of(**columns)).keys() == expected


def test_a_warning_is_given_once(data_path, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record.Record, "score", lambda self: (5.0, 0.0))
    assert train(tmp_path, data_path, "--epochs", "4", "--evaluate_every", "1") == 0
    assert "digits have vanished" in one_line(capsys.readouterr().err)


BAD = {
    "too few": (dict(images=np.arange(1999 * 784).reshape(1999, 28, 28) % 255), "2,000"),
    "wrong shape": (dict(images=np.zeros((2000, 32, 32))), "(2000, 32, 32)"),
    "wrong type": (dict(images=np.full((2000, 28, 28), np.nan)), "float64"),
    "blank": (dict(images=np.zeros((2000, 28, 28))), "blank"),
    "the same": (dict(images=np.tile(np.arange(784).reshape(28, 28) % 9, (2000, 1, 1))), "same"),
    "another name": (dict(pictures=np.zeros((2000, 28, 28))), "pictures"),
    "none": (dict(images=np.zeros((0, 28, 28))), "no images"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_images_are_refused(kind, real, tmp_path, capsys):
    arrays, said = BAD[kind]
    path = tmp_path / "bad.npz"
    if kind not in ("wrong type",):
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
    arrays = data.read_npz(small_run / "checkpoints" / "small" / "generator.npz")
    arrays["dense/kernel"][0, 0] = np.nan
    np.savez(folder / "generator.npz", **arrays)
    assert evaluate(tmp_path, real, "--run", "bad") == 2
    assert "dense/kernel" in one_line(capsys.readouterr().err)
