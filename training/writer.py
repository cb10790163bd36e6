"""Background writing: state is copied between steps and written while training continues."""

from concurrent.futures import ThreadPoolExecutor


class BackgroundWriter:
    """A thread that writes what it is given, in that order. Use as a context manager."""

    def __init__(self):
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.writing = None  # the future of what was submitted last

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Return once nothing is written any more, so that the run's lock can be given back."""
        self.thread.shutdown()

    def submit(self, *jobs):
        """Have these functions called in turn, each even if one before it fails.

        Then wait for what was submitted before, and raise the error that it raised, if any.
        """
        earlier, self.writing = self.writing, self.thread.submit(run_all, jobs)
        if earlier:
            earlier.result()

    def wait(self):
        """Return when all is on the disk; raise the error of what could not be written."""
        writing, self.writing = self.writing, None
        if writing:
            writing.result()


def run_all(jobs):
    """Call each function, even if one before it raises; then raise the first error."""
    errors = []
    for job in jobs:
        try:
            job()
        except Exception as error:
            errors.append(error)
    if errors:
        raise errors[0]
