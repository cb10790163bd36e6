"""A file is written whole or not at all."""

import errno
import hashlib
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli import UserError
from machine import files


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with files.replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("a bug")])
def test_an_interrupted_file_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), files.replacing(path) as file:
        file.write(b"ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "mend"), [(errno.ENOSPC, "make room"), (errno.EACCES, "give a folder")]
)
def test_a_disk_that_refuses_is_one_error(tmp_path, number, mend):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(UserError, match=rf"a\.txt: cannot be written.*{mend}"):  # noqa: SIM117
        with files.replacing(path):
            raise OSError(number, "the disk says no")
    assert path.read_text() == "old"


def test_a_folder_takes_the_place_of_a_full_one(tmp_path):
    path = tmp_path / "digits"
    for content in ("old", "new"):
        with files.taking_place(path) as folder:
            folder.mkdir()
            (folder / f"{content}.txt").write_text(content)
    assert [each.name for each in path.iterdir()] == ["new.txt"]
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_folder_leaves_what_was_there(tmp_path):
    path = tmp_path / "digits"
    path.mkdir()
    (path / "old.txt").touch()
    with pytest.raises(KeyboardInterrupt), files.taking_place(path) as folder:
        folder.mkdir()
        raise KeyboardInterrupt
    assert [each.name for each in path.iterdir()] == ["old.txt"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), KeyboardInterrupt()])
def test_a_folder_that_cannot_be_replaced_is_put_back(tmp_path, monkeypatch, error):
    path = tmp_path / "digits"
    path.mkdir()
    (path / "old.txt").touch()
    rename = files.os.rename

    def refuse(old, new):
        if new == path and (old / "new.txt").exists():
            raise error
        rename(old, new)

    monkeypatch.setattr(files.os, "rename", refuse)
    expected = UserError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected), files.taking_place(path) as folder:
        folder.mkdir()
        (folder / "new.txt").touch()
    assert [each.name for each in path.iterdir()] == ["old.txt"]
    assert list(tmp_path.iterdir()) == [path]


def test_two_that_write_one_file_leave_it_whole(tmp_path):
    path = tmp_path / "a.txt"
    with files.replacing(path) as one:
        one.write(b"one" * 1000)
        with files.replacing(path) as other:
            other.write(b"other")
        assert path.read_bytes() == b"other"
    assert path.read_bytes() == b"one" * 1000
    assert list(tmp_path.iterdir()) == [path]


def test_a_checksum_is_what_sha256sum_writes(tmp_path):
    path = tmp_path / "a.npz"
    files.replace_with_checksum(path, b"content")
    text = files.checksum_path(path).read_text()
    assert text == f"{hashlib.sha256(b'content').hexdigest()}  a.npz\n"
    command = ["sha256sum", "--check", "--quiet", files.checksum_path(path).name]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert files.is_whole(path)


def test_a_file_is_whole_only_with_its_own_checksum(tmp_path):
    path = tmp_path / "a.npz"
    assert not files.is_whole(path)
    path.write_bytes(b"content")
    assert not files.is_whole(path)
    files.replace_with_checksum(path, b"content")
    path.write_bytes(b"Content")
    assert not files.is_whole(path)
    files.checksum_path(path).write_bytes(b"\xff")
    assert not files.is_whole(path)


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    (tmp_path / ".a.npz.partial").touch()
    (tmp_path / ".digits.xyz.partial").mkdir()
    (tmp_path / ".digits.xyz.partial" / "1.png").touch()
    (tmp_path / "mine.partial").touch()
    files.remove_partial_files(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.partial"]


def test_a_folder_is_checked_by_many_at_once(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: files.check_writable(tmp_path), range(400)))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "folder", Path("/proc/folder")):
        with pytest.raises(UserError, match=f"{path}: cannot be written"):
            files.check_writable(path)
