"""The loop over epochs and steps."""

import contextlib
import math
import sys
import time

import numpy as np
from tqdm import tqdm

import data
from cli import UserError, say
from machine.signals import Interruption
from training.main_process import NotFinite


class Loop:
    """Trains `trainer`, a step.Trainer, up to the last epoch of the settings.

    `main` is the MainProcess, or None in the later workers of a cluster; `progress` is its
    Progress, and `workers` are the distributed.Workers.
    """

    def __init__(self, settings, trainer, progress, main, workers):
        self.settings, self.trainer, self.progress = settings, trainer, progress
        self.main, self.workers = main, workers
        self.steps_per_epoch = len(trainer.images) // settings.batch_size
        self.count = 1  # steps per call, about a second of them

    def run(self):
        """Train until the last epoch or a stop signal; save; return the signal's number or 0."""
        last = self.settings.epochs
        with Interruption() as interruption, self.progress_bar() as bar, self.saved_on_error():
            # The current epoch may have all its steps: if its score failed, it has not ended yet.
            begun = (self.trainer.steps_done - self.progress.steps) // self.steps_per_epoch
            for epoch in range(begun + 1, last + 1):
                bar.set_description(f"epoch {epoch}/{last}")
                stopped_by = self.take_epoch(epoch, bar, interruption)
                if stopped_by:
                    if self.main:
                        self.main.stop(self.progress)
                    return stopped_by
                if self.main:
                    self.main.end_epoch(self.progress)
                    report(self.progress.history[-1], last)
            if self.main:
                self.main.writer.wait()
        return 0

    def take_epoch(self, epoch, bar, interruption):
        """Take the epoch's remaining steps, about one second of them per call.

        Returns the number of the signal that stopped it, which all workers obey together, or 0.
        """
        batch_size, seed = self.settings.batch_size, self.settings.seed
        order = data.epoch_order(len(self.trainer.images), batch_size, seed, epoch - 1)
        while left := epoch * self.steps_per_epoch - self.trainer.steps_done:
            count, stopped_by = self.workers.maximum([self.count, interruption.number])
            if stopped_by:
                return stopped_by
            start, taken = time.perf_counter(), min(left, count)
            metrics = self.trainer.take_steps(order, taken)
            seconds, taken = time.perf_counter() - start, len(metrics)
            if not np.isfinite(metrics).all():
                raise NotFinite(f"step {self.trainer.steps_done:,}", "the losses")
            self.progress.add(metrics, seconds)
            self.count = max(1, round(taken / seconds))
            g_loss, d_loss, *_ = self.progress.means()
            bar.set_postfix_str(f"generator {g_loss:.2f}, discriminator {d_loss:.2f}", False)
            bar.update(taken * batch_size)
            if self.main and left > taken and self.main.is_due():
                self.main.save(self.progress)
        return 0

    @contextlib.contextmanager
    def saved_on_error(self):
        """Save after an error that leaves the networks intact, such as an unwritable picture."""
        try:
            yield
        except NotFinite:
            raise
        except (UserError, OSError):
            if self.main:
                with contextlib.suppress(UserError, OSError):
                    self.main.stop(self.progress)
            raise

    def progress_bar(self):
        """A bar of images seen, in a terminal, for the worker that reports."""
        images = self.steps_per_epoch * self.settings.batch_size
        return tqdm(
            total=self.settings.epochs * images,
            initial=self.trainer.steps_done * self.settings.batch_size,
            unit=" images",
            unit_scale=True,
            bar_format="{desc} {percentage:.0f}%|{bar}|{rate_noinv_fmt}, {remaining} left{postfix}",
            disable=not (self.main and sys.stderr.isatty()),
        )


def report(record, epochs):
    """Print a line about an epoch, an EpochRecord; in a terminal above the progress bar."""
    left = round((epochs - record.epoch) * record.seconds / 60)
    fid = f"FID {record.fid:.4g}  " if math.isfinite(record.fid) else ""
    line = (
        f"epoch {record.epoch}/{epochs}  generator {record.generator_loss:.3f}  "
        f"discriminator {record.discriminator_loss:.3f}  D(x) {record.d_real:.2f}  "
        f"D(G(z)) {record.d_fake:.2f}  {fid}{record.seconds:.1f} s  "
        f"{record.images_per_second:,.0f} images/s  {left // 60}:{left % 60:02d} h left"
    )
    with tqdm.external_write_mode():
        say(line)
