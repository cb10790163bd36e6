"""Bytes to disk and back: a file is written whole or not at all, and read without trust."""

import contextlib
import errno
import hashlib
import lzma
import os
import shutil
import tempfile
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from config import UserError

LARGEST_ARCHIVE = 2 << 30  # bytes, unpacked

# What NumPy and the readers below it raise on a file that is not what it claims to be.
UNREADABLE = (OSError, ValueError, EOFError, KeyError, RuntimeError, SyntaxError, MemoryError)
UNREADABLE += (OverflowError, TypeError, tokenize.TokenError)
UNREADABLE += (zipfile.BadZipFile, zlib.error, lzma.LZMAError)


@contextlib.contextmanager
def replacing(path):
    """A binary file to write, which takes its place at `path` in one step once it is whole.

    It is written beside its place, flushed to the disk and renamed. Raises UserError when that
    fails; what was at `path` is then still there.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        try:
            with open(partial, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            flush(path.parent)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


@contextlib.contextmanager
def taking_place(path):
    """A path to write a file or a folder at, which takes the place of `path` once it is whole.

    It lies in a folder beside its place, is flushed to the disk and renamed. Raises UserError when
    that fails; what was at `path` is then still there.
    """
    path = Path(path)
    try:
        with tempfile.TemporaryDirectory(".partial", f".{path.name}.", path.parent) as beside:
            whole = Path(beside, path.name)
            yield whole
            for written in (*whole.rglob("*"), whole):
                flush(written)
            if path.is_dir():  # no rename replaces a full folder
                os.rename(path, Path(beside, "old"))
            os.replace(whole, path)
            flush(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def replace_with_checksum(path, content):
    """Put bytes at `path` in one step, and their checksum beside them first."""
    with replacing(checksum_path(path)) as file:
        file.write(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())
    with replacing(path) as file:
        file.write(content)


def checksum_path(path):
    """Where the checksum of a file lies, as sha256sum writes and checks it."""
    return path.with_name(path.name + ".sha256")


def is_whole(path):
    """Whether a file is what its checksum says."""
    try:
        expected = checksum_path(path).read_text().split()[0]
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == expected
    except (OSError, IndexError, ValueError):
        return False


def check_writable(folder):
    """Make a folder, and raise UserError unless files can be written in it."""
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(folder, error) from error


def remove_partial_files(*folders):
    """Remove what a killed process was writing in these folders."""
    for folder in folders:
        for partial in folder.glob(".*.partial"):
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    partial.unlink()


def flush(path):
    """Make a file's bytes, or the renames in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path):
    """Make a folder, and those above it; raises UserError when that cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path, error):
    """The UserError for a file or folder that cannot be written."""
    mend = "give a folder that you may write to"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        mend = "make room there; what was written before is whole"
    return UserError(f"{path}: cannot be written ({error.strerror or error}); {mend}")


def unreadable(path, kind, error):
    """The UserError for a file that is not what its reader expects."""
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return UserError(f"{path}: cannot be read as {kind} ({reason})")


def read_npz(path, *names):
    """Arrays of an .npz by name: those named, or all. Nothing in it is ever executed.

    Raises UserError when the file is not an .npz, is damaged, or lacks a name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_ARCHIVE:
                raise ValueError(f"it unpacks to more than {LARGEST_ARCHIVE >> 30} GiB")
        with np.load(path, allow_pickle=False) as archive:
            for name in names:
                if name not in archive:
                    held = ", ".join(archive) or "none"
                    raise UserError(f"{path}: holds no array {name!r}; it has: {held}")
            arrays = {name: archive[name] for name in names or archive}
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):
                    raise ValueError(f"{name} is not an array")
            return arrays
    except UNREADABLE as error:
        raise unreadable(path, "an .npz archive", error) from error
