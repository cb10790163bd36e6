"""What the tests share: a few hundred real digits, and one small run that a test may read."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the tests are about the CPU, whatever is there

import train_dcgan  # noqa: E402
from startup import importing_tensorflow  # noqa: E402

with importing_tensorflow():
    import tensorflow  # noqa: F401

SMALL = ["--batch_size", "40", "--run", "small", "--evaluate_every", "0"]


@pytest.fixture(scope="session")
def digits():
    """The first 200 training digits, uint8 (200, 28, 28)."""
    with np.load(REPOSITORY / "assets" / "mnist.npz") as arrays:
        return arrays["x_train"][:200]


@pytest.fixture(scope="session")
def data_path(digits, tmp_path_factory):
    """An .npz with those digits."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, x_train=digits)
    return path


@pytest.fixture(scope="session")
def judged():
    """The shipped classifier, and the 60,000 training and 10,000 test digits as it sees them."""
    import scores

    judge = DigitClassifier()
    with np.load(REPOSITORY / "assets" / "mnist.npz") as arrays:
        return judge, judge.predict(arrays["x_train"]), judge.predict(arrays["x_test"])


@pytest.fixture(scope="session")
def small_run(data_path, tmp_path_factory):
    """A folder in which `train_dcgan.py` trained the run `small` for two epochs."""
    folder = tmp_path_factory.mktemp("small_run")
    assert train(folder, data_path, "--epochs", "2") == 0
    return folder


def roots(folder):
    """Flags that keep a run inside `folder`."""
    return ["--checkpoints_dir", f"{folder}/checkpoints", "--samples_dir", f"{folder}/samples"]


def train(folder, data_path, *words):
    """The exit status of training the run `small` inside `folder`, in this process."""
    return train_dcgan.main([*SMALL, "--data", str(data_path), *roots(folder), *words])


def read_history(folder):
    """The rows of the history of the run `small` inside `folder`."""
    with open(folder / "samples" / "small" / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def run_script(name, *words, **options):
    """Run a script as a person would; the finished process, with its output as text."""
    command = [sys.executable, str(REPOSITORY / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def one_line(text):
    """The only line of `text`; fails if there are more, or a traceback."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]
