"""A lock that lets only one process train a run.

The file `lock` in a run's folder is locked with flock, so the lock ends with the process, even a
killed one. The file names its owner, for the message that refuses a second process.
"""

import contextlib
import os
import socket
import sys

from cli import UserError, say
from machine.files import unwritable

WARNED = set()  # locks without support of the file system that have been warned about


def check_system():
    """Raise UserError on a system without the locks that keep two processes off one run."""
    try:
        import fcntl  # noqa: F401
    except ImportError as error:
        raise UserError(
            "training needs Linux or macOS; on Windows run it in WSL (drawing, scoring and "
            "exporting work here)"
        ) from error


class Lock:
    """The lock at `path`, held until `release`. Raises UserError when another process holds it."""

    def __init__(self, path):
        import fcntl  # which Windows lacks, where only training needs it

        self.path, is_current = path, False
        while not is_current:  # the folder may be renamed before its lock is taken
            try:
                self.file = open(path, "a+", errors="replace")
            except OSError as error:
                raise unwritable(path, error) from error
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                owner = self.read_owner()
                self.file.close()
                raise UserError(
                    f"{path.parent}: another process{owner} is training this run; wait for it, "
                    "stop it, or give another --run name"
                ) from error
            except OSError as error:
                if path not in WARNED:
                    WARNED.add(path)
                    say(
                        f"warning: {path.parent}: this file system has no locks "
                        f"({error.strerror}); make sure that no other process trains this run",
                        file=sys.stderr,
                    )
            with contextlib.suppress(OSError):
                is_current = os.path.samestat(os.fstat(self.file.fileno()), path.stat())
            if not is_current:
                self.file.close()
        self.write_owner(f" (process {os.getpid()} on {socket.gethostname()})")

    def release(self):
        """Give the lock back; a second time does nothing."""
        if not self.file.closed:
            self.write_owner("")
            self.file.close()

    def read_owner(self):
        """What the holder wrote about itself, to be read after "another process"."""
        try:
            self.file.seek(0)
            return self.file.readline(200)
        except OSError:
            return ""

    def write_owner(self, owner):
        """Replace the text of the file; a full disk is no error, because the lock holds anyway."""
        with contextlib.suppress(OSError):
            self.file.truncate(0)
            # Unbuffered: what a full disk refuses must not be tried again when the file is closed.
            os.write(self.file.fileno(), owner.encode())
