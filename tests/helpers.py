"""What several test files do: run a command, train a small run, read what it wrote."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
from keras.layers import Flatten, Reshape

import train_dcgan
from config import REPOSITORY, TrainSettings
from layers import CodeLogit, Dense, DiscreteCode, Dropout
from machine.command import run_command
from storage.runs import Run

SCRIPTS = ["train_dcgan", "generate_digits", "evaluate_digits", "export_generator"]
SCRIPTS += ["train_classifier"]

SMALL = ["--batch_size", "8", "--num_codes", "4", "--run", "small", "--save_every", "1"]


def run_script(name, *words, stub="", stub_folder=None, env=None, **options):
    """Run a script as a person would; Python code `stub` runs first, as sitecustomize of a folder.

    Returns the finished process, with its output as text.
    """
    command = [sys.executable, str(REPOSITORY / name), *map(str, words)]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"} | (env or {})
    options = {"capture_output": True, "text": True} | options
    if stub:
        Path(stub_folder).mkdir(exist_ok=True)
        Path(stub_folder, "sitecustomize.py").write_text(stub)
        env["PYTHONPATH"] = str(stub_folder)
    return subprocess.run(command, env=env, **options)


def one_line(text):
    """The only line of `text`; fails if there are more, or a traceback."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]


def roots(folder):
    """Flags that keep a run inside `folder`."""
    return ["--checkpoints_dir", f"{folder}/checkpoints", "--samples_dir", f"{folder}/samples"]


class TinyNetworks:
    """In place of models.py: networks of one layer, whose step is traced in a moment."""

    def build_generator(noise_dim, num_codes):
        layers = [keras.Input((noise_dim,)), DiscreteCode(num_codes, name="code")]
        layers += [Dense(784, activation="tanh", name="dense"), Reshape((28, 28, 1))]
        return keras.Sequential(layers, name="generator")

    def build_discriminator(dropout, num_codes=0, ink_channel=False):
        images = keras.Input((28, 28, 1))
        key = keras.Input(batch_shape=(2,), dtype="int64", optional=True)
        x = Flatten()(Dropout(dropout)(images, key))
        inputs, logit = [images, key], Dense(1, name="logits")(x)
        if num_codes:
            inputs.append(keras.Input((), dtype="int64"))
            logit += CodeLogit(num_codes, name="code_logits")(x, inputs[-1])
        return keras.Model(inputs, [keras.ops.sigmoid(logit), logit], name="discriminator")


def train(folder, data_path, *words, networks=TinyNetworks):
    """Train the run `small` inside `folder`, in this process; return the exit status."""
    words = [*SMALL, "--data", data_path, *roots(folder), *words]
    return run_command(
        TrainSettings, lambda settings: train_dcgan.train(settings, networks), [*map(str, words)]
    )


def read_history(folder, run="small"):
    """The rows of the history of a run inside `folder`, as dictionaries of text."""
    with open(folder / "samples" / run / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def state_paths(folder, run="small"):
    """The training states of a run inside `folder`, oldest first."""
    return sorted((folder / "checkpoints" / run).glob("state-*.npz"))


def steps_saved(folder, run="small"):
    """The step of each training state of a run inside `folder`, oldest first."""
    return [int(path.stem.removeprefix("state-")) for path in state_paths(folder, run)]


def contents(folder):
    """The bytes of every file in a folder and below, by path."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def packed(write, *arguments, **options):
    """The bytes that a function writes to a file."""
    file = io.BytesIO()
    write(file, *arguments, **options)
    return file.getvalue()


def damaged(content, dice):
    """Bytes cut, flipped, doubled or replaced at a random place."""
    place = dice.randrange(len(content))
    flipped = bytes([content[place] ^ 1 << dice.randrange(8)])
    return dice.choice(
        [
            content[:place],
            content[place:],
            content[:place] + flipped + content[place + 1 :],
            content[:place] + content,
            content[:place] + bytes(len(content) - place),
            dice.randbytes(place % 99),
        ]
    )


def codes_of(noise, bias):
    """Which of the first numbers, plus the bias, is the largest."""
    return np.argmax(noise[:, : len(bias)] + bias, 1)


def open_run(folder, **settings):
    """A Run inside `folder`, to be entered."""
    return Run(TrainSettings(checkpoints_dir=f"{folder}/c", samples_dir=f"{folder}/s", **settings))


def make_run(folder):
    """The folders of a run that open_run finds begun."""
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
