"""What the tests of other people's machines share: scripts in processes of their own, tiny runs.

Faults that are not at hand are emulated: by code that runs before a script (sitecustomize), by a
stub in the place of a package, or by a function that fails as the system's would. So are macOS and
Windows.
"""

import os
import sys
from pathlib import Path

from helpers import roots

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
MNIST = REPOSITORY / "assets" / "mnist.npz"
TINY = ["--batch_size", "8", "--evaluate_every", "0", "--run", "tiny", "--precision", "float32"]
SCRIPTS = ["train_dcgan", "generate_digits", "evaluate_digits", "export_generator"]
SCRIPTS += ["train_classifier"]


def train(folder, data_path, *words):
    """The exit status of training a tiny run inside `folder`, in this process."""
    import train_dcgan

    words = [*TINY, "--data", data_path, *roots(folder), *words]
    return train_dcgan.main([*map(str, words)])


def open_run(folder, **settings):
    """A Run inside `folder`, to be entered."""
    from config import TrainSettings
    from storage.runs import Run

    return Run(TrainSettings(checkpoints_dir=f"{folder}/c", samples_dir=f"{folder}/s", **settings))


def begun_run(folder):
    """The folders of a run that has been begun."""
    for name in ("c", "s"):
        (folder / name / "digits").mkdir(parents=True)
        (folder / name / "digits" / "generator.npz").touch()
    return folder / "c" / "digits", folder / "s" / "digits"


def failing(number):
    """A function that fails as the operating system says `number`."""

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail
