"""What the whole command survives: kills, signals, full disks, and a second process."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import models
from config import REPOSITORY
from helpers import one_line, roots, run_script, state_paths, train
from machine import files

pytestmark = pytest.mark.slow


def test_killed_runs_end_as_if_untouched():
    finished = run_script("tests/stress_resume.py", "--kills", 3, "--epochs", 12)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "equal to the untouched run" in finished.stdout


@contextlib.contextmanager
def training(folder, data_path, *words):
    """A process that trains until stopped; yields once it has finished two epochs."""
    words = ["--save_every", 1, "--epochs", 10_000, *roots(folder), *words]
    words = ["--data", data_path, "--batch_size", 8, "--num_codes", 4, *words]
    command = [sys.executable, REPOSITORY / "train_dcgan.py", *words]
    process = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while not process.stdout.readline().startswith("epoch 2/"):
            assert process.poll() is None, process.stderr.read()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGUSR1, 138)],
)
def test_a_signal_saves_where_the_run_is(tmp_path, data_path, number, status):
    with training(tmp_path, data_path) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == status and err == ""
    newest = state_paths(tmp_path, "digits")[-1]
    assert files.is_intact(newest)
    if number != signal.SIGHUP:  # whose terminal has gone
        step = int(newest.stem.removeprefix("state-"))
        assert f"saved at step {step:,}" in out and "run the same command again" in out


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 260 MB; skips the test where none can be mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=260m", "tmpfs", str(path)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_disk_that_fills_up_stops_the_run_until_there_is_room(
    small_disk, data_path, capsys, monkeypatch
):
    assert train(small_disk, data_path, "--epochs", "1", networks=models) == 0
    filler = small_disk / "filler"
    for size in (1 << 16, 1):  # to the last byte
        with contextlib.suppress(OSError), open(filler, "ab", buffering=0) as file:
            while True:
                file.write(bytes(size))
    before = state_paths(small_disk)
    capsys.readouterr()
    free = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)  # it filled up after the check
    assert train(small_disk, data_path, "--epochs", "2", networks=models) == 2
    assert "make room" in one_line(capsys.readouterr().err)
    assert all(files.is_intact(path) for path in before)
    filler.unlink()
    assert train(small_disk, data_path, "--epochs", "2", networks=models) == 0
    assert "resumed after epoch 1" in capsys.readouterr().out


def test_a_folder_removed_during_training_stops_the_run(tmp_path, data_path):
    with training(tmp_path, data_path) as process:
        shutil.rmtree(tmp_path / "checkpoints" / "digits")
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2 and "cannot be written" in one_line(err)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_memory_and_descriptors_stay_flat(tmp_path, digits):
    np.savez(tmp_path / "few.npz", x_train=digits[:8])
    with training(tmp_path, tmp_path / "few.npz") as process:

        def held_after(epoch):
            """The least of five epochs, for a state may just be in the writing."""
            held = []
            for each in range(epoch, epoch + 5):
                while not process.stdout.readline().startswith(f"epoch {each}/"):
                    assert process.poll() is None
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                open_files = len(os.listdir(f"/proc/{process.pid}/fd"))
                held.append((pages * resource.getpagesize() >> 20, open_files))
            return np.min(held, axis=0)

        before, after = held_after(10), held_after(60)
    assert after[0] - before[0] < 100  # MB; a state has 50, so those of 50 epochs were not kept
    assert after[1] - before[1] <= 2
