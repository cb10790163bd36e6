"""What the main process does besides training: scoring, drawing, logging and saving.

The code that scores and draws is imported when it is first needed (`logger`).
"""

import contextlib
import functools
import sys
import time

import numpy as np

import data
from cli import UserError, say
from config import TrainSettings
from evaluation.classifier import check_weights
from machine.command import script_command
from machine.plotting import plain_matplotlib
from machine.provenance import describe_invocation
from storage.runs import Run
from training.progress import Progress
from training.writer import BackgroundWriter

PAUSE = 10  # seconds between two pictures of the curves and, by default, between two saves


class NotFinite(UserError):
    """The run's numbers are no longer finite, so they are not saved over a good checkpoint."""

    def __init__(self, where, what):
        super().__init__(
            f"{where}: NaN or infinity in {what}; earlier checkpoints are intact. Resume or, if "
            "this happens again, start another --run with a lower --learning_rate"
        )


@contextlib.contextmanager
def main_process(settings, fixed, devices):
    """The MainProcess of the run that the settings name, which is locked meanwhile.

    None in the later workers of a cluster. `fixed` maps what is fixed on resume to JSON values: the
    settings, the losses, and `images` to the data.digest of the training images. `devices` are the
    distributed.Devices. Raises UserError when the run is locked, or began with other values.
    """
    if not devices.is_main:
        yield None
        return
    with Run(settings) as run:
        run.check_settings(fixed)
        with plain_matplotlib():
            pass  # fails now rather than after an epoch
        if fixed["images"] == data.MNIST_DIGEST:  # likewise: scores need it
            check_weights()
        with contextlib.closing(MainProcess(run, fixed, devices.description)) as process:
            yield process


class MainProcess:
    """Resumes, scores, draws, logs and saves a storage.runs.Run.

    `fixed` is as in main_process, and `device` says on what the run is trained. States are copied
    between two steps; a thread writes them while training goes on, and its errors are raised by
    the next call.
    """

    def __init__(self, run, fixed, device):
        self.run, self.settings = run, run.settings
        self.fixed, self.device = fixed, device
        self.learns_mnist = fixed["images"] == data.MNIST_DIGEST
        self.writer, self.epochs_resumed = BackgroundWriter(), 0
        self.saved_at = self.logged_at = time.monotonic()

    def close(self):
        """Write what is still to be written, and close the logs."""
        self.writer.close()
        if "logger" in vars(self):
            self.logger.close()

    @functools.cached_property
    def logger(self):
        from training.logger import Logger

        return Logger(self.run, self.trainer, self.epochs_resumed)

    def resume(self, trainer):
        """Load the newest training state into a step.Trainer, or cluster the images of a new run.

        Returns its Progress, and adds this invocation to the run's settings.json. Raises UserError
        when the disk has too little room, or when no state can be used.
        """
        self.trainer = trainer
        self.run.check_room(trainer.num_bytes())
        progress, arrays = Progress(), self.run.load_state()
        if arrays:
            if bad := not_finite(arrays):
                raise UserError(
                    f"{self.run.states()[-1]}: has numbers that are not finite ({bad}); delete it "
                    "to go on from the state before or, without one, give another --run name"
                )
            try:
                progress.load(arrays)
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(
                    f"{self.run.folder}: its newest checkpoint was written by another version of "
                    "the code and cannot be resumed by this one; give another --run name"
                ) from error
            trainer.load_state(arrays)
            self.write_generator(arrays)  # in case the process was killed before writing it
        else:
            if self.settings.num_clusters:
                say(f"Finding {self.settings.num_clusters} clusters of the images ...")
            trainer.find_clusters()
        invocation = describe_invocation(self.settings, self.device, self.fixed["images"])
        self.run.save_settings(self.fixed, invocation)
        self.epochs_resumed = len(progress.history)
        if progress.history:
            self.draw_missing(progress)
        return progress

    def draw_missing(self, progress):
        """Have the curves and, where it is missing, the newest grid written again.

        Warns of earlier grids that are missing, because their generators are gone.
        """
        history, every = progress.history, self.settings.sample_every
        grids = [self.logger.grid_path(row.epoch) for row in history if row.epoch % every == 0]
        missing = [path for path in grids if not path.exists()]
        newest = self.logger.grid_path(len(history))
        if newest in missing and not progress.steps:  # the generator is that of the epoch's end
            self.logger.save_grid(len(history), self.logger.draw())
            missing.remove(newest)
        if missing:
            some = ", ".join(path.name for path in missing[:5]) + ", ..." * (len(missing) > 5)
            say(
                f"warning: {self.run.samples}: lacks {some}, which cannot be drawn again, because "
                "the generators of those epochs are gone",
                file=sys.stderr,
            )
        self.log(progress)

    def end_epoch(self, progress):
        """Score the epoch and add it to the history; have its grid, and all that is due, written.

        Curves and history come every PAUSE seconds, states as --save_every says, and all of them at
        the end.
        """
        epoch = len(progress.history) + 1
        is_last = epoch == self.settings.epochs
        logger, best_fid = self.logger, progress.best_fid()
        progress.end_epoch(self.settings.batch_size, *self.score(epoch))
        is_best = progress.history[-1].fid < best_fid  # NaN is not
        logger.warn(progress.history)
        if is_last or epoch % self.settings.sample_every == 0:
            grid = functools.partial(logger.save_grid, epoch, logger.draw())
            self.writer.submit(f"grid {epoch}", grid)
        if is_last or time.monotonic() - self.logged_at >= PAUSE:
            self.log(progress)
        if is_best:  # before the state, whose history says that it is there; never dropped
            write_best = functools.partial(self.write_generator, self.trainer.state(), "best")
            self.writer.submit(f"best {epoch}", write_best)
        if is_last or self.is_due(epoch):
            self.save(progress)

    def score(self, epoch):
        """The scores of an epoch; none where none are due, or the images are not MNIST's."""
        every = self.settings.evaluate_every
        if not self.learns_mnist or not every or epoch % every:
            return ()
        return self.logger.score()

    def log(self, progress):
        """Have the history and its curves written."""
        self.logged_at = time.monotonic()
        self.writer.submit("log", functools.partial(self.logger.log, [*progress.history]))

    def is_due(self, epoch=None):
        """Whether --save_every asks for a save now: after `epoch` or, if None, within one."""
        every, passed = self.settings.save_every, time.monotonic() - self.saved_at
        if every.endswith("m"):
            return passed >= 60 * int(every[:-1])
        if epoch is None:
            return False
        return passed >= PAUSE if every == "auto" else epoch % int(every) == 0

    def save(self, progress):
        """Have the training state and the generator written."""
        self.saved_at = time.monotonic()
        state = self.trainer.state() | progress.arrays()
        if self.settings.save_every != "auto":
            self.writer.drain()  # so that no newer state replaces one that was asked for
        self.writer.submit("state", functools.partial(self.write_state, state))

    def stop(self, progress):
        """Save before the last epoch has ended; return when all is on the disk."""
        self.save(progress)
        if progress.history:
            self.log(progress)
        self.writer.wait()

    def write_state(self, state):
        """Write a training state, then its generator; raises UserError if they are not finite."""
        step = int(state["step"])
        if bad := not_finite(state):
            raise NotFinite(f"step {step:,}", bad)
        self.run.save_state(step, state)
        self.write_generator(state)

    def write_generator(self, state, which="latest"):
        """Write the snapshot of a training state's generator, the `latest` or the `best`."""
        owner = "generator_ema/"
        arrays = {name.removeprefix(owner): state[name] for name in state if name.startswith(owner)}
        if bad := not_finite(arrays):
            raise NotFinite(f"step {int(state['step']):,}", bad)
        steps_per_epoch = len(self.trainer.images) // self.settings.batch_size
        arrays["epoch"] = np.array(int(state["step"]) / steps_per_epoch)
        arrays["num_codes"] = np.array(self.settings.num_codes)
        self.run.save_generator(arrays, which)

    def finish(self, history):
        """Write what a finished run has besides, and say how to draw with it."""
        self.logger.finish(history, self.learns_mnist)
        say(f"Pictures are in {self.run.samples}; to draw digits:")
        words = ["--run", self.settings.run, "--num_samples", 10]
        for name in ("checkpoints_dir", "samples_dir"):
            if getattr(self.settings, name) != getattr(TrainSettings, name):
                words += [f"--{name}", getattr(self.settings, name)]
        say(f"  {script_command('generate_digits.py', *words)}")


def not_finite(arrays):
    """The names of up to three arrays that hold NaN or infinity; "" if all are finite.

    The history is exempt: epochs without an FID are NaN.
    """
    bad = [name for name in arrays if name != "history" and not np.isfinite(arrays[name]).all()]
    return ", ".join(bad[:3])
