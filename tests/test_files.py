"""A file or a folder is written whole or not at all."""

import errno
import shutil
import subprocess

import pytest

from cli import UserError
from machine import files


@pytest.fixture
def path(tmp_path):
    """A file that says "old", alone in its folder."""
    (tmp_path / "a.txt").write_text("old")
    return tmp_path / "a.txt"


@pytest.fixture
def folder(tmp_path):
    """A folder with old.txt, alone in its own."""
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "old.txt").touch()
    return tmp_path / "digits"


def names(folder):
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_when_it_is_whole(path):
    with files.atomic_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(path.parent) == ["a.txt"]


@pytest.mark.parametrize(
    ("error", "expected", "said"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (OSError(errno.ENOSPC, "no"), UserError, r"a\.txt: cannot be written.*make room"),
        (OSError(errno.EACCES, "no"), UserError, r"a\.txt: cannot be written.*give a folder"),
    ],
)
def test_a_file_that_is_not_finished_leaves_what_was_there(path, error, expected, said):
    with pytest.raises(expected, match=said), files.atomic_file(path) as file:
        file.write(b"ne")
        raise error
    assert path.read_text() == "old"
    assert names(path.parent) == ["a.txt"]


def test_of_two_that_write_one_file_the_last_to_finish_wins(path):
    with files.atomic_file(path) as one:
        one.write(b"one" * 1000)
        with files.atomic_file(path) as other:
            other.write(b"other")
    assert path.read_bytes() == b"one" * 1000


def test_a_folder_takes_the_place_of_a_full_one(folder):
    with files.atomic_path(folder) as new:
        new.mkdir()
        (new / "new.txt").touch()
        assert names(folder) == ["old.txt"]
    assert names(folder) == ["new.txt"]
    assert names(folder.parent) == ["digits"]


def test_a_folder_that_cannot_be_replaced_is_put_back(folder, monkeypatch):
    rename = files.os.rename

    def refuse(old, new):
        if new == folder and (old / "new.txt").exists():
            raise OSError(errno.ENOSPC, "no")
        rename(old, new)

    monkeypatch.setattr(files.os, "rename", refuse)
    with pytest.raises(UserError), files.atomic_path(folder) as new:
        new.mkdir()
        (new / "new.txt").touch()
    assert names(folder) == ["old.txt"]
    assert names(folder.parent) == ["digits"]


def test_a_file_is_whole_only_with_its_own_checksum_which_sha256sum_reads(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"content")
    assert not files.is_intact(path)
    files.replace_with_checksum(path, b"content")
    program = ["sha256sum"] if shutil.which("sha256sum") else ["shasum", "-a", "256"]  # macOS
    command = [*program, "--check", files.checksum_path(path).name]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert files.is_intact(path)
    path.write_bytes(b"Content")
    assert not files.is_intact(path)
