"""Background writing: state is copied between steps and written while training continues."""

import threading
from concurrent.futures import ThreadPoolExecutor


class BackgroundWriter:
    """A thread that calls functions in the order in which they were submitted.

    A function that is still waiting when another one of its name comes is left out: a disk that is
    slower than the training gets the newest of each.
    """

    def __init__(self):
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.lock = threading.Lock()
        self.waiting = {}  # functions by name
        self.errors = []

    def submit(self, name, function):
        """Have the function called; then raise the first error of those called so far, if any."""
        with self.lock:
            self.waiting.pop(name, None)
            self.waiting[name] = function
        self.thread.submit(self.call_next)
        self.raise_error()

    def drain(self):
        """Return when all have been called."""
        self.thread.submit(lambda: None).result()

    def wait(self):
        """Return when all have been called; raise the first error, if any."""
        self.drain()
        self.raise_error()

    def close(self):
        """Return when all have been called, and end the thread."""
        self.thread.shutdown()

    def call_next(self):
        """Call the function that has waited longest; one that fails does not stop the others."""
        with self.lock:
            if not self.waiting:  # one that a newer one replaced
                return
            function = self.waiting.pop(next(iter(self.waiting)))
        try:
            function()
        except Exception as error:
            self.errors.append(error)

    def raise_error(self):
        """Raise the first error since the last call, if there is one."""
        errors, self.errors = self.errors, []
        if errors:
            raise errors[0]
