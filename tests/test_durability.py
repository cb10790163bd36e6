"""What the whole command survives: kills, signals, full disks, and a second process."""

import contextlib
import fcntl
import os
import pty
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest

import models
from config import REPOSITORY
from helpers import one_line, roots, run_script, state_paths, train
from machine import files

pytestmark = pytest.mark.slow


def test_killed_runs_end_as_if_untouched():
    finished = run_script("tests/stress_resume.py", "--kills", 3, "--epochs", 4)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "equal to the untouched run" in finished.stdout


@contextlib.contextmanager
def training(folder, data_path, *words):
    """A process that trains until stopped; yields once it has finished an epoch."""
    words = ["--save_every", 1, "--epochs", 10_000, *roots(folder), *words]
    words = ["--data", data_path, "--batch_size", 8, *words]
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


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_say_how_to_go_on(tmp_path, data_path, number, status):
    with training(tmp_path, data_path) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "run the same command again" in out and err == ""
    step = int(out.split("at step ")[1].split(".")[0].replace(",", ""))
    newest = state_paths(tmp_path, "digits")[-1]
    assert newest.name == f"state-{step:09d}.npz"  # not a step was lost
    assert files.is_whole(newest)


def test_a_closed_terminal_saves(tmp_path, data_path):
    def take_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where the tests themselves run under nohup
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    words = ["--data", data_path, "--batch_size", 8, "--epochs", 10_000, *roots(tmp_path)]
    process = subprocess.Popen(
        [*map(str, [sys.executable, REPOSITORY / "train_dcgan.py", *words])],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(inside)
    try:
        shown = b""
        while b"epoch 3/" not in shown:
            shown += os.read(terminal, 4096)
        os.close(terminal)
        assert process.wait(60) == 129
    finally:
        process.kill()
    assert files.is_whole(state_paths(tmp_path, "digits")[-1])


def test_a_second_signal_ends_at_once_with_a_whole_state(tmp_path, data_path):
    with training(tmp_path, data_path) as process:
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        assert process.returncode in (143, -signal.SIGTERM)
    assert files.is_whole(state_paths(tmp_path, "digits")[-1])


@contextlib.contextmanager
def small_disk(path, megabytes, *, read_only=False):
    """A file system of its own at `path`; skips the test where none can be mounted."""
    path.mkdir()
    options = f"size={megabytes}m" + (",ro" if read_only else "")
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_disk_that_fills_up_stops_the_run_until_there_is_room(tmp_path, data_path, capsys):
    with small_disk(tmp_path / "disk", 260) as disk:
        assert train(disk, data_path, "--epochs", "1", networks=models) == 0
        filler = disk / "filler"
        for size in (1 << 16, 1):  # to the last byte
            with contextlib.suppress(OSError), open(filler, "ab", buffering=0) as file:
                while True:
                    file.write(bytes(size))
        before = state_paths(disk)
        capsys.readouterr()
        free = shutil.disk_usage
        shutil.disk_usage = lambda _: free("/")  # it filled up after the check
        try:
            assert train(disk, data_path, "--epochs", "2", networks=models) == 2
        finally:
            shutil.disk_usage = free
        assert "make room" in one_line(capsys.readouterr().err)
        assert all(files.is_whole(path) for path in before)
        filler.unlink()
        assert train(disk, data_path, "--epochs", "2", networks=models) == 0
        assert "resumed after epoch 1" in capsys.readouterr().out


@pytest.mark.parametrize("root", ["checkpoints", "samples"])
def test_a_read_only_disk_is_refused_before_the_first_step(root, tmp_path, data_path, capsys):
    with small_disk(tmp_path / root, 10, read_only=True):
        assert train(tmp_path, data_path, "--epochs", "1") == 2
        assert f"{root}/small: cannot be written" in one_line(capsys.readouterr().err)
    assert not list(tmp_path.glob("checkpoints/small/state-*"))


def test_a_folder_removed_during_training_stops_the_run(tmp_path, data_path):
    with training(tmp_path, data_path) as process:
        shutil.rmtree(tmp_path / "checkpoints" / "digits")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "cannot be written" in one_line(err)


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
