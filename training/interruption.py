"""Signals that ask training to stop."""

import os
import signal


class Interruption:
    """Notes the first Ctrl-C, SIGTERM or SIGHUP, to be obeyed between steps; a second ends at once.

    SIGHUP says that the terminal has closed; `nohup` has it ignored.
    """

    number = 0

    def __enter__(self):
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        self.previous = {number: signal.signal(number, self.note) for number in numbers}
        return self

    def __exit__(self, *_):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def note(self, number, _):
        self.number = number
        for each in self.previous:
            signal.signal(each, signal.SIG_DFL)
        if number == signal.SIGHUP:
            signal.signal(number, signal.SIG_IGN)  # it can come twice, from kernel and shell
            for stream in (1, 2):  # a write to a terminal that has gone would fail
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
