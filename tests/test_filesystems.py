"""File systems that lack something, and folders that are open or read-only."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import evaluate_digits
import export_generator
from cli import UserError
from config import REPOSITORY, EvaluateSettings, ExportSettings, TrainSettings
from helpers import failing, make_run, one_line, open_run, train
from machine import files
from storage.runs import Run


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF])
def test_a_file_system_without_flushes_is_written_to(number, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(number))
    with files.atomic_file(tmp_path / "a") as file:
        file.write(b"whole")
    with files.atomic_path(tmp_path / "b") as whole:
        whole.write_bytes(b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_flush_that_fails_for_good_is_no_success(tmp_path, monkeypatch):
    monkeypatch.delattr(fcntl, "F_FULLFSYNC", raising=False)  # of macOS
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(UserError, match="cannot be written"), files.atomic_file(tmp_path / "a"):
        pass


def test_macos_flushes_the_disk_too_where_it_can(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda _, command: calls.append(command))
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("fsync"))
    files.flush(tmp_path)
    monkeypatch.setattr(fcntl, "fcntl", failing(errno.ENOTSUP))
    files.flush(tmp_path)
    assert calls == [51, "fsync"]


def test_a_file_system_without_locks_is_one_warning(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOSYS))
    for _ in range(2):
        with open_run(tmp_path):
            pass
    assert "no locks" in one_line(capfd.readouterr().err)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_run_is_set_aside_where_open_folders_keep_their_names(tmp_path, monkeypatch):
    folders = make_run(tmp_path)
    rename = os.rename

    def rename_closed(old, new):
        for number in os.listdir("/proc/self/fd"):
            if os.path.realpath(f"/proc/self/fd/{number}").startswith(f"{old}/"):
                raise PermissionError(errno.EACCES, "Permission denied", str(old))
        rename(old, new)

    monkeypatch.setattr(os, "rename", rename_closed)
    with open_run(tmp_path, fresh=True) as run:
        assert not run.is_begun()
    assert all(folder.with_name("digits.old-1").is_dir() for folder in folders)


def test_both_folders_are_set_aside_or_neither(tmp_path, monkeypatch):
    checkpoints, samples = make_run(tmp_path)
    rename = os.rename

    def rename_samples(old, new):
        if Path(old) == checkpoints:
            raise PermissionError(errno.EACCES, "Permission denied", str(old))
        rename(old, new)

    monkeypatch.setattr(os, "rename", rename_samples)
    with pytest.raises(UserError, match="cannot be set aside"):
        open_run(tmp_path, fresh=True).__enter__()
    for folder in (checkpoints, samples):
        assert (folder / "generator.npz").exists()
        assert not folder.with_name("digits.old-1").exists()


ROOTS = {
    "one root": ("both", "both"),
    "one root by two names": ("both", "./link"),
    "samples in the run": ("both", "both/digits"),
    "the run in the samples": ("both/digits", "both"),
}


@pytest.mark.parametrize("kind", ROOTS)
def test_one_root_may_hold_both_folders(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("both")
    checkpoints, samples = ROOTS[kind]
    settings = TrainSettings(fresh=True, checkpoints_dir=checkpoints, samples_dir=samples)
    for number in range(3):
        with Run(settings) as run:
            assert not run.is_begun() and not (run.samples / "curves.png").exists()
            run.save_state(1, {"weights": np.full(3, number)})
            (run.samples / "curves.png").write_text(str(number))
    assert {path.read_text() for path in tmp_path.glob("both/**/curves.png")} == set("012")
    assert len([*tmp_path.glob("both/**/state-000000001.npz")]) == 3


@pytest.fixture
def held(monkeypatch):
    """Names of files that another program holds open, and for how many more tries."""
    tries, replace = {}, os.replace

    def replace_free(old, new):
        if tries.get(new.name, 0) > 0:
            tries[new.name] -= 1
            raise PermissionError(errno.EACCES, "Permission denied", str(new))
        replace(old, new)

    monkeypatch.setattr(os, "replace", replace_free)
    now = [0.0]
    monkeypatch.setattr(files.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(files.time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    return tries


def test_what_is_written_again_costs_one_warning(tmp_path, held, capfd):
    held["history.csv"] = 2
    with open_run(tmp_path) as run:
        for row in range(3):
            run.save_history([[row]])
    assert "history.csv: cannot be replaced" in one_line(capfd.readouterr().err)
    assert (run.samples / "history.csv").read_text().splitlines()[1] == "2"


def test_a_state_is_tried_again_and_the_last_one_stays(tmp_path, held):
    held |= {"state-000000001.npz": 3, "state-000000002.npz": 10**9}
    with open_run(tmp_path) as run:
        run.save_state(1, {"weights": np.full(3, 1)})
        with pytest.raises(
            UserError, match=r"state-000000002\.npz: cannot be replaced.*are intact"
        ):
            run.save_state(2, {"weights": np.full(3, 2)})
        assert run.load_state()["weights"][0] == 1


def test_a_state_without_its_checksum_is_gone_on_with_by_the_command_that_is_printed(tmp_path):
    folder = tmp_path / "it's"
    with open_run(folder) as run:
        for step in (1, 2):
            run.save_state(step, {"weights": np.full(3, step)})
        files.checksum_path(run.states()[-1]).unlink()
        with pytest.raises(UserError, match="its checksum file is missing") as refusal:
            run.load_state()
        subprocess.run(str(refusal.value).split("as it is: ")[1], shell=True, check=True)
        assert run.load_state()["weights"][0] == 2


def test_missing_grids_are_drawn_again_or_said_to_be_missing(begun_run, data_path, capsys):
    samples = begun_run / "samples" / "small"
    newest = (samples / "epoch-0002.png").read_bytes()
    for name in ("epoch-0001.png", "epoch-0002.png", "curves.png"):
        (samples / name).unlink()
    assert train(begun_run, data_path, "--epochs", 2) == 0
    assert (samples / "epoch-0002.png").read_bytes() == newest
    assert (samples / "curves.png").exists() and not (samples / "epoch-0001.png").exists()
    assert "lacks epoch-0001.png, which cannot be drawn again" in one_line(capsys.readouterr().err)


def test_scores_and_exports_of_what_ships_go_to_the_working_folder(tmp_path):
    shipped = REPOSITORY / "checkpoints" / "pretrained"
    paths = (shipped / "scores.json", "samples/pretrained/scores-")
    json_path, pictures = evaluate_digits.output_paths(EvaluateSettings(), *paths)
    assert (str(json_path), pictures) == ("pretrained-scores.json", "pretrained-scores-")
    exported = export_generator.output_path(ExportSettings(), shipped)
    assert str(exported) == "pretrained-generator.onnx"
    asked = EvaluateSettings(output=f"{tmp_path}/card.json")
    json_path, pictures = evaluate_digits.output_paths(asked, *paths)
    assert (str(json_path), pictures) == (f"{tmp_path}/card.json", f"{tmp_path}/card-")
    own = tmp_path / "mine" / "scores.json"
    assert evaluate_digits.output_paths(EvaluateSettings(), own, "x")[0] == own


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["generate_digits.py"], "samples/pretrained-10-digits-seed-0.png"),
        (["export_generator.py", "--format", "saved_model"], "pretrained-generator.saved_model"),
        (["evaluate_digits.py", "--num_samples", "2000"], "pretrained-scores.json"),
    ],
)
def test_a_clone_that_is_read_only_serves_all_but_training(words, made, tmp_path):
    mount = f"mount --bind {REPOSITORY} {REPOSITORY} && mount -o remount,ro,bind {REPOSITORY}"
    unshare = ["unshare", "-m", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, mount]).returncode:
        pytest.skip("needs to mount")
    script = f"{mount} && {sys.executable} {REPOSITORY}/{' '.join(words)} --run pretrained"
    finished = subprocess.run([*unshare, script], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / made).exists()
