"""Train a DCGAN on MNIST: `python train_dcgan.py`. The same command continues where it stood."""

import contextlib
import hashlib
import json
import math
import os
import signal
import sys
import time

import numpy as np
from tqdm import tqdm

import cluster
import data
import runs
from config import TrainSettings, UserError, command, quiet_start
from record import Record, diverged

# What NVIDIA's driver leaves on Linux, and on Windows' WSL.
NVIDIA_DRIVER = ("/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libnvidia-ml.so.1")


def main(argv=None):
    """The exit status of the command with these words."""
    return command(TrainSettings, train, argv)


def train(settings):
    """Train, or continue, the run that the settings name; returns the exit status."""
    pixels = data.load_images(settings.data)
    if settings.batch_size > len(pixels):
        raise UserError(
            f"--batch_size {settings.batch_size} is more than the {len(pixels)} images in "
            f"{settings.data}; give a smaller one"
        )
    chief = cluster.is_chief(settings.strategy)
    with quiet_start():
        # TensorFlow takes seconds to import: only now that the settings are known to be good.
        import devices
        from dcgan import DCGAN
        from scores import QuickScore

        strategy = devices.prepare(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(devices.errors_explained(strategy))
        identity = settings.identity() | {"images": data.digest(pixels)}
        run = record = None
        if chief:
            run = stack.enter_context(runs.Run(settings))
            run.check_settings(identity)
        gan = DCGAN(settings, pixels, strategy, devices.use_xla(settings, strategy))
        if chief:
            judge = QuickScore(pixels) if settings.evaluate_every else None
            steps = len(pixels) // settings.batch_size
            record = stack.enter_context(Record(run, gan, steps, judge))
        check_agreement(gan, identity | {"epochs": settings.epochs})
        gan.share_state()
        trainer = Trainer(settings, gan, len(pixels), record)
        print(introduction(trainer, devices.describe(strategy)), flush=True)
        with Interruption() as interruption:
            stopped_by = trainer.train(interruption)
        if stopped_by:
            same = "same command without --fresh" if settings.fresh else "same command"
            print(f"Stopped and saved at step {gan.steps_done:,}. The {same} continues.")
            return 128 + stopped_by
        print(f"Done: {gan.steps_done // trainer.steps} epochs.")
        if record:
            record.save_gif()
            print(f"Pictures are in {run.samples}; to draw digits:")
            print(f"  python generate_digits.py --run {settings.run} --num_samples 10")
    return 0


def check_agreement(gan, settings):
    """Raise UserError, in every worker of a cluster, unless all have the same settings."""
    text = json.dumps(settings, sort_keys=True).encode()
    mark = int.from_bytes(hashlib.sha256(text).digest()[:3])
    if gan.agree([mark, -mark]) != [mark, -mark]:
        raise UserError(
            "the workers of this cluster were given different settings or images; start all of "
            "them with the same command"
        )


def introduction(trainer, devices):
    """What will happen, in a few lines."""
    settings, steps, done = trainer.settings, trainer.steps, trainer.gan.steps_done
    begun = f"continued after epoch {done / steps:.4g}" if done else "new"
    writes = "nothing: the first worker writes"
    if trainer.record:
        run = trainer.record.run
        writes = f"{run.folder} (checkpoints), {run.samples} (grids, curves, history)"
    lines = [
        f"Digitgen: run {settings.run!r}, {begun}, to epoch {settings.epochs}",
        f"  on      {devices}",
        f"  images  {trainer.num_images:,} from {settings.data}",
        f"  steps   {steps:,} an epoch of {settings.batch_size} images, "
        f"{max(0, settings.epochs * steps - done):,} to go",
        f"  writes  {writes}",
    ]
    if devices.startswith("the CPU") and any(map(os.path.exists, NVIDIA_DRIVER)):
        lines.append(
            "  note    this machine has an NVIDIA GPU that TensorFlow does not see; to mend it: "
            "pip install -r requirements-gpu.txt"
        )
    return "\n".join(lines)


class Trainer:
    """The loop. `record` keeps what it does; the later workers of a cluster have none."""

    def __init__(self, settings, gan, num_images, record):
        self.settings, self.gan, self.record = settings, gan, record
        self.num_images = num_images
        self.steps = num_images // settings.batch_size  # an epoch
        self.pace = 1  # steps that take about a second

    def train(self, interruption):
        """Train to the last epoch, or until a signal, whose number it returns; all is saved."""
        done, images_a_step = self.gan.steps_done, self.settings.batch_size
        with tqdm(
            total=self.settings.epochs * self.steps * images_a_step,
            initial=done * images_a_step,
            unit=" images",
            unit_scale=True,
            bar_format="{desc} {percentage:.0f}%|{bar}|{rate_noinv_fmt}, {remaining} left{postfix}",
            disable=not (self.record and sys.stderr.isatty()),
        ) as bar:
            for epoch in range(done // self.steps, self.settings.epochs):
                bar.set_description(f"epoch {epoch + 1}/{self.settings.epochs}")
                stopped_by = self.train_epoch(epoch, bar, interruption)
                if stopped_by:
                    self.save_at_last()
                    return stopped_by
                self.end_epoch(epoch + 1)
        if self.record:
            self.record.wait()
        return 0

    def train_epoch(self, epoch, bar, interruption):
        """Take the epoch's remaining steps, about a second's worth a call.

        Returns the number of the signal that stopped it, which all workers obey together, or 0.
        """
        seed, batch_size = self.settings.seed, self.settings.batch_size
        order = data.epoch_order(self.num_images, batch_size, seed, epoch)
        while left := (epoch + 1) * self.steps - self.gan.steps_done:
            count, stopped_by = self.gan.agree([self.pace, interruption.number])
            if stopped_by:
                return stopped_by
            start, count = time.perf_counter(), min(left, count)
            self.gan.train_steps(order, np.array(count, np.int32))
            g_loss, d_loss, *_ = means = self.gan.means(self.steps)
            if not all(map(math.isfinite, means)):
                raise diverged(f"step {self.gan.steps_done:,}", "the losses")
            elapsed = time.perf_counter() - start
            self.pace = max(1, round(count / elapsed))
            bar.set_postfix_str(f"generator {g_loss:.2f}, discriminator {d_loss:.2f}", False)
            bar.update(count * batch_size)
            if self.record:
                self.record.seconds += elapsed
                if left > count and self.record.is_time_to_save():
                    self.record.save()
        return 0

    def end_epoch(self, epoch):
        """Have the epoch's results shown and kept."""
        if not self.record:
            self.gan.start_epoch()
            return
        try:
            self.record.end_epoch(epoch)
            if not (sys.stdout.isatty() and sys.stderr.isatty()):
                print(report(self.record.history[-1], self.settings.epochs), flush=True)
        except (UserError, OSError):  # of the epoch before, or of a log; must not cost this epoch
            with contextlib.suppress(UserError):
                self.save_at_last()
            raise

    def save_at_last(self):
        """Save, and return when that is on the disk."""
        if self.record:
            self.record.save()
            self.record.wait()


def report(row, epochs):
    """One line about an epoch, for a pipe or a log file; `row` as in runs.COLUMNS."""
    epoch, _, generator, discriminator, real, fake, seconds, rate, distance, _ = row
    minutes, hours = divmod(round((epochs - epoch) * seconds / 60), 60)[::-1]
    return (
        f"epoch {epoch}/{epochs}  generator {generator:.3f}  discriminator {discriminator:.3f}  "
        f"real {real:.2f}  fake {fake:.2f}  "
        f"{f'Fréchet distance {distance:.4g}  ' if math.isfinite(distance) else ''}"
        f"{seconds:.1f} s  {rate:,.0f} images/s  "
        f"{hours}:{minutes:02d} h left"
    )


class Interruption:
    """Notes the first Ctrl-C, SIGTERM or SIGHUP, to be obeyed between steps; a second ends at once.

    SIGHUP says that the terminal has closed; `nohup` has it ignored.
    """

    number = 0

    def __enter__(self):
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        self.previous = {number: signal.signal(number, self.note) for number in numbers}
        return self

    def __exit__(self, *_):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def note(self, number, _):
        self.number = number
        for each in self.previous:
            signal.signal(each, signal.SIG_DFL)
        if number == signal.SIGHUP:
            signal.signal(number, signal.SIG_IGN)  # it can come twice, from kernel and shell
            for stream in (1, 2):  # a write to a terminal that has gone would fail
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


if __name__ == "__main__":
    sys.exit(main())
