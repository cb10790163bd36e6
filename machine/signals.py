"""Signals that ask training to stop."""

import signal
import threading

from cli import drop_output

FROM_PEOPLE = ("SIGINT", "SIGTERM", "SIGHUP")
# Sent ahead of a time limit, by Slurm's --signal and the like; machines may send them twice.
FROM_SCHEDULERS = ("SIGUSR1", "SIGUSR2", "SIGXCPU")


class Interruption:
    """Keeps the first signal that asks to stop in `number`, so that training can end between steps.

    A later SIGINT or SIGTERM ends the process at once; later ones of schedulers are ignored. SIGHUP
    says that the terminal has closed; signals that are unavailable, or already ignored (by
    nohup, for one), are left alone.
    """

    number = 0

    def __enter__(self):
        known = [getattr(signal, name, None) for name in (*FROM_PEOPLE, *FROM_SCHEDULERS)]
        wanted = [each for each in known if each and signal.getsignal(each) != signal.SIG_IGN]
        if threading.current_thread() is not threading.main_thread():
            wanted = []  # only the main thread can handle signals
        self.previous = {number: signal.signal(number, self.note) for number in wanted}
        return self

    def __exit__(self, *_):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def note(self, number, _):
        self.number = number
        for each in self.previous:
            from_scheduler = signal.Signals(each).name in FROM_SCHEDULERS
            signal.signal(each, signal.SIG_IGN if from_scheduler else signal.SIG_DFL)
        if signal.Signals(number).name == "SIGHUP":
            signal.signal(number, signal.SIG_IGN)  # it can come twice, from kernel and shell
            for stream in (1, 2):  # a write to a terminal that has gone would fail
                drop_output(stream)
