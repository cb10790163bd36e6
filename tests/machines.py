"""What the tests of other people's machines share: runs, and functions that fail.

Faults that are not at hand are emulated: by code that runs before a script (sitecustomize), by a
stub in the place of a package, or by a function that fails as the system's would. So are macOS and
Windows.
"""

import os

import train_dcgan
from config import TrainSettings
from helpers import roots
from storage.runs import Run

TINY = ["--batch_size", "8", "--evaluate_every", "0", "--run", "tiny", "--precision", "float32"]
SCRIPTS = ["train_dcgan", "generate_digits", "evaluate_digits", "export_generator"]
SCRIPTS += ["train_classifier"]


def train(folder, data_path, *words):
    """The exit status of training a tiny run inside `folder`, in this process."""
    words = [*TINY, "--data", data_path, *roots(folder), *words]
    return train_dcgan.main([*map(str, words)])


def open_run(folder, **settings):
    """A Run inside `folder`, to be entered."""
    return Run(TrainSettings(checkpoints_dir=f"{folder}/c", samples_dir=f"{folder}/s", **settings))


def begun_run(folder):
    """The folders of a run that has been begun."""
    folders = folder / "c" / "digits", folder / "s" / "digits"
    for each in folders:
        each.mkdir(parents=True)
        (each / "generator.npz").touch()
    return folders


def failing(number):
    """A function that fails as the operating system says `number`."""

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail
