"""Signals that ask training to stop."""

import contextlib
import os
import signal
import stat
import threading

from cli import drop_output

# The last three are sent ahead of a time limit, by Slurm's --signal and the like.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")


class Interruption:
    """Keeps the first signal that asks to stop in `number`, so that training can end between steps.

    A later SIGINT or SIGTERM ends the process at once; other later ones are ignored. SIGHUP says
    that the terminal has closed; signals that are unavailable, or already ignored (by nohup, for
    one), are left alone.
    """

    number = 0

    def __enter__(self):
        known = [getattr(signal, name, None) for name in NAMES]
        wanted = [each for each in known if each and signal.getsignal(each) != signal.SIG_IGN]
        if threading.current_thread() is not threading.main_thread():
            wanted = []  # only the main thread can handle signals
        self.previous = {number: signal.signal(number, self.note) for number in wanted}
        return self

    def __exit__(self, *_):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def note(self, number, _):
        self.number = self.number or number
        if signal.Signals(number).name == "SIGHUP":
            drop_terminal()
        for each in self.previous:
            name = signal.Signals(each).name
            if name in ("SIGINT", "SIGTERM"):
                signal.signal(each, signal.SIG_DFL)
            elif name != "SIGHUP":  # which may still close the terminal
                signal.signal(each, signal.SIG_IGN)


def drop_terminal():
    """Drop output that does not go to a file: a write to a terminal that has gone would fail."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if not stat.S_ISREG(os.fstat(stream).st_mode):
                drop_output(stream)
