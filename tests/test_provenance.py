"""What settings.json says about how a run was started."""

import json
import subprocess

from config import TrainSettings
from machine import provenance


def test_an_invocation_has_all_that_a_repetition_needs(monkeypatch):
    monkeypatch.setattr("sys.argv", ["train_dcgan.py", "--run", "digits", "--data", "a b.npz"])
    settings = TrainSettings(seed=7, data="a b.npz")
    invocation = json.loads(
        json.dumps(provenance.describe_invocation(settings, "the CPU, 2 cores", "0123"))
    )
    assert invocation["command"] == "train_dcgan.py --run digits --data 'a b.npz'"
    assert invocation["settings"]["seed"] == 7 and invocation["settings"]["epochs"] == 100
    assert invocation["versions"].keys() == {"python", "tensorflow", "keras", "numpy"}
    assert invocation["device"] == "the CPU, 2 cores" and invocation["images_sha256"] == "0123"
    assert invocation.keys() >= {"started", "commit"}


def test_the_commit_of_our_own_repository_is_named_with_changes_if_there_are_any(
    tmp_path, monkeypatch
):
    def git(*words):
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        command = ["git", "-C", tmp_path, *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    (tmp_path / "models.py").write_text("first")
    git("add", "models.py")
    git("commit", "--quiet", "--message", "First")
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path)
    (tmp_path / "untracked.txt").write_text("a result")
    assert provenance.git_commit() == git("rev-parse", "HEAD")
    (tmp_path / "models.py").write_text("second")
    assert provenance.git_commit() == f"{git('rev-parse', 'HEAD')} + changes"
    (tmp_path / "copy").mkdir()
    monkeypatch.setattr(provenance, "REPOSITORY", tmp_path / "copy")
    assert provenance.git_commit() is None  # and not that of the repository around it
    monkeypatch.setenv("PATH", str(tmp_path))  # without Git
    assert provenance.git_commit() is None
