"""Generator snapshots: finding the run to draw with, and reading its generator."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cli import UserError
from config import PRETRAINED, REPOSITORY
from machine.command import script_command
from readers import read_npz
from storage.runs import SNAPSHOTS, format_epochs, ships


class Snapshot(NamedTuple):
    """A run's generator as it was saved. As text, its path and epoch."""

    path: Path
    epoch: float | None  # None if the file does not say
    num_codes: int
    arrays: dict  # weights by layer and name: dense/kernel
    layers: np.ndarray | None = None  # weights.describe_layers, None if the file does not say

    def __str__(self):
        epoch = "" if self.epoch is None else f", epoch {format_epochs(self.epoch)}"
        return f"{self.path}{epoch}"


def find_run(settings):
    """The folder to draw from: --run, else your latest run, else the pretrained one.

    Raises UserError when there is none.
    """
    root = Path(settings.checkpoints_dir)
    shipped = REPOSITORY / "checkpoints" / PRETRAINED
    if settings.run:
        folder = root / settings.run
        if settings.run == PRETRAINED and not folder.exists():
            folder = shipped
        if not (folder / "generator.npz").is_file():
            raise UserError(f"{folder}: has no generator; give the name of a run in {root}/")
        return folder
    snapshots = [
        path
        for path in root.glob("*/generator.npz")
        if path.parent.name != PRETRAINED and not re.search(r"\.old-[0-9]+$", path.parent.name)
    ]
    if snapshots:
        return max(snapshots, key=lambda path: path.stat().st_mtime).parent
    if (shipped / "generator.npz").is_file():
        return shipped
    raise UserError(f"{root}: has no run yet; train one first: {script_command('train_dcgan.py')}")


def load_snapshot(folder, which):
    """The Snapshot of a run's generator, `latest` or `best`.

    Raises UserError when there is none or it cannot be read.
    """
    path = folder / SNAPSHOTS[which]
    if not path.is_file():
        raise UserError(
            f"{path}: does not exist; only a run whose FID was computed has one (--evaluate_every)"
        )
    arrays = read_npz(path)
    epoch, num_codes = arrays.pop("epoch", None), arrays.pop("num_codes", np.array(0))
    if epoch is not None and (epoch.shape or epoch.dtype.kind not in "iuf"):
        epoch = None
    if num_codes.shape or num_codes.dtype.kind not in "iu" or num_codes < 0:
        raise UserError(f"{path}: its num_codes is not a whole number from 0; use another snapshot")
    epoch = None if epoch is None else float(epoch)
    return Snapshot(path, epoch, int(num_codes), arrays, arrays.pop("layers", None))


def place_for(folder, name):
    """Where a file about a run goes: its folder, or the working folder for the included run."""
    return Path(f"{folder.name}-{name}") if ships(folder) else folder / name
