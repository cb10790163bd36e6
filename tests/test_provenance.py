"""What settings.json says about how a run was started."""

import os
import subprocess

from machine import provenance


def test_the_commit_of_our_own_repository_is_named_with_changes_if_there_are_any(
    tmp_path, monkeypatch
):
    def git(*words):
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        command = ["git", "-C", tmp_path, *identity, *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # neither signatures nor hooks
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
