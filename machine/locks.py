"""A lock that lets only one process train a run.

The file `lock` in a run's folder is locked with flock where supported; the lock is released when
the process ends, however it ends. It also names its owner, so that a second process on the same
host is refused where the file system knows no locks (Lustre, some NFS).
"""

import contextlib
import json
import os
import socket
import sys
from pathlib import Path

from cli import UserError, say
from machine.files import unwritable

WARNED = set()  # the folders of which a warning has said that they cannot be locked


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

        self.path = path
        while True:
            try:
                self.file = open(path, "a+")
            except OSError as error:
                raise unwritable(path, error) from error
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError) as error:
                holder = self.read_owner()
                self.file.close()
                raise in_use(path, holder) from error
            except OSError as error:  # this file system knows no locks
                self.check_owner(error)
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(self.file.fileno()), path.stat()):
                    break
            self.file.close()  # it was set aside in between
        self.write_owner(describe_process(os.getpid()))

    def release(self):
        """Give the lock back; a second time does nothing."""
        if not self.file.closed:
            self.write_owner({})
            self.file.close()

    def read_owner(self):
        """What the holder wrote about itself, as describe_process has it; {} if it is not known."""
        try:
            self.file.seek(0)
            owner = json.loads(self.file.read())
            return owner if isinstance(owner, dict) else {}
        except (OSError, ValueError, RecursionError):
            return {}

    def write_owner(self, owner):
        """Put `owner` in the place of what the file says; it may be full, and held all the same."""
        with contextlib.suppress(OSError):
            self.file.truncate(0)
            # Unbuffered: what a full disk refuses must not be tried again when the file is closed.
            os.write(self.file.fileno(), json.dumps(owner).encode() if owner else b"")

    def check_owner(self, error):
        """Refuse the run if the file's owner lives on this host; warn that others go unnoticed."""
        owner, here = self.read_owner(), socket.gethostname()
        known = f"{self.path.parent}: this file system has no locks ({error.strerror})"
        if owner.get("host") == here and is_alive(owner):
            self.file.close()
            raise in_use(self.path, owner) from error
        if owner and owner.get("host") != here:
            known += f"; {name(owner)} began to train this run and did not end, or still trains it"
        if self.path not in WARNED:
            say(f"warning: {known}; see to it that no other host trains this run", file=sys.stderr)
            WARNED.add(self.path)


def describe_process(pid):
    """Host, number and start of a process: numbers are used again, starts are not."""
    return {"host": socket.gethostname(), "pid": pid, "started": started(pid)}


def started(pid):
    """When a process started, in words of Linux's own (boot, clock ticks); "" if not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{boot} {ticks}"
    except (OSError, IndexError):
        return ""


def is_alive(owner):
    """Whether the process that describe_process described on this host is still there."""
    pid, begun = owner.get("pid"), owner.get("started")
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass  # it is there, and someone else's
    return not begun or not started(pid) or started(pid) == begun


def in_use(path, owner):
    """The UserError for a run that another process trains."""
    which = f" ({name(owner)})" if owner else ""
    return UserError(
        f"{path.parent}: another process{which} is training this run; wait for it, stop it, or "
        "give another --run name"
    )


def name(owner):
    """A process in words."""
    return f"process {owner.get('pid')} on {owner.get('host')}"
