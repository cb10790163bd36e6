"""Background writing: state is copied between steps and written while training continues."""

from concurrent.futures import ThreadPoolExecutor


class BackgroundWriter:
    """A thread that calls functions in the order in which they were submitted.

    A function that is still waiting when another of its name is submitted is dropped, so that a
    slow disk gets only the newest of each.
    """

    def __init__(self):
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.submitted = []  # names and futures, until their errors have been looked for

    def submit(self, name, function):
        """Have the function called; then raise the first error of those called so far, if any."""
        for other, future in self.submitted:
            if other == name:
                future.cancel()  # unless it has begun
        self.submitted.append((name, self.thread.submit(function)))
        self.raise_error()

    def drain(self):
        """Return when all have been called."""
        self.thread.submit(lambda: None).result()

    def wait(self):
        """Return when all have been called; raise the first error, if any."""
        self.drain()
        self.raise_error()

    def close(self):
        """Return when all have been called, and end the thread; errors are not raised."""
        self.thread.shutdown()

    def raise_error(self):
        """Raise the first error since the last call, if there is one."""
        done = [future for _, future in self.submitted if future.done()]
        self.submitted = [each for each in self.submitted if each[1] not in done]
        for future in done:
            if not future.cancelled():
                future.result()
