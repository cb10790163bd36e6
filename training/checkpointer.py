"""Training states for resuming, and generator snapshots for sampling."""

import time

import numpy as np

from cli import UserError
from training.progress import Progress


class NotFinite(UserError):
    """The run's numbers are no longer finite, so they are not saved over a good checkpoint."""

    def __init__(self, where, what):
        super().__init__(
            f"{where}: no longer finite: {what}; nothing of it was saved over a good checkpoint. "
            "Resume from that one or, if it happens again, begin another --run with a lower "
            "--learning_rate"
        )


class Checkpointer:
    """Saves a run's training state and its generator, and resumes from them.

    A state is copied between two steps (`copy`) and may be written by another thread (`save`).
    """

    def __init__(self, run, gan, steps_per_epoch):
        self.run, self.gan, self.steps_per_epoch = run, gan, steps_per_epoch
        self.interval = run.settings.save_every
        self.saved = time.monotonic()

    def resume(self):
        """Put the newest training state into the networks, if there is one; return the Progress.

        Raises UserError when the disk has too little room, or when no state can be used.
        """
        self.run.check_room(self.gan.num_bytes())
        progress, arrays = Progress(), self.run.load_state()
        if arrays:
            check_finite(arrays, f"{self.run.folder}: its newest checkpoint")
            try:
                progress.load(arrays)
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"{self.run.folder}: its newest checkpoint was written by another version of "
                    "the code, which this one cannot go on from; give another --run name"
                ) from error
            self.gan.load_state(arrays)
            self.save_generator(arrays)  # in case the process was killed before it wrote that
        return progress

    def is_due(self, epoch=None):
        """Whether --save_every has passed: minutes at any time, epochs at the end of one."""
        if self.interval.endswith("m"):
            return time.monotonic() - self.saved >= 60 * int(self.interval[:-1])
        return epoch is not None and epoch % int(self.interval) == 0

    def copy(self, progress):
        """All that resuming needs, as named arrays."""
        self.saved = time.monotonic()
        return self.gan.state() | progress.arrays()

    def save(self, state):
        """Write a training state, then its generator; raises UserError if they are not finite."""
        step = int(state["step"])
        check_finite(state, f"step {step:,}")
        self.run.save_state(step, state)
        self.save_generator(state)

    def save_generator(self, state, which="latest"):
        """Write the snapshot of a training state's generator, the `latest` or the `best`."""
        owner = "generator_ema/"
        arrays = {name.removeprefix(owner): state[name] for name in state if name.startswith(owner)}
        check_finite(arrays, f"step {int(state['step']):,}")
        arrays["epoch"] = np.array(int(state["step"]) / self.steps_per_epoch)
        arrays["num_codes"] = np.array(self.run.settings.num_codes)
        self.run.save_generator(arrays, which)


def check_finite(arrays, where):
    """Raise NotFinite, naming them, if arrays hold NaN or infinity.

    The history is exempt: epochs without an FID are NaN.
    """
    bad = [name for name in arrays if name != "history" and not np.isfinite(arrays[name]).all()]
    if bad:
        raise NotFinite(where, ", ".join(bad[:3]))
