"""The training command from end to end, on a few real digits."""

import json
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf

import data
from helpers import (
    contents,
    one_line,
    read_history,
    state_paths,
    steps_saved,
    train,
)
from readers import read_npz
from sampling.sampler import Sampler
from storage import images, runs
from storage.runs import EpochRecord
from storage.snapshots import load_snapshot
from storage.weights import load_generator


def settings_json(folder, run="small"):
    """The settings.json of a run inside `folder`."""
    return json.loads((folder / "checkpoints" / run / "settings.json").read_text())


def test_a_run_leaves_what_it_promises(small_run):
    samples = small_run / "samples" / "small"
    for name in ("epoch-0001.png", "epoch-0002.png", "curves.png", "training.gif", "history.csv"):
        assert (samples / name).stat().st_size > 0
    snapshot = load_snapshot(small_run / "checkpoints" / "small", "latest")
    digits = np.concatenate([*Sampler(load_generator(snapshot)).sample(100, seed=0)])
    grid = images.load_png(samples / "epoch-0002.png")
    assert grid.shape == (24 + 302, 302)
    np.testing.assert_array_equal(grid[24:], images.make_grid(digits))
    rows = read_history(small_run)
    assert [(row["epoch"], row["step"]) for row in rows] == [("1", "5"), ("2", "10")]
    assert tuple(rows[0]) == EpochRecord._fields
    for row in rows:
        assert 0 < float(row["d_real"]) < 1 and float(row["generator_loss"]) > 0
    assert any((samples / "logs").iterdir())
    assert steps_saved(small_run) == [5, 10]


def test_the_same_command_resumes_and_epochs_may_grow(begun_run, data_path, capsys):
    before = read_history(begun_run)
    assert train(begun_run, data_path, "--epochs", 3) == 0
    printed = capsys.readouterr()
    assert "resumed after epoch 2" in printed.out
    lines = [line for line in printed.out.splitlines() if line.startswith("epoch ")]
    assert "images/s" in one_line("\n".join(lines)) and lines[0].startswith("epoch 3/3  ")
    assert printed.err == "" and "\r" not in printed.out
    after = read_history(begun_run)
    assert after[:2] == before and [row["epoch"] for row in after] == ["1", "2", "3"]
    assert steps_saved(begun_run) == [5, 10, 15]


def test_clusters_are_those_of_the_first_start(tmp_path, data_path, monkeypatch):
    assert train(tmp_path, data_path, "--epochs", 1) == 0
    clusters = read_npz(state_paths(tmp_path)[-1])["clusters"]
    assert clusters.shape == (40,) and set(clusters) == {0, 1, 2, 3}
    monkeypatch.setattr("training.step.find_clusters", lambda *_: pytest.fail("computed again"))
    assert train(tmp_path, data_path, "--epochs", 2) == 0
    np.testing.assert_array_equal(read_npz(state_paths(tmp_path)[-1])["clusters"], clusters)


def test_a_finished_run_is_left_as_it_is(begun_run, data_path):
    folder = begun_run / "checkpoints"
    before = contents(folder)
    assert train(begun_run, data_path, "--epochs", 2) == 0
    after = contents(folder)
    del before[folder / "small" / "settings.json"], after[folder / "small" / "settings.json"]
    assert before == after


def test_settings_json_has_an_invocation_for_each_start(begun_run, data_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["train_dcgan.py", "--data", "a b.npz"])
    assert train(begun_run, data_path, "--epochs", 1) == 0
    document = settings_json(begun_run)
    assert document["run"]["learning_rate"] == 1e-4 and "epochs" not in document["run"]
    first, second = document["invocations"]
    assert first["settings"]["epochs"] == 2 and second["settings"]["epochs"] == 1
    assert second["command"] == "train_dcgan.py --data 'a b.npz'"
    digest = data.digest(data.load_images(data_path))
    assert second["images_sha256"] == document["run"]["images"] == digest
    assert second["started"] and second["device"] and "commit" in second
    assert second["versions"].keys() == {"python", "tensorflow", "keras", "numpy"}


def test_changed_settings_are_refused_by_name(begun_run, data_path, capsys):
    before = contents(begun_run)
    words = ["--epochs", 3, "--learning_rate", 0.1, "--seed", 4]
    assert train(begun_run, data_path, *words) == 2
    message = one_line(capsys.readouterr().err)
    assert "learning_rate (was 0.0001, now 0.1)" in message and "seed (was 0, now 4)" in message
    assert "batch_size" not in message
    assert contents(begun_run) == before


def test_other_images_are_refused_wherever_they_lie(begun_run, digits, data_path, capsys):
    shutil.copy(data_path, begun_run / "moved.npz")
    assert train(begun_run, begun_run / "moved.npz", "--epochs", 2) == 0
    np.savez(begun_run / "other.npz", x_train=digits[39::-1])
    assert train(begun_run, begun_run / "other.npz", "--epochs", 3) == 2
    assert "images (was" in one_line(capsys.readouterr().err)


def test_other_losses_are_refused(begun_run, data_path, capsys, monkeypatch):
    before = contents(begun_run)
    monkeypatch.setattr("training.losses.generator_loss", tf.reduce_mean)
    assert train(begun_run, data_path, "--epochs", 3) == 2
    assert "losses (was [" in one_line(capsys.readouterr().err)
    assert contents(begun_run) == before


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path, data_path, capsys):
    assert train(tmp_path, data_path, "--epochs", 3, "--dry_run") == 0
    printed = capsys.readouterr().out
    invocation, end = json.JSONDecoder().raw_decode(printed)
    assert invocation["settings"]["batch_size"] == 8 and invocation["settings"]["epochs"] == 3
    assert invocation["images_sha256"] == data.digest(data.load_images(data_path))
    for words in ("'small', new, to epoch 3", "15 to go", str(tmp_path), "dry run"):
        assert words in printed[end:]
    assert not [*tmp_path.iterdir()]


def test_a_dry_run_says_where_it_would_resume_and_what_it_would_refuse(
    begun_run, data_path, capsys
):
    before = contents(begun_run)
    assert train(begun_run, data_path, "--epochs", 3, "--dry_run") == 0
    printed = capsys.readouterr().out
    assert "resumed after epoch 2, to epoch 3" in printed and "5 to go" in printed
    assert train(begun_run, data_path, "--epochs", 3, "--dry_run", "--fresh", "--seed", 4) == 0
    assert "new, to epoch 3" in capsys.readouterr().out
    assert train(begun_run, data_path, "--epochs", 3, "--dry_run", "--seed", 4) == 2
    assert "seed (was 0, now 4)" in one_line(capsys.readouterr().err)
    assert contents(begun_run) == before


def test_fresh_starts_over_and_sets_the_old_run_aside(begun_run, data_path, capsys):
    assert train(begun_run, data_path, "--epochs", 1, "--sample_every", 9, "--fresh") == 0
    assert "new, to epoch 1" in capsys.readouterr().out
    assert len(read_history(begun_run)) == 1
    assert settings_json(begun_run)["run"]["sample_every"] == 9
    assert steps_saved(begun_run, "small.old-1") == [5, 10]
    assert settings_json(begun_run, "small.old-1")["run"]["sample_every"] == 1
    assert (begun_run / "samples" / "small.old-1" / "epoch-0002.png").exists()
    assert not (begun_run / "samples" / "small" / "epoch-0002.png").exists()


def test_a_start_that_was_refused_does_not_name_the_run(tmp_path, data_path, monkeypatch, capsys):
    with monkeypatch.context() as full:
        full.setattr(runs.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
        assert train(tmp_path, data_path) == 2
    assert "make room" in one_line(capsys.readouterr().err)
    assert train(tmp_path, data_path, "--epochs", 1, "--sample_every", 5) == 0
    assert settings_json(tmp_path)["run"]["sample_every"] == 5


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--run", "pretrained"], "--run"),
        (["--run", "small.old-1"], "--run"),
        (["--batch_size", 41], "41"),
        (["--num_codes", 64], "an image for each of 64 clusters"),
        (["--data", "nowhere.npz"], "nowhere.npz"),
        (["--data", "x" * 5000], "too long"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_nothing_written(
    tmp_path, data_path, capsys, words, named
):
    assert train(tmp_path, data_path, *words) == 2
    assert named in one_line(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b"rubbish"), "no training state is whole"),
        (lambda path: path.unlink(), "no training state is left"),
    ],
)
def test_a_run_without_a_whole_state_is_not_begun_again_unasked(
    begun_run, data_path, capsys, damage, said
):
    for path in state_paths(begun_run):
        damage(path)
    before = sorted(begun_run.glob("checkpoints/*/*"))
    assert train(begun_run, data_path, "--epochs", 3) == 2
    message = one_line(capsys.readouterr().err)
    assert said in message and "--fresh" in message
    assert sorted(begun_run.glob("checkpoints/*/*")) == before


def test_a_file_in_the_way_is_refused(tmp_path, data_path, capsys):
    (tmp_path / "checkpoints").write_text("a file")
    assert train(tmp_path, data_path) == 2
    assert "checkpoints" in one_line(capsys.readouterr().err)


def test_a_terminal_gets_a_progress_bar(tmp_path, data_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert train(tmp_path, data_path, "--epochs", 1) == 0
    out, err = capsys.readouterr()
    for part in ("epoch 1/1: ", "100%", "images/s", "left", "generator", "discriminator"):
        assert part in err
    assert out.count("epoch 1/1  ") == 1  # the line that a log gets
