"""What a run shows: scores, grids, curves, history, TensorBoard logs and warnings."""

import contextlib
import functools
import gc
import importlib.util
import math
import sys

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from cli import UserError
from evaluation.scores import TrainingScore
from machine import files
from sampling import acceptance, codes
from sampling.sampler import Sampler
from storage import images
from storage.runs import EpochRecord

GRID_SAMPLES = 100  # samples 0 to 99 of the run's seed, the same in every grid
GIF_FRAMES = 100  # at most


class Logger:
    """Scores and draws with a step.Trainer, and writes what a run shows into its samples folder.

    TensorBoard's events after the epoch `epochs_resumed` are removed; they will be logged again.
    """

    def __init__(self, run, trainer=None, epochs_resumed=0):
        self.run, self.trainer = run, trainer
        self.epochs_logged, self.warned = 0, set()
        self.logs = open_tensorboard(run.samples / "logs")
        if self.logs:
            paths = sorted((run.samples / "logs").glob("events.out.tfevents.*"))
            logged = [drop_later_events(path, epochs_resumed) for path in paths]
            self.epochs_logged = max(logged, default=0)

    @functools.cached_property
    def sampler(self):
        return Sampler(self.trainer.generator_ema)

    @functools.cached_property
    def scorer(self):
        return TrainingScore(np.asarray(self.trainer.images))

    def draw(self, num_samples=GRID_SAMPLES):
        """The first samples of the run's seed, uint8 (num_samples, 28, 28)."""
        return np.concatenate([*self.sampler.sample(num_samples, self.run.settings.seed)])

    def score(self):
        """FID, rarest digit, pale ink and smear of the generator's EMA, as in EpochRecord."""
        return self.scorer.score(self.draw(self.scorer.num_samples))

    def save_grid(self, epoch, digits):
        """Write the grid of an epoch's digits (N, 28, 28)."""
        grid = images.add_title(images.make_grid(digits), f"epoch {epoch}")
        with files.atomic_file(self.grid_path(epoch)) as file:
            images.save_png(file, grid)
        if self.logs:
            with logging_to(self.logs, self.run.samples / "logs", epoch) as summary:
                summary.image("samples", grid[None, :, :, None])

    def log(self, history):
        """Write the history, a list of EpochRecord, and its curves."""
        self.run.save_history(history)
        with files.atomic_file(self.run.samples / "curves.png", can_wait=True) as file:
            images.save_curves(file, dict(zip(EpochRecord._fields, zip(*history))))
        gc.collect()  # figures are cycles, and each holds its canvas
        gc.freeze()  # so that the next collection, of 0.2 s otherwise, takes 0.01 s
        for record in history[self.epochs_logged :] if self.logs else ():
            with logging_to(self.logs, self.run.samples / "logs", record.epoch) as summary:
                for name, value in record._asdict().items():
                    if name not in ("epoch", "step") and math.isfinite(value):
                        summary.scalar(name, value)
        self.epochs_logged = len(history)

    def warn(self, history):
        """Print each warning about the history once."""
        for name, text in find_troubles(history).items():
            if name not in self.warned:
                self.warned.add(name)
                with contextlib.suppress(OSError):  # of a terminal that has gone
                    tqdm.write(f"warning: {text}", file=sys.stderr)

    def close(self):
        """Close the logs: some systems rename no folder with an open file in it."""
        gc.unfreeze()
        if self.logs:
            self.logs.close()

    def grid_path(self, epoch):
        return self.run.samples / f"epoch-{epoch:04d}.png"

    def finish(self, history, learns_mnist):
        """Write an animation, a picture of the codes and, for MNIST, the acceptance."""
        self.save_gif(history)
        if self.run.settings.num_codes:
            path = self.run.samples / "codes.png"
            codes.save_picture(path, self.sampler, self.run.settings.seed)
        if learns_mnist:
            generator, classifier = self.trainer.generator_ema, self.scorer.classifier
            acceptance.load_or_calibrate(self.run.folder, "latest", generator, classifier)

    def save_gif(self, history):
        grids = [self.grid_path(row.epoch) for row in history]
        grids = [path for path in grids if path.exists()]
        if grids:
            chosen = grids[:: -math.ceil(len(grids) / GIF_FRAMES)][::-1]  # with the last one
            pictures = [images.load_png(path) for path in chosen]
            size = pictures[-1].shape  # grids from before an edit of GRID_SAMPLES have another
            with files.atomic_file(self.run.samples / "training.gif", can_wait=True) as file:
                images.save_gif(file, [each for each in pictures if each.shape == size])


def find_troubles(history):
    """Warnings about a history, a list of EpochRecord: a dictionary from name to text."""
    columns = dict(zip(EpochRecord._fields, np.array(history, float).T))
    scored = np.isfinite(columns["fid"])
    fids = columns["fid"][scored]
    rarest = columns["rarest_digit"][np.isfinite(columns["rarest_digit"])]
    d_real, d_fake = columns["d_real"][-3:], columns["d_fake"][-3:]
    troubles = {}
    if len(history) >= 3 and min(d_real) > 0.95 and max(d_fake) < 0.05:
        troubles["discriminator"] = (
            "the discriminator has won: for three epochs it was sure of nearly all images, so the "
            "generator learns little; start another --run with more --dropout or another --seed"
        )
    if len(rarest) >= 2 and max(rarest[-2:]) < 0.1:
        troubles["mode collapse"] = (
            "digits have vanished: one of the ten is drawn less than a tenth as often as it should "
            "be (rarest_digit in the history); the best generator so far is kept; if none "
            "returns, start another --run with another --seed or a lower --learning_rate"
        )
    if len(fids) > 4 and min(fids[-4:]) > 1.1 * min(fids[:-4]):
        troubles["getting worse"] = (
            "the digits have been getting worse: the last four FIDs are all more than 10 % above "
            "the best; that generator is kept (generate_digits.py --snapshot best); stop here, "
            "or try another --run with a lower --learning_rate"
        )
    return troubles


def open_tensorboard(folder):
    """A writer of TensorBoard logs, or None where the tensorboard package is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    with log_errors_explained(folder):
        return tf.summary.create_file_writer(str(folder))


@contextlib.contextmanager
def logging_to(logs, folder, epoch):
    """tf.summary, whose functions log to a folder's TensorBoard logs as of an epoch."""
    with log_errors_explained(folder), logs.as_default(step=epoch):
        yield tf.summary
        logs.flush()


def drop_later_events(path, step):
    """Rewrite a file of TensorBoard's logs without the events after a step, if it has any.

    Returns the last step whose losses are in it, 0 without any.
    """
    events = []
    with contextlib.suppress(tf.errors.OpError):  # its end is cut off where training was killed
        for event in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            events.append(tf.compat.v1.Event.FromString(event))
    kept = [event for event in events if event.step <= step]
    if len(kept) < len(events):
        with (
            log_errors_explained(path.parent),
            files.atomic_path(path) as whole,
            tf.io.TFRecordWriter(str(whole)) as file,
        ):
            for event in kept:
                file.write(event.SerializeToString())
    has_losses = (e.step for e in kept if any(v.tag == "generator_loss" for v in e.summary.value))
    return max(has_losses, default=0)


@contextlib.contextmanager
def log_errors_explained(folder):
    """Turn TensorFlow's errors about a file that cannot be written into one UserError."""
    try:
        yield
    except tf.errors.OpError as error:
        reason = "no space left" if "No space left" in error.message else type(error).__name__
        raise UserError(
            f"{folder}: the logs for TensorBoard cannot be written ({reason}); make room there and "
            "give the same command again; the last checkpoint is whole"
        ) from error
