"""Training history, and running sums over the current epoch."""

import math

import numpy as np

from storage.runs import EpochRecord

METRICS = ("generator_loss", "discriminator_loss", "d_real", "d_fake")  # of a step


class Progress:
    """The history, a list of EpochRecord, and what the current epoch has summed up."""

    def __init__(self):
        self.history = []
        self.start_epoch()

    def start_epoch(self):
        """Forget the sums over the epoch before."""
        self.steps, self.seconds = 0, 0.0
        self.metric_sums = np.zeros(len(METRICS))

    def add(self, metrics, seconds):
        """Count steps with these METRICS, float (steps, 4), which took so many seconds."""
        for row in metrics:  # one by one: a resumed run must round as an uninterrupted one
            self.metric_sums += row
        self.steps += len(metrics)
        self.seconds += seconds

    def means(self):
        """Mean of each of the METRICS over the epoch so far, float (4,)."""
        return self.metric_sums / self.steps

    def end_epoch(self, images_per_step, *score):
        """Append the epoch to the history, with its scores, if any, and begin the next."""
        epoch = len(self.history) + 1
        rate = self.steps * images_per_step / self.seconds
        record = EpochRecord(epoch, epoch * self.steps, *self.means(), self.seconds, rate, *score)
        self.history.append(record)
        self.start_epoch()

    def best_fid(self):
        """The lowest FID so far, infinite before the first."""
        return min([math.inf, *(row.fid for row in self.history if math.isfinite(row.fid))])

    def arrays(self):
        """All of it as named arrays, for a checkpoint."""
        return {
            "history": np.array(self.history, float).reshape(-1, len(EpochRecord._fields)),
            "metric_sums": self.metric_sums.copy(),
            "steps_of_epoch": np.array(self.steps),
            "seconds_of_epoch": np.array(self.seconds),
        }

    def load(self, arrays):
        """Restore what arrays() returned, and remove it from a checkpoint's `arrays`."""
        rows = arrays.pop("history").tolist()
        self.history = [EpochRecord(int(epoch), int(step), *rest) for epoch, step, *rest in rows]
        self.metric_sums = arrays.pop("metric_sums")
        self.steps = int(arrays.pop("steps_of_epoch"))
        self.seconds = float(arrays.pop("seconds_of_epoch"))
