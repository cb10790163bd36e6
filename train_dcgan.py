"""Train a DCGAN on MNIST: `python train_dcgan.py`. To resume, run the same command again."""

import contextlib
import json
import math
import os
import sys
import time
from pathlib import Path

from machine.command import run_command  # first: it explains what is not installed

# isort: split
import numpy as np
from tqdm import tqdm

import data
from cli import UserError, say
from config import TrainSettings
from machine import cluster, locks
from machine.loading import importing_tensorflow
from machine.report import NVIDIA_DRIVER, print_report
from machine.signals import Interruption
from storage.runs import Run, format_epochs
from training.checkpointer import NotFinite
from training.progress import Progress
from training.writer import BackgroundWriter


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(TrainSettings, train, argv)


def train(settings, *networks):
    """Train, or resume, the run that the settings name; return the exit status.

    `networks` may be one object with the functions build_generator and build_discriminator.
    """
    if settings.report:
        return print_report(settings)
    locks.check_system()
    images = load_images(settings)
    is_chief = cluster.is_chief(settings.strategy, settings.port)
    with importing_tensorflow(use_gpu=True):  # only now, because it takes seconds
        from machine.provenance import describe_invocation
        from training import distributed, precision
        from training.chief import Chief
        from training.step import Trainer

        devices = distributed.Devices(settings)
    settings = precision.resolve(settings, devices.strategy)
    digest = data.digest(images)
    fixed = settings.fixed_on_resume() | {"images": digest}
    invocation = describe_invocation(settings, devices.description, digest)
    run = Run(settings)
    if settings.dry_run:
        return print_plan(run, fixed, invocation, len(images))
    with contextlib.ExitStack() as stack:
        stack.enter_context(distributed.errors_explained(devices.strategy))
        if is_chief:
            stack.enter_context(run)
            run.check_settings(fixed)
            run.save_settings(fixed, invocation)
            writer = stack.enter_context(BackgroundWriter())

        gan = Trainer(settings, images, devices.strategy, devices.compiled, *networks)
        chief, progress = None, Progress()
        if is_chief:
            chief = Chief(run, gan, images, writer)
            stack.callback(chief.close)
            progress = chief.resume()
        devices.workers.check_same(fixed | {"epochs": settings.epochs})
        devices.workers.broadcast(gan.variables().values())

        say(introduction(settings, devices.description, len(images), gan.steps_done, is_chief))
        with Interruption() as interruption:
            trainer = Loop(settings, gan, progress, chief, devices.workers, interruption)
            stopped_by = trainer.train()
        if stopped_by:
            same = "same command without --fresh" if settings.fresh else "same command"
            say(f"Stopped and saved at step {gan.steps_done:,}. To resume, run the {same} again.")
            return 128 + stopped_by
        say(f"Done: {gan.steps_done // (len(images) // settings.batch_size)} epochs.")
        if is_chief:
            chief.finish(progress.history, digest)
            say(f"Pictures are in {run.samples}; to draw digits:")
            say(f"  python generate_digits.py --run {settings.run} --num_samples 10")
    return 0


class Loop:
    """The loop over epochs and steps. The later workers of a cluster have no `chief`."""

    def __init__(self, settings, gan, progress, chief, workers, interruption):
        self.settings, self.gan, self.progress, self.chief = settings, gan, progress, chief
        self.workers, self.interruption = workers, interruption
        self.num_images = len(gan.images)
        self.steps_per_epoch = self.num_images // settings.batch_size

    def train(self):
        """Train until the last epoch or a stop signal; save; return the signal's number or 0."""
        chief, progress, last = self.chief, self.progress, self.settings.epochs
        try:
            with self.progress_bar() as bar:
                for epoch in range(self.gan.steps_done // self.steps_per_epoch + 1, last + 1):
                    bar.set_description(f"epoch {epoch}/{last}")
                    stopped_by = self.train_epoch(epoch, bar)
                    if stopped_by:
                        if chief:
                            chief.save(progress)
                            chief.writer.wait()
                        return stopped_by
                    if chief:
                        score = chief.score(epoch)
                        is_best = score.fid < progress.best_fid()
                        progress.end_epoch(self.settings.batch_size, *score)
                        chief.warn(progress.history)
                        chief.log_and_save(epoch, progress, is_best)
                        report(progress.history[-1], last)
                if chief:
                    chief.writer.wait()
            return 0
        except NotFinite:
            raise
        except (UserError, OSError):  # a picture or log was not written: the epoch is not lost
            if chief:
                with contextlib.suppress(UserError):
                    chief.save(progress)
                    chief.writer.wait()
            raise

    def train_epoch(self, epoch, bar):
        """Take the epoch's remaining steps, about one second of them per call.

        Returns the number of the signal that stopped it, which all workers obey together, or 0.
        """
        order = data.epoch_order(
            self.num_images, self.settings.batch_size, self.settings.seed, epoch - 1
        )
        count = 1
        while left := epoch * self.steps_per_epoch - self.gan.steps_done:
            count, stopped_by = self.workers.maximum([count, self.interruption.number])
            if stopped_by:
                return stopped_by
            start, taken = time.perf_counter(), min(left, count)
            metrics = self.gan.take_steps(order, np.array(taken, np.int32)).numpy()
            seconds = time.perf_counter() - start
            if not np.isfinite(metrics).all():
                raise NotFinite(f"step {self.gan.steps_done:,}", "the losses")
            self.progress.add(metrics, seconds)
            count = max(1, round(taken / seconds))
            g_loss, d_loss, *_ = self.progress.means()
            bar.set_postfix_str(f"generator {g_loss:.2f}, discriminator {d_loss:.2f}", False)
            bar.update(taken * self.settings.batch_size)
            if self.chief and left > taken and self.chief.checkpointer.is_due():
                self.chief.save(self.progress)
        return 0

    def progress_bar(self):
        """A bar of images seen, in a terminal, for the worker that reports."""
        images = self.steps_per_epoch * self.settings.batch_size
        return tqdm(
            total=self.settings.epochs * images,
            initial=self.gan.steps_done * self.settings.batch_size,
            unit=" images",
            unit_scale=True,
            bar_format="{desc} {percentage:.0f}%|{bar}|{rate_noinv_fmt}, {remaining} left{postfix}",
            disable=not (self.chief and sys.stderr.isatty()),
        )


def load_images(settings):
    """The training images; raises UserError when they do not fill a batch."""
    images = data.load_images(settings.data)
    if settings.batch_size > len(images):
        raise UserError(
            f"--batch_size {settings.batch_size} is more than the {len(images)} images in "
            f"{settings.data}; give a smaller one"
        )
    return images


def print_plan(run, fixed, invocation, num_images):
    """Print what training would do and write: --dry_run."""
    steps_done = 0
    if not run.settings.fresh:
        run.check_settings(fixed)
        steps_done = run.steps_saved()
    say(json.dumps(invocation, indent=2))
    say(introduction(run.settings, invocation["device"], num_images, steps_done, True))
    say("Nothing was trained or written: this was a dry run.")


def introduction(settings, device, num_images, steps_done, writes):
    """What will happen, in a few lines."""
    steps = num_images // settings.batch_size
    begun = f"resumed after epoch {format_epochs(steps_done / steps)}" if steps_done else "new"
    folders = [
        Path(root) / settings.run for root in (settings.checkpoints_dir, settings.samples_dir)
    ]
    lines = [
        f"Digitgen: run {settings.run!r}, {begun}, to epoch {settings.epochs}",
        f"  on      {device}",
        f"  images  {num_images:,} from {settings.data}",
        f"  steps   {steps:,} an epoch of {settings.batch_size} images, "
        f"{max(0, settings.epochs * steps - steps_done):,} to go",
        f"  writes  {folders[0]} (checkpoints), {folders[1]} (grids, curves, history)"
        if writes
        else "  writes  nothing: the first worker writes",
    ]
    if device.startswith("the CPU") and any(map(os.path.exists, NVIDIA_DRIVER)):
        lines.append(
            "  note    this machine has an NVIDIA GPU that TensorFlow does not see; to fix this: "
            "pip install -r requirements-gpu.txt"
        )
    return "\n".join(lines)


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


if __name__ == "__main__":
    sys.exit(main())
