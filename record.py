"""What a training run shows and keeps between its steps: pictures, history, logs, states."""

import contextlib
import importlib.util
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

import data
import files
import images
import runs
from config import UserError

GRID_DIGITS = 100  # digits 0 to 99 of the run's seed, the same in every grid
GIF_FRAMES = 100  # at most
UNSCORED = (math.nan, math.nan)  # the scores of an epoch that got none


def diverged(where, what):
    """The UserError for numbers that are no longer finite."""
    return UserError(
        f"{where}: no longer finite: {what}; nothing of it was saved over a good checkpoint. Go on "
        "from that one or, if it happens again, begin another --run with a lower --learning_rate"
    )


class Record:
    """What a run shows and keeps of its training: pictures, history, logs, saved states.

    Arrays are copied between two steps and written by a thread while the next steps run. An epoch
    has `steps` steps; `judge`, a scores.QuickScore, scores the digits every --evaluate_every.
    """

    def __init__(self, run, gan, steps, judge=None):
        self.run, self.gan, self.settings = run, gan, run.settings
        self.steps, self.judge = steps, judge
        self.warned = set()
        self.history = []  # rows of runs.COLUMNS, one an epoch
        self.seconds = 0.0  # spent on the epoch that the state is in
        self.saved = time.monotonic()
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.writing = None  # what the thread is about, a future
        run.check_room(gan.num_bytes())
        arrays = run.load_state()
        if arrays:
            rows = arrays.pop("history").tolist()
            self.history = [[int(epoch), int(step), *rest] for epoch, step, *rest in rows]
            self.seconds = float(arrays.pop("seconds"))
            check_finite(arrays, f"{run.folder}: its newest checkpoint")
            gan.load_state(arrays)
            run.save_generator(self.snapshot_of(arrays))  # in case it was killed before it could
        self.logs = open_tensorboard(run.samples / "logs")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.thread.shutdown()  # nothing is written once the run's lock is given back

    def end_epoch(self, epoch):
        """Note the epoch's numbers; have its pictures written, and its state if it is time."""
        rate = self.steps * self.settings.batch_size / self.seconds
        row = [epoch, epoch * self.steps, *self.gan.means(self.steps), self.seconds, rate]
        distance, rarest = self.score() if self.is_time_to_score(epoch) else UNSCORED
        is_best = distance < min([math.inf, *filter(math.isfinite, self.distances())])
        self.history.append([*row, distance, rarest])
        self.warn()
        self.gan.start_epoch()
        self.seconds = 0.0
        digits = None
        if epoch % self.settings.sample_every == 0 or epoch == self.settings.epochs:
            digits = np.concatenate([*self.gan.draw(GRID_DIGITS, self.settings.seed)])
        state = self.copy_state() if self.is_time_to_save(epoch) else None
        best = self.snapshot_of(state or self.gan.state()) if is_best else None
        self.write(self.write_epoch, list(self.history), digits, best, state)

    def is_time_to_score(self, epoch):
        """Whether --evaluate_every epochs have passed."""
        every = self.settings.evaluate_every
        return self.judge and every and epoch % every == 0

    def score(self):
        """Fréchet distance to the training images, and the rarest digit's share over theirs."""
        blocks = self.gan.draw(self.judge.num_samples, self.settings.seed)
        return self.judge.score(np.concatenate([data.to_pixels(block) for block in blocks]))

    def distances(self):
        """The Fréchet distance of each epoch so far, NaN where it was not scored."""
        return [row[runs.COLUMNS.index("frechet_distance")] for row in self.history]

    def warn(self):
        """Warn of what the history shows to be wrong, once of each."""
        for name, text in find_troubles(self.history).items():
            if name not in self.warned:
                self.warned.add(name)
                tqdm.write(f"warning: {text}", file=sys.stderr)

    def is_time_to_save(self, epoch=None):
        """Whether --save_every has passed: minutes at any time, epochs at the end of one."""
        every = self.settings.save_every
        if epoch == self.settings.epochs:
            return True
        if every.endswith("m"):
            return time.monotonic() - self.saved >= 60 * int(every[:-1])
        return epoch is not None and epoch % int(every) == 0

    def save(self):
        """Have the training state and the generator snapshot written."""
        self.write(self.write_state, self.copy_state())

    def copy_state(self):
        """All that resuming needs, as named arrays."""
        self.saved = time.monotonic()
        history = np.array(self.history).reshape(-1, len(runs.COLUMNS))
        return self.gan.state() | {"history": history, "seconds": np.array(self.seconds)}

    def write(self, work, *arguments):
        """Have the thread do some writing in its turn; then raise what the one before it raised."""
        earlier, self.writing = self.writing, self.thread.submit(work, *arguments)
        if earlier:
            earlier.result()

    def wait(self):
        """Return when all is on the disk; raises UserError when it could not be written."""
        writing, self.writing = self.writing, None
        if writing:
            writing.result()

    def write_epoch(self, history, digits, best, state):
        """Write an epoch's pictures and, even if they cannot be written, its weights."""
        try:
            self.write_pictures(history, digits)
        finally:
            if best:  # before the state, whose history says that it is there
                check_finite(best, f"epoch {history[-1][0]}")
                self.run.save_generator(best, "best")
            if state:
                self.write_state(state)

    def write_pictures(self, history, digits):
        """Write the grid of an epoch, if it has one, the curves, the history and the logs."""
        epoch, grid = history[-1][0], None
        if digits is not None:
            grid = images.make_grid(data.to_pixels(digits))
            grid = images.add_title(grid, f"epoch {epoch}")
            with files.replacing(self.grid_path(epoch)) as file:
                images.save_png(file, grid)
        self.run.save_history(history)
        with files.replacing(self.run.samples / "curves.png") as file:
            images.save_curves(file, dict(zip(runs.COLUMNS, zip(*history))))
        if self.logs:
            log_to_tensorboard(self.logs, self.run.samples / "logs", history[-1], grid)

    def write_state(self, state):
        """Write the training state, then the generator snapshot; raises UserError if not finite."""
        step = int(state["step"])
        check_finite(state, f"step {step:,}")
        self.run.save_state(step, state)
        self.run.save_generator(self.snapshot_of(state))

    def snapshot_of(self, state):
        """The averaged generator out of a training state, its arrays' own names, and its epoch."""
        owner = "averaged_generator/"
        arrays = {name.removeprefix(owner): state[name] for name in state if name.startswith(owner)}
        return arrays | {"epoch": np.array(int(state["step"]) / self.steps)}

    def grid_path(self, epoch):
        """Where the grid of an epoch is."""
        return self.run.samples / f"epoch-{int(epoch):04d}.png"

    def save_gif(self):
        """Write the grids as one animation."""
        grids = [self.grid_path(row[0]) for row in self.history]
        grids = [path for path in grids if path.exists()]
        if grids:
            chosen = grids[:: -math.ceil(len(grids) / GIF_FRAMES)][::-1]  # with the last one
            with files.replacing(self.run.samples / "training.gif") as file:
                images.save_gif(file, [images.load_png(path) for path in chosen])


def find_troubles(history):
    """Warnings, name to text, that a run's history, rows of runs.COLUMNS, gives cause for."""
    columns = dict(zip(runs.COLUMNS, np.array(history).T))
    real, fake = columns["real_verdict"][-3:], columns["fake_verdict"][-3:]
    scored = np.isfinite(columns["frechet_distance"])
    distances = columns["frechet_distance"][scored]
    rarest = columns["rarest_digit"][np.isfinite(columns["rarest_digit"])]
    troubles = {}
    if len(history) >= 3 and min(real) > 0.95 and max(fake) < 0.05:
        troubles["won"] = (
            "the discriminator has won: for three epochs it was sure of every digit, so the "
            "generator learns little; try another --run with more --dropout or another --seed"
        )
    if len(rarest) >= 2 and max(rarest[-2:]) < 0.1:
        troubles["vanished"] = (
            "digits have vanished: one of the ten is drawn less than a tenth as often as it should "
            "be (rarest_digit in the history); the best generator so far is kept; if none "
            "returns, try another --run with another --seed or a lower --learning_rate"
        )
    if len(distances) > 4 and min(distances[-4:]) > 1.1 * min(distances[:-4]):
        troubles["worse"] = (
            "the digits have been getting worse: the last four scores are all more than 10 % above "
            "the best; that generator is kept (generate_digits.py --generator best), you may stop "
            "here; another --run may do better with a lower --learning_rate"
        )
    return troubles


def check_finite(state, where):
    """Raise UserError, naming them, if arrays of a training state hold NaN or infinity.

    But for the history, which has NaN where an epoch got no score.
    """
    bad = [name for name in state if name != "history" and not np.isfinite(state[name]).all()]
    if bad:
        raise diverged(where, ", ".join(bad[:3]))


def open_tensorboard(folder):
    """A writer of TensorBoard logs, or None where the tensorboard package is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    import tensorflow as tf

    with log_errors_explained(folder):
        return tf.summary.create_file_writer(str(folder))


def log_to_tensorboard(logs, folder, row, grid):
    """Log an epoch's row of runs.COLUMNS, and its grid if there is one."""
    import tensorflow as tf

    with log_errors_explained(folder), logs.as_default(step=row[0]):
        for name, value in zip(runs.COLUMNS[2:], row[2:]):
            if math.isfinite(value):
                tf.summary.scalar(name, value)
        if grid is not None:
            tf.summary.image("digits", grid[None, :, :, None])
        logs.flush()


@contextlib.contextmanager
def log_errors_explained(folder):
    """Turn TensorFlow's errors about a file that cannot be written into one UserError."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        reason = "no space left" if "No space left" in error.message else type(error).__name__
        raise UserError(
            f"{folder}: the logs for TensorBoard cannot be written ({reason}); make room there and "
            "give the same command again; the last checkpoint is whole"
        ) from error
