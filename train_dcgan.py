"""Train a DCGAN on MNIST: `python train_dcgan.py`. The same command continues where it stood."""

import importlib.util
import os
import shutil
import signal
import sys
import time

import numpy as np
from tqdm import tqdm

import data
import files
import images
import runs
from config import TrainSettings, UserError, command, quiet_start

GRID_DIGITS = 100  # digits 0 to 99 of the run's seed, the same in every grid
GIF_FRAMES = 100  # at most


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
    with runs.Run(settings) as run:
        run.check_settings(settings.identity() | {"images": data.digest(pixels)})
        with quiet_start():
            # TensorFlow takes seconds to import: only now that the settings are known to be good.
            import devices
            import models

            strategy = devices.prepare(settings)
            gan = models.DCGAN(settings, pixels, strategy, devices.use_xla(settings, strategy))
        run.check_room(gan.num_bytes())
        trainer = Trainer(run, gan, len(pixels) // settings.batch_size)
        print(introduction(trainer, len(pixels), devices.describe(strategy)), flush=True)
        with Interruption() as interruption:
            trainer.train(interruption)
        if interruption.number:
            print(f"Stopped and saved at step {int(gan.step):,}; the same command continues.")
            return 128 + interruption.number
        trainer.save_gif()
        print(f"Done: {len(trainer.history)} epochs, pictures in {run.samples}. To draw digits:")
        print(f"  python generate_digits.py --run {settings.run} --num_samples 10")
    return 0


def introduction(trainer, num_images, devices):
    """What will happen, in a few lines."""
    settings, run, steps = trainer.settings, trainer.run, trainer.steps
    done = int(trainer.gan.step)
    lines = [
        f"Digitgen: run {settings.run!r}, "
        + (f"continued after epoch {done / steps:.4g}" if done else "new")
        + f", to epoch {settings.epochs}",
        f"  on      {devices}",
        f"  images  {num_images:,} from {settings.data}",
        f"  steps   {steps:,} an epoch of {settings.batch_size} images, "
        f"{max(0, settings.epochs * steps - done):,} to go",
        f"  writes  {run.folder} (checkpoints), {run.samples} (grids, curves, history)",
    ]
    if "GPU" not in devices and (shutil.which("nvidia-smi") or os.path.exists("/dev/nvidia0")):
        lines.append(
            "  note    this machine has an NVIDIA GPU that TensorFlow does not see; to mend it: "
            "pip install -r requirements-gpu.txt"
        )
    return "\n".join(lines)


class Trainer:
    """The loop: steps, and what is shown and saved between them."""

    def __init__(self, run, gan, steps):
        self.run, self.gan, self.settings = run, gan, run.settings
        self.steps = steps  # an epoch
        self.history = []  # rows of runs.COLUMNS, one an epoch
        self.seconds = 0.0  # spent training in this epoch
        self.pace = 1  # steps that take about a second
        self.saved = time.monotonic()
        self.logs = open_tensorboard(run.samples / "logs")
        arrays = run.load_state()
        if arrays:
            self.history = [
                [int(e), int(s), *rest] for e, s, *rest in arrays.pop("history").tolist()
            ]
            self.seconds = float(arrays.pop("seconds"))
            gan.load_state(arrays)

    def train(self, interruption):
        """Train to the last epoch, or until interrupted; whatever was trained is saved."""
        done, images_a_step = int(self.gan.step), self.settings.batch_size
        with tqdm(
            total=self.settings.epochs * self.steps * images_a_step,
            initial=done * images_a_step,
            unit=" images",
            unit_scale=True,
            bar_format="{desc} {percentage:.0f}%|{bar}|{rate_noinv_fmt}, {remaining} left{postfix}",
            disable=not sys.stderr.isatty(),
        ) as bar:
            for epoch in range(done // self.steps, self.settings.epochs):
                bar.set_description(f"epoch {epoch + 1}/{self.settings.epochs}")
                self.train_epoch(epoch, bar, interruption)
                if interruption.number:
                    self.save()
                    return
                self.end_epoch(epoch + 1, quiet=not bar.disable)

    def train_epoch(self, epoch, bar, interruption):
        """Take the epoch's remaining steps, about a second's worth in each call."""
        order = data.epoch_order(
            self.gan.images.shape[0], self.settings.batch_size, self.settings.seed, epoch
        )
        while (left := (epoch + 1) * self.steps - int(self.gan.step)) and not interruption.number:
            start, count = time.perf_counter(), min(left, self.pace)
            self.gan.train_steps(order, np.array(count, np.int32))
            means = self.means()
            elapsed = time.perf_counter() - start
            self.seconds += elapsed
            self.pace = max(1, round(count / elapsed))
            bar.set_postfix_str(f"generator {means[0]:.2f}, discriminator {means[1]:.2f}", False)
            bar.update(count * self.settings.batch_size)
            if self.is_time_to_save():
                self.save()

    def means(self):
        """Mean losses and verdicts over the epoch so far; raises UserError if not finite."""
        step = int(self.gan.step)
        means = self.gan.sums.numpy() / ((step - 1) % self.steps + 1)
        if not np.isfinite(means).all():
            raise UserError(
                f"{self.run.folder}: the losses are no longer finite at step {step:,}; nothing bad "
                "was saved. Continue from the last checkpoint with the same command; if it happens "
                "again, try a lower --learning_rate under another --run name"
            )
        return means

    def end_epoch(self, epoch, quiet):
        """Write the epoch's pictures and numbers, and save when it is time."""
        rate = self.steps * self.settings.batch_size / self.seconds
        row = [epoch, int(self.gan.step), *self.means().tolist(), self.seconds, rate]
        self.history.append(row)
        self.gan.sums.assign(np.zeros(4, np.float32))
        self.seconds = 0.0
        grid = None
        if epoch % self.settings.sample_every == 0 or epoch == self.settings.epochs:
            digits = data.to_pixels(
                np.concatenate([*self.gan.draw(GRID_DIGITS, self.settings.seed)])
            )
            grid = images.add_title(images.make_grid(digits), f"epoch {epoch}")
            with files.replacing(self.run.samples / f"epoch-{epoch:04d}.png") as file:
                images.save_png(file, grid)
        self.run.save_history(self.history)
        with files.replacing(self.run.samples / "curves.png") as file:
            images.save_curves(file, dict(zip(runs.COLUMNS, zip(*self.history))))
        self.log_to_tensorboard(grid)
        if self.is_time_to_save(epoch):
            self.save()
        if not quiet:
            print(report(row, self.settings.epochs), flush=True)

    def is_time_to_save(self, epoch=None):
        """Whether --save_every has passed: minutes at any time, epochs at the end of one."""
        every = self.settings.save_every
        if epoch == self.settings.epochs:
            return True
        if every.endswith("m"):
            return time.monotonic() - self.saved >= 60 * int(every[:-1])
        return epoch is not None and epoch % int(every) == 0

    def save(self):
        """Save the generator snapshot, then the training state."""
        self.run.save_generator(self.gan.snapshot())
        extra = {"history": np.array(self.history).reshape(-1, len(runs.COLUMNS))}
        extra["seconds"] = np.array(self.seconds)
        self.run.save_state(int(self.gan.step), self.gan.state() | extra)
        self.saved = time.monotonic()

    def save_gif(self):
        """Write the grids as one animation."""
        grids = sorted(self.run.samples.glob("epoch-*.png"))
        if grids:
            chosen = grids[:: -(-len(grids) // GIF_FRAMES)]
            with files.replacing(self.run.samples / "training.gif") as file:
                images.save_gif(file, [images.load_png(path) for path in chosen])

    def log_to_tensorboard(self, grid):
        """Log the newest row of the history, and the grid if there is one."""
        if not self.logs:
            return
        import tensorflow as tf

        epoch = int(self.history[-1][0])
        with self.logs.as_default(step=epoch):
            for name, value in zip(runs.COLUMNS[2:], self.history[-1][2:]):
                tf.summary.scalar(name, value)
            if grid is not None:
                tf.summary.image("digits", grid[None, :, :, None])
        self.logs.flush()


def open_tensorboard(folder):
    """A writer of TensorBoard logs, or None where the tensorboard package is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    import tensorflow as tf

    return tf.summary.create_file_writer(str(folder))


def report(row, epochs):
    """One line about an epoch, for a pipe or a log file; `row` as in runs.COLUMNS."""
    epoch, _, generator, discriminator, real, fake, seconds, rate = row
    left = time.strftime("%H:%M:%S", time.gmtime((epochs - epoch) * seconds))
    return (
        f"epoch {epoch}/{epochs}  generator {generator:.3f}  discriminator {discriminator:.3f}  "
        f"real {real:.2f}  fake {fake:.2f}  {seconds:.1f} s  {rate:,.0f} images/s  {left} left"
    )


class Interruption:
    """Notes the first Ctrl-C or SIGTERM, to be obeyed between steps; a second ends at once."""

    number = 0

    def __enter__(self):
        self.previous = {n: signal.signal(n, self.note) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_):
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def note(self, number, _):
        self.number = number
        for each in self.previous:
            signal.signal(each, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
