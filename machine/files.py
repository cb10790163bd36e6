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

PATIENCE = 10  # seconds for which what must be written is tried again
# What renaming over a file fails with while another program has it open.
HELD = (errno.EACCES, errno.EPERM, errno.EBUSY)
WARNED = set()  # the paths of which a warning has said so
# What opening or flushing fails with where there is nothing to be had; not EIO, ENOSPC or EDQUOT.
CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY)
CANNOT_SYNC += (errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)


@contextlib.contextmanager
def replacing(path, patience=0, can_wait=False):
    """A binary file to write, which takes its place at `path` as `taking_place` says."""
    with taking_place(path, patience, can_wait) as whole, open(whole, "wb") as file:
        yield file


@contextlib.contextmanager
def taking_place(path, patience=0, can_wait=False):
    """A path to write a file or a folder at, which takes the place of `path` once it is whole.

    It lies in a folder beside its place, is flushed to the disk and renamed, for `patience` seconds
    while another program holds what is at `path`. Raises UserError when that fails; what was at
    `path` is then still there. A held file that `can_wait`, because it is written again later,
    costs only a warning. Of two commands that write one file, the last to finish wins.
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
                held = f"{path}: cannot be replaced ({error.strerror}); close what has it open"
                break
        time.sleep(0.2)
    if not can_wait:
        raise UserError(f"{held}, and give the same command again; what was written is whole")
    if path not in WARNED:
        WARNED.add(path)
        say(f"warning: {held}; it is written again later", file=sys.stderr)


def replace_path(new, path):
    """Rename the file or folder `new` to `path`, in place of what is there.

    No rename replaces a full folder. It is renamed, removed once the new one is in its place, and
    put back when that fails.
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
    """Put bytes at `path` in one step, and their checksum beside them first."""
    with replacing(checksum_path(path), PATIENCE) as file:
        file.write(f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode())
    with replacing(path, PATIENCE) as file:
        file.write(content)


def checksum_path(path):
    """Where the checksum of a file lies, as sha256sum writes and checks it."""
    return path.with_name(path.name + ".sha256")


def checksum_command(path):
    """The command that writes the checksum of a file."""
    program = "sha256sum" if shutil.which("sha256sum") else "shasum -a 256"  # macOS
    return f"{program} {shlex.quote(str(path))} > {shlex.quote(str(checksum_path(path)))}"


def is_whole(path):
    """Whether a file is what its checksum says."""
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
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    partial.unlink()


def flush(path):
    """Have a file, or the renames in a folder, written to the disk itself, if that can be done.

    Many shares (CIFS, VirtualBox, WSL) cannot for folders: then it is written when they like.
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

            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # macOS, whose fsync stops at disk's cache
            return
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def unwritable(path, error, flag=""):
    """The UserError, suggesting the option `flag`, for what cannot be written."""
    mend = "give a folder that you may write to" + (f", with {flag}" if flag else "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        mend = "make room there; what was written before is whole"
    return UserError(f"{path}: cannot be written ({error.strerror or error}); {mend}")
