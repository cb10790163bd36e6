"""What a run survives: kills, signals, full disks, damage, and a second process."""

import contextlib
import fcntl
import math
import os
import pty
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dcgan
import files
import images
import numpy as np
import pytest
import runs
import stress_resume
from conftest import REPOSITORY, one_line, roots, run_script, train

import data
import train_dcgan
from config import TrainSettings, UserError

STATE = {"weights": np.arange(300, dtype=np.float32), "step": np.array(7)}


def open_run(folder, **settings):
    return runs.Run(
        TrainSettings(checkpoints_dir=f"{folder}/c", samples_dir=f"{folder}/s", **settings)
    )


@pytest.fixture
def copied(small_run, tmp_path):
    """A copy of the small run, to be damaged."""
    return shutil.copytree(small_run, tmp_path / "copy")


def test_killed_runs_end_as_if_untouched():
    finished = run_script("tests/stress_resume.py", "--kills", 3, "--epochs", 4)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "equal to the untouched run" in finished.stdout


def save_three_times(folder, begin=0):
    """What training writes, without the training."""
    with open_run(folder) as run:
        run.check_settings({"seed": 0})
        run.load_state()
        for step in range(begin + 1, begin + 4):
            run.save_state(step, {"weights": np.full(300, step)})
            run.save_generator({"weights": np.full(50, step)})
            run.save_history([[step] * len(EpochRecord._fields)])


def die_at_operation(number, folder):
    """Save three times in a process that dies at its number-th file operation; its exit status."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    operations = 0

    def count(event, arguments):
        nonlocal operations
        if event in WATCHED and str(folder) in str(arguments[0]):
            operations += 1
            if operations == number:
                os._exit(9)

    flush = os.fsync

    def flush_or_die(descriptor):
        count("os.remove", [folder])
        flush(descriptor)

    os.fsync = flush_or_die
    sys.addaudithook(count)
    save_three_times(folder, begin=10)
    os._exit(0)


WATCHED = ("open", "os.rename", "os.remove", "os.mkdir", "os.listdir", "os.truncate")


def test_every_crash_point_leaves_a_whole_state(tmp_path):
    number, status = 0, 9
    while status == 9:
        number += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        save_three_times(folder)
        status = die_at_operation(number, folder)
        with open_run(folder) as run:  # the lock is free
            run.check_settings({"seed": 0})
            step = run.load_state()["weights"][0]
            assert step in (3, 11, 12, 13)
            drawn_with = data.read_npz(run.folder / "generator.npz")["weights"][0]
            assert drawn_with in (step, step - 1, 3)
            assert not list(folder.rglob("*.partial"))
            assert len(run.states()) in (3, 4)
        save_three_times(folder, begin=20)
        with open_run(folder) as run:
            assert run.load_state()["weights"][0] == 23
            assert len(run.states()) == 3
            assert len(list(run.folder.glob("*.sha256"))) <= 4
    assert status == 0 and number > 30


def damaged_copies(content, seed):
    """The content cut at, or with one bit flipped at, a number of places."""
    random_places = random.Random(seed)
    for _ in range(12):
        place = random_places.randrange(len(content))
        yield content[:place]
        yield content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]


def test_any_damage_to_a_checkpoint_is_survived_or_refused(tmp_path):
    save_three_times(tmp_path)
    whole = tmp_path / "c" / "digits"
    survived = refused = 0
    for path in sorted(whole.iterdir()):
        for content in damaged_copies(path.read_bytes() or b"lock", path.name):
            copy = shutil.copytree(tmp_path, tmp_path.with_name("damaged"))
            (copy / "c" / "digits" / path.name).write_bytes(content)
            try:
                with open_run(copy) as run:
                    run.check_settings({"seed": 0})
                    assert run.load_state()["weights"][0] in (2, 3)
                    survived += 1
            except UserError as error:
                assert "\n" not in str(error) and path.name == "settings.json"
                refused += 1
            shutil.rmtree(copy)
    assert survived > 100 and refused > 5


def test_damage_to_a_snapshot_never_changes_a_weight(tmp_path):
    path = tmp_path / "generator.npz"
    np.savez(path, **STATE)
    refused = 0
    for content in damaged_copies(path.read_bytes(), 1):
        path.write_bytes(content)
        try:
            arrays = data.read_npz(path, *STATE)
        except UserError:
            refused += 1
        else:
            for name, array in STATE.items():
                np.testing.assert_array_equal(arrays[name], array)
    assert refused > 12


def test_a_damaged_newest_state_is_set_aside_with_a_warning(copied, data_path, capsys):
    newest = copied / "checkpoints" / "small" / "state-000000010.npz"
    newest.write_bytes(newest.read_bytes()[:-1])
    assert train(copied, data_path, "--epochs", "2") == 0
    printed = capsys.readouterr()
    assert "state-000000010.npz is damaged" in one_line(printed.err)
    assert "resumed after epoch 1" in printed.out
    assert newest.with_name(newest.name + ".damaged").exists()
    assert newest.exists()  # trained and saved again


def test_when_no_state_is_whole_nothing_is_touched(copied, data_path, capsys):
    folder = copied / "checkpoints" / "small"
    for path in folder.glob("state-*.npz"):
        path.write_bytes(b"rubbish")
    before = sorted(path.name for path in folder.iterdir())
    assert train(copied, data_path, "--epochs", "3") == 2
    assert "no training state is whole" in one_line(capsys.readouterr().err)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_run_without_its_state_is_not_begun_again_unasked(copied, data_path, capsys):
    folder = copied / "checkpoints" / "small"
    for path in folder.glob("state-*"):
        path.unlink()
    assert train(copied, data_path, "--epochs", "3") == 2
    assert "--fresh" in one_line(capsys.readouterr().err)


@contextlib.contextmanager
def training(folder, data_path, *words):
    """A process that trains until stopped; yields once it has finished an epoch."""
    words = ["--data", data_path, "--batch_size", 40, "--epochs", 10_000, *roots(folder), *words]
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
    newest = sorted((tmp_path / "checkpoints" / "digits").glob("state-*.npz"))[-1]
    assert newest.name == f"state-{step:09d}.npz"  # not a step was lost
    assert runs.is_whole(newest)


def test_a_closed_terminal_saves(tmp_path, data_path):
    def take_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where the tests themselves run under nohup
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    terminal, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    words = ["--data", data_path, "--batch_size", 40, "--epochs", 10_000, *roots(tmp_path)]
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
    saved = sorted((tmp_path / "checkpoints" / "digits").glob("state-*.npz"))
    assert runs.is_whole(saved[-1])


def test_a_closed_pipe_costs_no_epoch(tmp_path, data_path):
    with training(tmp_path, data_path, "--save_every", "9999") as process:
        process.stdout.close()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "standard output: Broken pipe" in one_line(err)
    (saved,) = (tmp_path / "checkpoints" / "digits").glob("state-*.npz")
    assert int(saved.stem.removeprefix("state-")) >= 15 and runs.is_whole(saved)


def test_a_second_signal_ends_at_once_with_a_whole_state(tmp_path, data_path):
    with training(tmp_path, data_path) as process:
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        assert process.returncode in (143, -signal.SIGTERM)
    with open_run(tmp_path):
        newest = sorted((tmp_path / "checkpoints" / "digits").glob("state-*.npz"))[-1]
        assert runs.is_whole(newest)


def test_a_second_signal_is_not_caught():
    before = signal.getsignal(signal.SIGINT)  # ignored, where tests run in the background
    with train_dcgan.Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == before


def test_a_second_process_is_refused(tmp_path, data_path):
    with training(tmp_path, data_path):
        words = ["--data", data_path, "--batch_size", 40, *roots(tmp_path)]
        second = run_script("train_dcgan.py", *words)
        assert second.returncode == 2
        assert "another process" in one_line(second.stderr)


@pytest.mark.parametrize("owner", ["generator", "generator_ema", "discriminator_optimizer"])
def test_a_number_gone_bad_stops_the_run_and_is_not_saved(copied, data_path, capsys, owner):
    with open_run(copied) as run:
        run.folder = copied / "checkpoints" / "small"
        state = run.load_state()
        name = next(name for name in state if name.startswith(owner + "/") and state[name].ndim)
        state[name].flat[0] = np.nan
        run.save_state(10, state)
    snapshot = (run.folder / "generator.npz").read_bytes()
    assert train(copied, data_path, "--epochs", "3") == 2
    message = one_line(capsys.readouterr().err)
    assert "no longer finite" in message and "--learning_rate" in message
    assert (run.folder / "generator.npz").read_bytes() == snapshot
    assert len(run.states()) == 2


def test_losses_gone_bad_stop_the_run(tmp_path, data_path, capsys, monkeypatch):
    means = dcgan.DCGAN.means

    def means_gone_bad(gan, steps):
        return [math.nan] * 4 if gan.steps_done > 5 else means(gan, steps)

    monkeypatch.setattr(dcgan.DCGAN, "means", means_gone_bad)
    assert train(tmp_path, data_path, "--epochs", "3") == 2
    assert "the losses" in one_line(capsys.readouterr().err)
    newest = sorted((tmp_path / "checkpoints" / "small").glob("state-*.npz"))[-1]
    assert newest.name == "state-000000005.npz" and runs.is_whole(newest)


def test_a_weight_gone_bad_is_not_saved(tmp_path, data_path, capsys, monkeypatch):
    start_epoch = dcgan.DCGAN.start_epoch

    def go_bad(gan):  # where no loss shows it
        start_epoch(gan)
        if gan.steps_done > 5:
            gan.generator_ema.variables[0].assign(gan.generator_ema.variables[0] * math.nan)

    monkeypatch.setattr(dcgan.DCGAN, "start_epoch", go_bad)
    assert train(tmp_path, data_path, "--epochs", "3") == 2
    assert "generator_ema/dense/kernel" in one_line(capsys.readouterr().err)
    folder = tmp_path / "checkpoints" / "small"
    assert [path.name for path in folder.glob("state-*.npz")] == ["state-000000005.npz"]
    for array in data.read_npz(folder / "generator.npz").values():
        assert np.isfinite(array).all()


def test_pictures_that_cannot_be_written_cost_no_epoch(tmp_path, data_path, capsys, monkeypatch):
    monkeypatch.setattr(images, "save_curves", lambda file, _: file.write(b"") or no_room())
    assert train(tmp_path, data_path, "--epochs", "9", "--save_every", "9") == 2
    assert "curves.png" in one_line(capsys.readouterr().err)
    newest = sorted((tmp_path / "checkpoints" / "small").glob("state-*.npz"))[-1]
    assert newest.name == "state-000000010.npz"  # both epochs that were trained


def test_a_signal_saves_though_the_pictures_before_it_could_not_be_written(
    tmp_path, data_path, capsys, monkeypatch
):
    once = iter([signal.SIGTERM])  # a second would not be caught

    def fail(*_):
        for number in once:
            signal.raise_signal(number)
        no_room()

    monkeypatch.setattr(images, "save_curves", fail)
    assert train(tmp_path, data_path, "--epochs", "9", "--save_every", "9") == 2
    assert "curves.png" in one_line(capsys.readouterr().err)
    newest = sorted((tmp_path / "checkpoints" / "small").glob("state-*.npz"))[-1]
    assert int(newest.stem.removeprefix("state-")) >= 5


def no_room():
    raise OSError(28, "No space left on device")


def test_a_signal_between_epochs_leaves_no_gap(tmp_path, data_path):
    """Stopped by SIGTERM again and again, a run has all that an untouched one has."""
    words = ["--data", data_path, "--batch_size", 40, "--epochs", 8, "--deterministic"]
    assert run_script("train_dcgan.py", *words, *roots(tmp_path / "one")).returncode == 0
    stops = 0
    while True:
        command = [sys.executable, REPOSITORY / "train_dcgan.py", *words, *roots(tmp_path / "two")]
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
        while not (line := process.stdout.readline()).startswith("epoch "):
            assert line or process.poll() is not None
            if not line:
                break
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode in (0, 143)
        if process.returncode == 0:
            break
        stops += 1
    assert stops > 2
    one, two = (tmp_path / name / "samples" / "digits" for name in ("one", "two"))
    assert stress_resume.read_history(one / "history.csv") == stress_resume.read_history(
        two / "history.csv"
    )
    for path in one.glob("*.png"):
        assert path.read_bytes() == (two / path.name).read_bytes()
    best = "checkpoints/digits/generator-best.npz"
    assert (tmp_path / "one" / best).read_bytes() == (tmp_path / "two" / best).read_bytes()


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


def test_too_little_room_is_noticed_before_the_first_step(tmp_path, data_path, capsys):
    with small_disk(tmp_path / "disk", 60) as disk:
        assert train(disk, data_path, "--epochs", "1") == 2
        assert "make room" in one_line(capsys.readouterr().err)


def test_a_disk_that_fills_up_stops_the_run_until_there_is_room(tmp_path, data_path, capsys):
    with small_disk(tmp_path / "disk", 260) as disk:
        assert train(disk, data_path, "--epochs", "1") == 0
        filler = disk / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        with contextlib.suppress(OSError), open(filler, "ab", buffering=0) as file:
            while True:
                file.write(b"0")  # to the last byte
        before = sorted((disk / "checkpoints" / "small").glob("state-*.npz"))
        capsys.readouterr()
        free = shutil.disk_usage
        shutil.disk_usage = lambda _: free("/")  # it filled up after the check
        try:
            assert train(disk, data_path, "--epochs", "2") == 2
        finally:
            shutil.disk_usage = free
        assert "make room" in one_line(capsys.readouterr().err)
        assert all(runs.is_whole(path) for path in before)
        filler.unlink()
        assert train(disk, data_path, "--epochs", "2") == 0
        assert "resumed after epoch 1" in capsys.readouterr().out


def test_a_read_only_disk_is_refused(tmp_path, data_path, capsys):
    with small_disk(tmp_path / "disk", 10, read_only=True) as disk:
        assert train(disk, data_path, "--epochs", "1") == 2
        assert "cannot be written" in one_line(capsys.readouterr().err)


def test_read_only_samples_are_refused_before_the_first_step(tmp_path, data_path, capsys):
    with small_disk(tmp_path / "samples", 10, read_only=True):
        assert train(tmp_path, data_path, "--epochs", "1") == 2
        assert "samples" in one_line(capsys.readouterr().err)
    assert not list(tmp_path.glob("checkpoints/small/state-*"))


def test_a_folder_removed_during_training_stops_the_run(tmp_path, data_path):
    with training(tmp_path, data_path) as process:
        shutil.rmtree(tmp_path / "checkpoints" / "digits")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "cannot be written" in one_line(err)


def test_memory_and_descriptors_stay_flat(tmp_path, digits):
    np.savez(tmp_path / "few.npz", x_train=digits[:8])
    with training(
        tmp_path, tmp_path / "few.npz", "--batch_size", 8, "--evaluate_every", 0
    ) as process:

        def held_after(epoch):
            while not process.stdout.readline().startswith(f"epoch {epoch}/"):
                assert process.poll() is None
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            return pages * resource.getpagesize() >> 20, len(os.listdir(f"/proc/{process.pid}/fd"))

        megabytes, descriptors = held_after(10)
        later_megabytes, later_descriptors = held_after(60)
    assert later_megabytes - megabytes < 100  # of 50 MB a state, if one were kept each epoch
    assert abs(later_descriptors - descriptors) <= 2


def mutations(content, number):
    """Variations of a file: bytes changed, cut out, repeated or put in."""
    randomly = random.Random(number)
    content = bytearray(content)
    for _ in range(randomly.randint(1, 8)):
        place, length = randomly.randrange(len(content)), randomly.randint(1, 40)
        kind = randomly.randrange(4)
        if kind == 0:
            content[place : place + length] = randomly.randbytes(length)
        elif kind == 1:
            del content[place : place + length]
        elif kind == 2:
            content[place:place] = content[place : place + length]
        else:
            content[place] = randomly.choice([0, 1, 0x7F, 0x80, 0xFF])
        content = content or bytearray(b"\0")
    return bytes(content)


@pytest.mark.parametrize("kind", ["npz", "idx", "weights"])
def test_hostile_files_are_at_worst_refused(tmp_path, digits, kind):
    path = tmp_path / {"npz": "a.npz", "idx": "a-idx3-ubyte", "weights": "w.npz"}[kind]
    if kind == "npz":
        np.savez_compressed(path, x_train=digits[:3], y_train=np.arange(3))
    elif kind == "weights":
        np.savez(path, **STATE)
    else:
        path.write_bytes(bytes.fromhex("0000080300000003 0000001c0000001c") + digits[:3].tobytes())
    content, refused = path.read_bytes(), 0
    for number in range(200):
        path.write_bytes(mutations(content, number))
        try:
            if kind == "weights":
                data.read_npz(path)
            else:
                assert data.load_images(path).dtype == np.uint8
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


def test_every_bit_of_a_header_may_be_wrong(tmp_path, digits):
    path, refused = tmp_path / "a.npz", 0
    np.savez(path, x_train=np.tile(digits, (2, 1, 1)))  # NumPy reads it before its checksum
    content = path.read_bytes()
    for bit in range(8 * 200):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            data.load_images(path)
        except UserError:
            refused += 1
    assert refused > 1000


def test_a_folder_is_checked_by_many_at_once(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: files.check_writable(tmp_path), range(400)))
    assert not list(tmp_path.iterdir())


def test_a_file_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", x_train=np.zeros((3000, 28, 28), np.uint8))
    monkeypatch.setattr(data, "LARGEST_ARCHIVE", 1 << 20)
    with pytest.raises(UserError, match="unpacks"):
        data.load_images(tmp_path / "bomb.npz")
