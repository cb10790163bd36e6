"""The training command from end to end, on a few hundred real digits."""

import fcntl
import itertools
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios

import dcgan
import images
import numpy as np
import pytest
import record
import runs
import tensorflow as tf
from conftest import REPOSITORY, one_line, read_history, roots, run_script, train

import generate_digits


def states(folder):
    return sorted(path.name for path in (folder / "checkpoints" / "small").glob("state-*.npz"))


@pytest.mark.parametrize("name", ["pretrained", "small.old-1"])
def test_names_of_finished_runs_are_not_for_training(tmp_path, data_path, capsys, name):
    assert train(tmp_path, data_path, "--run", name) == 2
    assert "--run" in one_line(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def continued(small_run, tmp_path):
    """A copy of the small run, to be changed."""
    return shutil.copytree(small_run, tmp_path / "copy")


def test_a_run_leaves_what_it_promises(small_run):
    samples = small_run / "samples" / "small"
    for name in ("epoch-0001.png", "epoch-0002.png", "curves.png", "training.gif", "history.csv"):
        assert (samples / name).stat().st_size > 0
    assert images.load_png(samples / "epoch-0001.png").shape == (24 + 302, 302)
    rows = read_history(small_run)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        assert 0 < float(row["d_real"]) < 1 and float(row["generator_loss"]) > 0
    assert any((samples / "logs").iterdir())
    assert states(small_run) == ["state-000000005.npz", "state-000000010.npz"]


def test_the_same_command_continues_and_epochs_may_grow(continued, data_path, capsys):
    before = read_history(continued)
    assert train(continued, data_path, "--epochs", "3") == 0
    assert "resumed after epoch 2" in capsys.readouterr().out
    after = read_history(continued)
    assert after[:2] == before and [row["epoch"] for row in after] == ["1", "2", "3"]
    assert train(continued, data_path, "--epochs", "4") == 0
    # The last three are kept, the oldest is gone with its checksum.
    assert states(continued) == [f"state-{step:09d}.npz" for step in (10, 15, 20)]
    assert len(list((continued / "checkpoints" / "small").glob("*.sha256"))) == 3


def test_a_finished_run_is_left_as_it_is(continued, data_path):
    before = {p: p.read_bytes() for p in (continued / "checkpoints").rglob("*") if p.is_file()}
    assert train(continued, data_path, "--epochs", "2") == 0
    assert train(continued, data_path, "--epochs", "1") == 0
    after = {p: p.read_bytes() for p in (continued / "checkpoints").rglob("*") if p.is_file()}
    assert before == after


def test_other_settings_are_refused_by_name(continued, data_path, capsys):
    words = ["--epochs", "3", "--learning_rate", "0.1", "--seed", "4"]
    assert train(continued, data_path, *words) == 2
    message = one_line(capsys.readouterr().err)
    assert "learning_rate (was 0.0001, now 0.1)" in message and "seed (was 0, now 4)" in message
    assert "batch_size" not in message
    assert len(read_history(continued)) == 2


def test_other_images_are_refused_wherever_they_lie(continued, digits, data_path, tmp_path, capsys):
    shutil.copy(data_path, tmp_path / "moved.npz")
    assert train(continued, tmp_path / "moved.npz", "--epochs", "2") == 0
    np.savez(tmp_path / "other.npz", x_train=digits[::-1])
    assert train(continued, tmp_path / "other.npz", "--epochs", "3") == 2
    assert "images" in one_line(capsys.readouterr().err)


def test_fresh_starts_over_and_sets_the_old_run_aside(continued, data_path, capsys):
    assert train(continued, data_path, "--epochs", "1", "--seed", "9", "--fresh") == 0
    assert "new, to epoch 1" in capsys.readouterr().out
    assert len(read_history(continued)) == 1
    old = continued / "checkpoints" / "small.old-1"
    assert len(list(old.glob("state-*.npz"))) == 2
    assert json.loads((old / "settings.json").read_text())["run"]["seed"] == 0
    assert (continued / "samples" / "small.old-1" / "epoch-0002.png").exists()


def test_pictures_of_a_run_without_checkpoints_are_set_aside(continued, data_path):
    shutil.rmtree(continued / "checkpoints" / "small")
    assert train(continued, data_path, "--epochs", "1", "--seed", "9") == 0
    assert (continued / "samples" / "small.old-1" / "epoch-0002.png").exists()
    assert not (continued / "samples" / "small" / "epoch-0002.png").exists()


def test_a_picture_that_is_not_ours_is_left_alone(continued, data_path):
    stranger = continued / "samples" / "small" / "epoch-0002-copy.png"
    stranger.write_bytes(b"no picture")
    assert train(continued, data_path, "--epochs", "2") == 0
    assert stranger.read_bytes() == b"no picture"


def test_fresh_twice_loses_nothing(continued, data_path):
    for seed in ("1", "2"):
        assert train(continued, data_path, "--epochs", "1", "--seed", seed, "--fresh") == 0
    for number, epochs in ((1, 2), (2, 1)):
        old = continued / "checkpoints" / f"small.old-{number}"
        assert len(list(old.glob("state-*.npz"))) == epochs
        words = ["--run", old.name, "--output", str(continued / "a.npz"), *roots(continued)]
        assert generate_digits.main(words) == 0  # still there to draw with


def test_a_start_that_was_refused_does_not_name_the_run(tmp_path, data_path, monkeypatch, capsys):
    with monkeypatch.context() as full:
        full.setattr(runs.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
        assert train(tmp_path, data_path) == 2
    assert "make room" in one_line(capsys.readouterr().err)
    assert train(tmp_path, data_path, "--epochs", "1", "--seed", "5") == 0


def test_a_batch_larger_than_the_data_is_refused(tmp_path, data_path, capsys):
    assert train(tmp_path, data_path, "--batch_size", "201") == 2
    assert "201" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "checkpoints").exists()


def test_a_path_too_long_for_the_system_is_refused(tmp_path, capsys):
    assert train(tmp_path, "x" * 5000) == 2
    assert "too long" in one_line(capsys.readouterr().err)


def test_missing_data_is_refused(tmp_path, capsys):
    assert train(tmp_path, tmp_path / "nowhere.npz") == 2
    assert "nowhere.npz" in one_line(capsys.readouterr().err)


def test_a_file_in_the_way_is_refused(tmp_path, data_path, capsys):
    (tmp_path / "checkpoints").write_text("a file")
    assert train(tmp_path, data_path) == 2
    assert "checkpoints" in one_line(capsys.readouterr().err)


def test_a_log_gets_one_line_an_epoch(tmp_path, data_path):
    words = ["--data", data_path, "--batch_size", "40", "--epochs", "2", *roots(tmp_path)]
    finished = run_script("train_dcgan.py", *words)
    assert finished.returncode == 0, finished.stderr
    lines = [line for line in finished.stdout.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2 and "images/s" in lines[1] and "epoch 2/2" in lines[1]
    assert finished.stderr == "" and "\r" not in finished.stdout


def test_a_terminal_gets_a_progress_bar(tmp_path, data_path):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    words = ["--data", data_path, "--batch_size", 40, "--epochs", 1, *roots(tmp_path)]
    command = [sys.executable, REPOSITORY / "train_dcgan.py", *words]
    assert subprocess.run([*map(str, command)], stdout=theirs, stderr=theirs).returncode == 0
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    for part in ("epoch 1/1: ", "100%", "images/s", "left", "generator", "discriminator"):
        assert part in shown
    assert "epoch 1/1  " not in shown  # a log's line


def test_save_every_counts_epochs(tmp_path, data_path):
    assert train(tmp_path, data_path, "--epochs", "3", "--save_every", "2") == 0
    assert states(tmp_path) == ["state-000000010.npz", "state-000000015.npz"]


def test_save_every_counts_minutes_within_an_epoch(tmp_path, data_path, monkeypatch):
    assert train(tmp_path / "quick", data_path, "--epochs", "2", "--save_every", "10m") == 0
    assert states(tmp_path / "quick") == ["state-000000010.npz"]  # the end is always saved
    minutes = itertools.count(0, 120)
    monkeypatch.setattr(record.time, "monotonic", lambda: next(minutes))
    assert train(tmp_path / "slow", data_path, "--epochs", "1", "--save_every", "1m") == 0
    *within, last = states(tmp_path / "slow")  # which, depends on how long a save takes
    assert within and last == "state-000000005.npz"


def test_history_columns_are_the_file_s(small_run):
    assert tuple(read_history(small_run)[0]) == EpochRecord._fields


def test_too_little_memory_is_said_in_one_line(tmp_path, data_path, capsys, monkeypatch):
    def run_out(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor")

    monkeypatch.setattr(dcgan.DCGAN, "train_steps", run_out)
    assert train(tmp_path, data_path, "--epochs", "1") == 2
    assert "--batch_size" in one_line(capsys.readouterr().err)
