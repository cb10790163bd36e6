"""One training run on disk: its settings, training state, generator snapshot, history and lock.

    checkpoints/<run>/settings.json       settings fixed on resume, and how it was invoked
    checkpoints/<run>/state-<step>.npz    the training state, only for resuming; the last three
    checkpoints/<run>/state-<step>.npz.sha256
    checkpoints/<run>/generator.npz       the averaged generator, all that drawing needs
    checkpoints/<run>/generator-best.npz  the one that had the best FID
    checkpoints/<run>/acceptance.npz      which samples to accept (sampling.acceptance)
    checkpoints/<run>/scores.json         what evaluate_digits.py wrote last
    checkpoints/<run>/lock                held by the process that trains it
    samples/<run>/                        pictures, history.csv, logs for TensorBoard

Files are complete, and a training state is used only if its checksum is right.
"""

import contextlib
import csv
import dataclasses
import io
import itertools
import json
import math
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cli import UserError, say
from config import PRETRAINED, REPOSITORY, TrainSettings
from machine import files
from machine.locks import Lock
from readers import read_npz

STATES_KEPT = 3
STATE = re.compile(r"state-([0-9]{9,})\.npz")
SHIPPED = (f"checkpoints/{PRETRAINED}", f"samples/{PRETRAINED}", "assets", "docs")
# What runs used before these settings existed, and before the losses were recorded.
FORMERLY = {"num_codes": 0, "early_penalty": 1.0, "codes": "free", "ink_channel": "off"}
FORMERLY |= {"losses": [0.8832, 2.2664]}
SNAPSHOTS = {"latest": "generator.npz", "best": "generator-best.npz"}


class EpochRecord(NamedTuple):
    """A row of the history, for one epoch."""

    epoch: int
    step: int  # since the run began
    generator_loss: float  # means over the epoch's steps
    discriminator_loss: float
    d_real: float  # mean discriminator output, D(x), on real images
    d_fake: float  # and D(G(z)), on generated ones
    seconds: float
    images_per_second: float
    fid: float = math.nan  # to the training images, NaN if the epoch got no score
    rarest_digit: float = math.nan  # its share over that in the training images, NaN likewise
    pale_ink: float = math.nan  # likewise; NaN also where an older version scored
    smear: float = math.nan


class Run:
    """A run's folders, locked for as long as it is open. Use as a context manager."""

    def __init__(self, settings):
        self.settings = settings
        self.folder = Path(settings.checkpoints_dir) / settings.run
        self.samples = Path(settings.samples_dir) / settings.run
        self.lock = None

    def __enter__(self):
        files.check_writable(self.folder)
        self.lock = Lock(self.folder / "lock")
        try:
            # Pictures of a run without checkpoints are not those of the one that begins now.
            has_old_pictures = not self.is_begun() and (self.samples / "history.csv").exists()
            if has_old_pictures or (self.is_begun() and self.settings.fresh):
                self.set_aside()
            for folder in (self.folder, self.samples):
                files.check_writable(folder)
            files.remove_partial_files(self.folder, self.samples)
        except BaseException:
            self.lock.release()
            raise
        return self

    def __exit__(self, *_):
        self.lock.release()

    def is_begun(self):
        """Whether there is anything to go on from, or to draw with."""
        return bool(self.states()) or (self.folder / "generator.npz").exists()

    def set_aside(self):
        """Rename the run's folders to the first <run>.old-1, -2, ... that is free; never delete."""
        # One may be the other, or lie in it: the inner one goes first. Otherwise the samples do: if
        # the process is killed in between, the run still counts as begun.
        folders = {folder.resolve(): folder for folder in (self.samples, self.folder)}
        folders = [folders[real] for real in sorted(folders, key=lambda real: -len(real.parts))]
        for number in itertools.count(1):
            olds = [folder.with_name(f"{folder.name}.old-{number}") for folder in folders]
            if not any(old.exists() for old in olds):
                break
        moves = [(folder, old) for folder, old in zip(folders, olds) if folder.exists()]
        try:
            rename_all(moves)
        except OSError:  # some systems rename no folder with an open file in it
            self.lock.release()
            try:
                rename_all(moves)
            except OSError as error:
                raise UserError(
                    f"{error.filename}: cannot be set aside ({error.strerror}); close the program "
                    "that has it open (TensorBoard, a file manager) or give another --run name; "
                    "nothing was changed"
                ) from error
        say(f"Set the old run aside as {self.folder}.old-{number}")
        files.check_writable(self.folder)
        self.lock.release()
        self.lock = Lock(self.folder / "lock")

    def check_settings(self, fixed):
        """Raise UserError, naming what differs, unless the run began with these settings.

        `fixed` maps the names of what is fixed on resume to JSON values.
        """
        if not self.is_begun():
            return
        differing = differences(load_settings(self.folder)["run"], fixed)
        if differing:
            raise UserError(
                f"{self.folder}: was started with other settings: {', '.join(differing)}; "
                "use those, another --run name, or --fresh to start over"
            )

    def save_settings(self, fixed, invocation):
        """Write settings.json: what is fixed on resume, and one more invocation."""
        document = load_settings(self.folder) if self.is_begun() else {"run": fixed}
        document["invocations"] = [*document.get("invocations", []), invocation]
        with files.atomic_file(self.folder / "settings.json") as file:
            file.write(json.dumps(document, indent=2).encode() + b"\n")

    def steps_saved(self):
        """The step of the newest training state, 0 if there is none."""
        return max([0, *map(step_of, self.states())])

    def states(self):
        """Paths of the training states, oldest first; not what someone else put beside them."""
        paths = (path for path in self.folder.glob("state-*.npz") if STATE.fullmatch(path.name))
        return sorted(paths, key=step_of)

    def check_room(self, bytes_a_state):
        """Raise UserError unless the disk has room for the states that will be kept."""
        states = max(1, STATES_KEPT + 1 - len(self.states()))
        needed = int(states * bytes_a_state * 1.1)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise UserError(
                f"{self.folder}: {free >> 20} MB free, the checkpoints take {needed >> 20} MB; "
                "make room or give another --checkpoints_dir"
            )

    def save_state(self, step, arrays):
        """Write the training state after `step` steps, its checksum first; drop the oldest."""
        packed = io.BytesIO()
        np.savez(packed, **arrays)
        files.replace_with_checksum(self.folder / f"state-{step:09d}.npz", packed.getbuffer())
        for old in self.states()[:-STATES_KEPT]:
            with contextlib.suppress(OSError):  # held by another program: later, then
                old.unlink()
                files.checksum_path(old).unlink(missing_ok=True)

    def load_state(self):
        """Arrays of the newest whole training state, or None where the run has not saved any.

        A damaged newer one is set aside as *.damaged, with a warning. Raises UserError, and
        changes nothing, when none is whole, or when the checksum of a newer one is missing.
        """
        damaged = []
        for path in reversed(self.states()):
            if not files.checksum_path(path).exists():
                raise UserError(
                    f"{path}: its checksum file is missing, so it may be damaged; copy that too "
                    f"or, to go on from the state as it is: {files.checksum_command(path)}"
                )
            if files.is_intact(path):
                for bad in damaged:
                    say(f"warning: {bad} is damaged, set aside; using {path}", file=sys.stderr)
                    bad.rename(bad.with_name(bad.name + ".damaged"))
                return read_npz(path)
            damaged.append(path)
        if damaged or (self.folder / "generator.npz").exists():
            raise UserError(
                f"{self.folder}: no training state is {'whole' if damaged else 'left'}, so the run "
                "cannot go on; give another --run name, or --fresh to start over"
            )
        return None

    def save_generator(self, arrays, which="latest"):
        """Write a generator snapshot, the `latest` or the `best`."""
        with files.atomic_file(self.folder / SNAPSHOTS[which], files.PATIENCE) as file:
            np.savez(file, **arrays)

    def save_history(self, history):
        """Write the history, a list of EpochRecord, as samples/<run>/history.csv."""
        with files.atomic_file(self.samples / "history.csv", can_wait=True) as file:
            text = io.TextIOWrapper(file, newline="", write_through=True)
            csv.writer(text).writerows([EpochRecord._fields, *history])
            text.detach()


def step_of(path):
    return int(STATE.fullmatch(path.name)[1])


def differences(before, now):
    """How two dictionaries of settings differ, in words.

    A setting missing from an old run had its FORMERLY value or, failing that, its default.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(TrainSettings)}
    before, now = defaults | FORMERLY | before, defaults | now
    return [
        f"{name} (was {before.get(name)!r}, now {now[name]!r})"
        if name in now
        else f"{name} (was {before[name]!r}, which this version of the code does not know)"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def rename_all(moves):
    """Rename each (folder, name) or none: those done are undone when one is refused."""
    done = []
    try:
        for folder, new in moves:
            os.rename(folder, new)
            done.append((folder, new))
    except OSError:
        for folder, new in reversed(done):
            os.rename(new, folder)
        raise


def load_settings(folder):
    """A run's settings.json as a dictionary; raises UserError when it cannot be read."""
    path = folder / "settings.json"
    try:
        document = json.loads(path.read_text())
        if not isinstance(document["run"], dict):
            raise ValueError("it holds no run's settings")
        if not isinstance(document.setdefault("invocations", []), list):
            raise ValueError("its invocations are no list")
        return document
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}); --fresh starts over") from error


def images_learned(folder):
    """The data.digest of the images that a run learned, or None if its settings do not say."""
    with contextlib.suppress(UserError):
        return load_settings(folder)["run"].get("images")


def format_epochs(epochs):
    """A number of epochs as text, with at most three digits after the point."""
    return f"{float(epochs):.3f}".rstrip("0").rstrip(".")


def ships(path):
    """Whether a path lies in one of the SHIPPED folders."""
    path = Path(path).resolve()
    return any(path.is_relative_to(REPOSITORY / folder) for folder in SHIPPED)
