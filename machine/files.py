"""Bytes to disk: a file is written whole or not at all."""

import contextlib
import errno
import hashlib
import os
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path

from cli import UserError, say

PATIENCE = 10  # seconds for which replacing a held file is tried again
# What renaming over a file fails with while another program has it open.
HELD = (errno.EACCES, errno.EPERM, errno.EBUSY)
WARNED = set()  # held paths that have been warned about
# errno values where a path cannot be flushed at all; EIO, ENOSPC and EDQUOT are real failures.
CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY)
CANNOT_SYNC += (errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)


@contextlib.contextmanager
def atomic_file(path, patience=0, can_wait=False):
    """Open a binary file that is written atomically; see atomic_path."""
    with atomic_path(path, patience, can_wait) as whole, open(whole, "wb") as file:
        yield file


@contextlib.contextmanager
def atomic_path(path, patience=0, can_wait=False):
    """Write a file or a folder atomically: a temporary path, renamed to `path` at the end.

    It is flushed to the disk first. The rename is tried again for `patience` seconds while another
    program holds what is at `path`. Raises UserError on failure, leaving `path` as it was. With
    `can_wait`, for a file that is written again later, a held file only causes a warning. Of two
    commands that write one file, the last to finish wins.
    """
    path = Path(path)
    try:
        with tempfile.TemporaryDirectory(".partial", f".{path.name}.", path.parent) as beside:
            whole = Path(beside, path.name)
            yield whole
            for written in (*whole.rglob("*"), whole):
                flush(written)
            rename(whole, path, patience, can_wait)
            flush(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error


def rename(whole, path, patience, can_wait):
    end = time.monotonic() + patience
    while True:
        try:
            return replace_path(whole, path)
        except OSError as error:
            if error.errno not in HELD:
                raise
            if time.monotonic() >= end:
                held = f"{path}: cannot be replaced ({error.strerror}); "
                held += "close the program that has it open"
                break
        time.sleep(0.2)
    if not can_wait:
        raise UserError(f"{held}, and give the same command again; earlier files are intact")
    if path not in WARNED:
        WARNED.add(path)
        say(f"warning: {held}; it will be written again later", file=sys.stderr)


def replace_path(new, path):
    """Rename the file or folder `new` to `path`, in place of what is there.

    A rename cannot replace a folder that is not empty. The old one is moved away first, then
    removed, or put back if the new one cannot be renamed.
    """
    if not (new.is_dir() and path.is_dir()):
        os.replace(new, path)
        return
    former = path.with_name(f".{path.name}.{secrets.token_hex(4)}.former")
    os.rename(path, former)
    try:
        os.rename(new, path)
    except BaseException:
        os.rename(former, path)
        raise
    shutil.rmtree(former, ignore_errors=True)


def replace_with_checksum(path, content):
    """Write bytes to `path` atomically; their checksum file is renamed into place just before."""
    with atomic_file(path, PATIENCE) as file:
        file.write(content)
        file.flush()  # so that a full disk shows while the former checksum is still there
        with atomic_file(checksum_path(path), PATIENCE) as checksum:
            checksum.write(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())


def checksum_path(path):
    """The path of a file's checksum, in the format of sha256sum."""
    return path.with_name(path.name + ".sha256")


def checksum_command(path):
    """The command that writes the checksum of a file."""
    program = "sha256sum" if shutil.which("sha256sum") else "shasum -a 256"  # macOS
    return f"{program} {shlex.quote(str(path))} > {shlex.quote(str(checksum_path(path)))}"


def is_intact(path):
    """Whether a file matches its checksum."""
    try:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        return found == checksum_path(path).read_text().split()[0]
    except (OSError, IndexError, ValueError):
        return False


def check_writable(folder, flag=""):
    """Make a folder; raise UserError, suggesting the option `flag`, unless it is writable."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(folder, error, flag) from error


def remove_partial_files(*folders):
    """Remove what a killed process was writing in these folders."""
    for folder in folders:
        for partial in folder.glob(".*.partial"):
            shutil.rmtree(partial, ignore_errors=True)


def flush(path):
    """Have a file, or the renames in a folder, written to the disk itself, if that can be done.

    Many shares (CIFS, VirtualBox, WSL) cannot flush folders.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:  # Windows opens no folder
        if error.errno in CANNOT_SYNC:
            return
        raise
    try:
        with contextlib.suppress(ImportError, AttributeError, OSError):  # not on every disk
            import fcntl

            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # macOS: its fsync stops at the disk's cache
            return
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def unwritable(path, error, flag=""):
    """The UserError, suggesting the option `flag`, for what cannot be written."""
    advice = "give a folder that you may write to" + (f", with {flag}" if flag else "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "make room there; earlier files are intact"
    return UserError(f"{path}: cannot be written ({error.strerror or error}); {advice}")
