"""What one worker does beside training: it scores, draws, logs and saves, for all of them."""

import contextlib
import functools
import sys

import numpy as np
from tqdm import tqdm

import data
from evaluation.classifier import DigitClassifier
from evaluation.scores import TrainingScore
from sampling import acceptance, codes
from sampling.sampler import Sampler
from training.checkpointer import Checkpointer
from training.logger import GRID_SAMPLES, Logger, find_troubles
from training.progress import UNSCORED, EpochScore


class Chief:
    """Scores, logs and saves the run of `gan`, which is trained on `images` (N, 28, 28).

    `writer` is a BackgroundWriter. A write error is raised at the next call, after the next job has
    been queued.
    """

    def __init__(self, run, gan, images, writer):
        self.run, self.settings, self.writer = run, run.settings, writer
        self.checkpointer = Checkpointer(run, gan, len(images) // self.settings.batch_size)
        self.logger = Logger(run)
        self.sampler = Sampler(gan.generator_ema)
        self.scorer = TrainingScore(images) if self.settings.evaluate_every else None
        self.warned = set()

    def resume(self):
        """Put the newest training state into the networks, if there is one; return the Progress."""
        progress = self.checkpointer.resume()
        self.logger.drop_later_logs(len(progress.history))
        return progress

    def close(self):
        """Write what is still to be written, and close the logs."""
        self.writer.close()
        self.logger.close()

    def score(self, epoch):
        """The epoch's EpochScore, NaN unless --evaluate_every epochs have passed."""
        if not self.scorer or epoch % self.settings.evaluate_every:
            return UNSCORED
        return EpochScore(*self.scorer.score(self.draw(self.scorer.num_samples)))

    def draw(self, num_samples):
        """The first samples of the run's seed, uint8 (num_samples, 28, 28)."""
        return np.concatenate([*self.sampler.sample(num_samples, self.settings.seed)])

    def warn(self, history):
        """Print each warning about the history once."""
        for name, text in find_troubles(history).items():
            if name not in self.warned:
                self.warned.add(name)
                with contextlib.suppress(OSError):  # of a terminal that has gone
                    tqdm.write(f"warning: {text}", file=sys.stderr)

    def log_and_save(self, epoch, progress, is_best):
        """Have the epoch logged, with its grid if it gets one, and saved if it is time."""
        is_last = epoch == self.settings.epochs
        is_drawn = is_last or epoch % self.settings.sample_every == 0
        digits = self.draw(GRID_SAMPLES) if is_drawn else None
        jobs = [functools.partial(self.logger.log_epoch, [*progress.history], digits)]
        is_due = is_last or self.checkpointer.is_due(epoch)
        if is_best or is_due:
            state = self.checkpointer.copy(progress)
        if is_best:  # before the state, whose history says that it is there
            jobs.append(functools.partial(self.checkpointer.save_generator, state, "best"))
        if is_due:
            jobs.append(functools.partial(self.checkpointer.save, state))
        self.writer.submit(*jobs)

    def finish(self, history, images_digest):
        """Write what shows or serves the finished run: a film, its codes, and a calibration.

        The calibration, of which samples to accept, is for a run that learned MNIST.
        """
        self.logger.save_gif(history)
        if self.settings.num_codes:
            path = self.run.samples / "codes.png"
            codes.save_picture(path, self.sampler, self.settings.seed)
        if images_digest == data.MNIST_DIGEST:
            classifier = self.scorer.classifier if self.scorer else DigitClassifier()
            acceptance.load_or_calibrate(
                self.run.folder, "latest", self.sampler.generator, classifier
            )

    def save(self, progress):
        """Have the training state and the generator written."""
        state = self.checkpointer.copy(progress)
        self.writer.submit(functools.partial(self.checkpointer.save, state))
