"""Every number that a person may set, and the command lines made from them.

One frozen dataclass for each command: a field is a knob, with its type, default, help text and
check in one place, and its flag is its name. Nothing here imports TensorFlow, so `--help` and a
mistyped flag answer at once.
"""

import argparse
import contextlib
import dataclasses
import errno
import os
import re
import sys
import tempfile
from pathlib import Path

from checks import (
    below_one,
    between,
    digits_and_spaces,
    dropout_rate,
    not_negative,
    one_of,
    optional_digit,
    optional_run_name,
    run_name,
    run_names,
    saving_interval,
    share,
    some_path,
    step_size,
)

REPOSITORY = Path(__file__).resolve().parent
MNIST = str(REPOSITORY / "assets" / "mnist.npz")
CLASSIFIER = str(REPOSITORY / "assets" / "classifier.npz")
PRETRAINED = "pretrained"  # the name of the run that ships with the repo
WHICH_GENERATOR = "the run's latest generator, or the one with its best score in training"


class UserError(Exception):
    """A mistake that the person can mend; the text says what, where and what to do."""


def new_run_name(value):
    """Check for a run's name that is not kept for something else."""
    if value == PRETRAINED or re.search(r"\.old-[0-9]+$", value):
        return "names a finished run, which is only for drawing; give another name"
    return run_name(value)


def knob(default, help, check=None, names_the_run=False):
    """A field of a settings class; `names_the_run` if changing it would make it another run."""
    metadata = {"help": help, "check": check, "names_the_run": names_the_run}
    return dataclasses.field(default=default, metadata=metadata)


class Settings:
    """What the settings classes share: their checks.

    Raises UserError, naming the flag, when a value fails its check.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check, value = field.metadata["check"], getattr(self, field.name)
            wrong = check and check(value)
            if wrong:
                raise UserError(f"--{field.name} {wrong}, got {value!r}")


@dataclasses.dataclass(frozen=True)
class TrainSettings(Settings):
    """Train a DCGAN on MNIST. The same command again continues where the run stood."""

    run: str = knob("digits", "name of the run", new_run_name)
    epochs: int = knob(100, "train until this many passes over the images", between(1, 10**6))
    batch_size: int = knob(256, "images a step", between(2, 10**6), True)
    learning_rate: float = knob(1e-4, "Adam's step size, both players", step_size, True)
    beta_1: float = knob(0.0, "Adam's decay of the first moment", below_one, True)
    beta_2: float = knob(0.99, "Adam's decay of the second moment", below_one, True)
    noise_dim: int = knob(200, "length of the generator's input", between(1, 10**4), True)
    dropout: float = knob(
        0.1, "the discriminator's dropout rate, in steps of 1/256", dropout_rate, True
    )
    gradient_penalty: float = knob(
        1.0, "weight of the discriminator's R1 penalty, 0 for none", not_negative, True
    )
    ema_decay: float = knob(0.999, "averaging of the generator over steps", below_one, True)
    seed: int = knob(
        0, "names the run's noise, weights and data order", between(0, 2**31 - 1), True
    )
    data: str = knob(MNIST, "an .npz with x_train, an IDX file, or a folder with one", some_path)
    sample_every: int = knob(1, "epochs between two sample grids", between(1, 10**6), True)
    evaluate_every: int = knob(5, "epochs between two scores, 0 for none", between(0, 10**6))
    save_every: str = knob("1", "epochs (1) or minutes (10m) between two saves", saving_interval)
    precision: str = knob(
        "float32", "float32 or bfloat16 arithmetic", one_of("float32", "bfloat16"), True
    )
    compile: str = knob("auto", "XLA: auto (on a GPU), on or off", one_of("auto", "on", "off"))
    strategy: str = knob(
        "auto",
        "devices: auto, one, mirrored or multi_worker",
        one_of("auto", "one", "mirrored", "multi_worker"),
    )
    deterministic: bool = knob(False, "the same bits in every process, a little slower", None, True)
    fresh: bool = knob(False, "start over; the old run is set aside as NAME.old-1")
    checkpoints_dir: str = knob("checkpoints", "where runs are kept", some_path)
    samples_dir: str = knob("samples", "where pictures are written", some_path)

    def identity(self):
        """The settings that make it this run and no other, as a dictionary."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["names_the_run"]
        }


@dataclasses.dataclass(frozen=True)
class GenerateSettings(Settings):
    """Draw digits with a trained generator, any or those that you ask for, in many formats."""

    num_samples: int = knob(10, "how many digits", between(1, 10**8))
    seed: int = knob(0, "names the digits: digit i of a seed never changes", between(0, 2**31 - 1))
    run: str = knob("", "run to draw with (default: your latest)", optional_run_name)
    generator: str = knob("latest", WHICH_GENERATOR, one_of("latest", "best"))
    digit: str = knob("", "draw this digit only, 0 to 9", optional_digit)
    text: tuple = knob((), "numbers to write, each a line: 2026 '3141 5926'", digits_and_spaces)
    balanced: bool = knob(False, "draw 0, 1, ... 9 in turn")
    min_confidence: float = knob(
        0.999, "how sure the classifier must be of a digit that you ask for", share
    )
    truncation: float = knob(1.0, "below 1: digits nearer to the average, more alike", step_size)
    walk: int = knob(0, "an animation through this many digits, and back", between(0, 1000))
    grid_walk: bool = knob(False, "a grid that leads from each of four digits to the others")
    near: str = knob("", "a PNG of 28x28; finds the noise that draws something like it")
    scale: int = knob(0, "pixels a pixel, in pictures (default: what fits)", between(0, 100))
    invert: bool = knob(False, "black on white, for paper; also how --near is read")
    output: str = knob(
        "", "a .png, .npz, -images-idx3-ubyte.gz, .gif, .mp4, or FOLDER/ (default: in samples)"
    )
    checkpoints_dir: str = knob("checkpoints", "where runs are kept", some_path)
    samples_dir: str = knob("samples", "where pictures are written", some_path)


@dataclasses.dataclass(frozen=True)
class EvaluateSettings(Settings):
    """Score a run's digits, or any others, beside real digits that the generator never saw."""

    num_samples: int = knob(10_000, "how many digits to draw", between(2000, 10**6))
    seed: int = knob(0, "names the digits", between(0, 2**31 - 1))
    run: str = knob("", "run to score (default: your latest)", optional_run_name)
    runs: tuple = knob((), "runs to score side by side", run_names)
    images: str = knob("", "an .npz with `images`, uint8 (N, 28, 28), to score instead")
    generator: str = knob("latest", WHICH_GENERATOR, one_of("latest", "best"))
    data: str = knob(MNIST, "an .npz with x_train and x_test", some_path)
    checkpoints_dir: str = knob("checkpoints", "where runs, and their scores, are kept", some_path)
    samples_dir: str = knob("samples", "where pictures are written", some_path)


@dataclasses.dataclass(frozen=True)
class ExportSettings(Settings):
    """Write a trained generator for another runtime, which is asked whether it draws the same."""

    format: str = knob(
        "onnx", "saved_model, onnx or tflite", one_of("saved_model", "onnx", "tflite")
    )
    run: str = knob("", "run to export (default: your latest)", optional_run_name)
    generator: str = knob("latest", WHICH_GENERATOR, one_of("latest", "best"))
    output: str = knob("", "a file, or a folder for saved_model (default: in the run's folder)")
    overwrite: bool = knob(False, "replace an export that is there")
    checkpoints_dir: str = knob("checkpoints", "where runs are kept", some_path)


@dataclasses.dataclass(frozen=True)
class ClassifierSettings(Settings):
    """Train the digit classifier that the scores rest on, and write its weights and checksum."""

    epochs: int = knob(12, "passes over the images", between(1, 1000))
    seed: int = knob(0, "names its first weights and data order", between(0, 2**31 - 1))
    data: str = knob(MNIST, "an .npz with labelled digits", some_path)
    output: str = knob(CLASSIFIER, "an .npz for the weights; scores read this one", some_path)
    overwrite: bool = knob(False, "replace weights that are there")


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a bad flag with one line."""

    def error(self, message):
        raise UserError(f"{message} (--help lists the flags)")


def parse(settings_class, argv=None):
    """Settings of the given class from command-line words; raises UserError on a bad one."""
    parser = Parser(description=settings_class.__doc__, allow_abbrev=False)
    for field in dataclasses.fields(settings_class):
        if field.type is bool:
            kind = {"action": "store_true"}
        elif field.type is tuple:
            kind = {"type": str, "nargs": "+", "metavar": "STR"}
        else:
            kind = {"type": field.type, "metavar": field.type.__name__.upper()}
        help = field.metadata["help"]
        if field.type is not bool and field.default not in ("", ()) and "(default" not in help:
            help += " (default: %(default)s)"
        parser.add_argument(f"--{field.name}", default=field.default, help=help, **kind)
    return settings_class(**vars(parser.parse_args(argv)))


def command(settings_class, function, argv=None):
    """Parse the words, call the function with the settings, and return the exit status.

    0 done, 2 the person's mistake (one line on stderr), 130 after Ctrl-C; the function may return
    a status of its own. A fault of ours keeps its traceback, and Python's exit status 1.
    """
    try:
        return function(parse(settings_class, argv)) or 0
    except UserError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = error.filename
        if where is None and error.errno in (errno.EPIPE, errno.ENOSPC):
            where = "standard output"
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # lest Python fails once more at its end
        if where is None:
            raise
        print(f"{Path(sys.argv[0]).name}: {where}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


@contextlib.contextmanager
def quiet_start():
    """Hide what TensorFlow's native code prints while it loads, unless loading fails.

    Set TF_CPP_MIN_LOG_LEVEL=0 to see it all. And have it use oneDNN, which it otherwise leaves off
    on processors without AVX-512: a training step there takes 1.3 to 1.5 times as long without.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        yield
        return
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            yield
        except UserError:
            raise
        except BaseException:
            noise.seek(0)
            os.write(stderr, noise.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
