"""Digits written in every format: pictures, animations, arrays, IDX files.

FILE.png                       one picture of all digits
FOLDER/                        one PNG per digit
FILE.npz                       arrays: `images` and, if known, labels, confidence, ...
FILE-images-idx3-ubyte.gz      the format of MNIST; labels in FILE-labels-idx1-ubyte.gz
FILE.gif, FILE.mp4             an animation, one digit after another
"""

import gzip
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

import data
import readers
from cli import UserError, say
from machine import files
from storage import images

IDX_ENDING = "-images-idx3-ubyte.gz"
ENDINGS = {".png": "png", ".npz": "npz", IDX_ENDING: "idx", ".gif": "gif", ".mp4": "mp4"}
LARGEST_PICTURE = 10**8  # pixels, of all frames of an animation together
FRAMES = 20  # between two digits of an animation, and per second
ANIMATION_SCALE = 6
GRID_SIDE = 10  # digits along a side of --interpolation_grid


class Samples(NamedTuple):
    """Images to be written."""

    blocks: object  # an iterable of uint8 (some, 28, 28)
    num: int
    columns: int | None = None  # of the grid
    # Arrays (num, ...) by name: labels, confidence, index, noise; or functions that return one.
    # They are read after the last block.
    arrays: dict = {}  # noqa: RUF012


def kind_of(output):
    """The kind of output at a path: png, folder, npz, idx, gif or mp4.

    Raises UserError for any other ending.
    """
    if output.endswith(("/", os.sep)):
        return "folder"
    for ending, kind in ENDINGS.items():
        if output.endswith(ending):
            return kind
    raise UserError(
        f"--output {output}: must end in {', '.join(ENDINGS)}, or in / for one PNG per digit"
    )


def check_output(output, num, scale=0):
    """Raise UserError unless `num` digits can be written there; a folder must be new or empty."""
    path, kind = Path(output), kind_of(output)
    if kind == "folder":
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UserError(
                f"--output {output}: exists, and is not an empty folder; name a new one"
            )
    elif path.is_dir():
        raise UserError(f"--output {output}: is a folder; name a file")
    if not path.parent.is_dir():
        raise UserError(f"--output {output}: there is no folder {path.parent}; make it first")
    side = data.IMAGE_SIZE * (scale or ANIMATION_SCALE)
    if kind == "png":
        side = (data.IMAGE_SIZE + images.GAP) * max(1, scale)
    if kind in ("png", "gif", "mp4") and num * side**2 > LARGEST_PICTURE:
        raise UserError(
            f"--output {output}: {num:,} pictures of {side}x{side} are too many for one file; "
            "give a smaller --num_samples or --scale, or an .npz"
        )
    if kind == "mp4":
        images.check_mp4()
    files.check_writable(path.parent)


def write(output, samples, scale=0, invert=False):
    """Write Samples to `output`, each file completely or not at all; returns the paths written.

    Pictures are enlarged by the factor `scale`, or 0 for what fits; `invert` makes black white.
    """
    path, kind = Path(output), kind_of(output)
    if invert:
        samples = samples._replace(blocks=(255 - block for block in samples.blocks))
    if kind == "folder":
        with files.atomic_path(path) as folder:
            folder.mkdir()
            write_folder(folder, samples, max(1, scale))
        return [path]
    with files.atomic_file(path) as file:
        if kind == "npz":
            write_npz(file, samples)
        elif kind == "idx":
            write_idx(file, samples.blocks, samples.num)
            remove_idx_labels(path, samples)
        else:
            digits = np.concatenate([*samples.blocks])
            if kind == "png":
                grid = images.make_grid(digits, samples.columns, 255 * invert)
                images.save_png(file, images.enlarge(grid, scale))
            else:
                frames = [images.enlarge(digit, scale or ANIMATION_SCALE) for digit in digits]
                images.save_animation(file, frames, kind, FRAMES)
    return [path, *write_idx_labels(path, samples)] if kind == "idx" else [path]


def idx_labels_path(path):
    """The path of the labels of IDX images."""
    return path.with_name(path.name.replace(IDX_ENDING, "-labels-idx1-ubyte.gz"))


def remove_idx_labels(path, samples):
    """Remove the labels of earlier images, which would be read as those of the new ones."""
    labels = idx_labels_path(path)
    if labels.exists():
        labels.unlink()
        if "labels" not in samples.arrays:
            say(f"Removed {labels}: it held the labels of the earlier images")


def write_idx_labels(path, samples):
    """Write the labels, if there are any, beside IDX images; return their path in a list."""
    if "labels" not in samples.arrays:
        return []
    labels = idx_labels_path(path)
    with files.atomic_file(labels) as file:
        write_idx(file, [samples.arrays["labels"]], samples.num)
    return [labels]


def write_folder(folder, samples, scale):
    """Write each digit as a PNG named after its number and, if known, its label."""
    number, labels = 0, samples.arrays.get("labels")
    for block in samples.blocks:
        for digit in block:
            label = "" if labels is None else f"-{labels[number]}"
            images.save_png(folder / f"{number:06d}{label}.png", images.enlarge(digit, scale))
            number += 1


def write_npz(file, samples):
    """Write the array `images`, uint8 (num, 28, 28), never held whole, and the other arrays."""
    header = {
        "descr": "|u1",
        "fortran_order": False,
        "shape": (samples.num, data.IMAGE_SIZE, data.IMAGE_SIZE),
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("images.npy", "w", force_zip64=True) as array:
            np.lib.format.write_array_header_1_0(array, header)
            for block in samples.blocks:
                array.write(block.tobytes())
        for name, values in samples.arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as array:
                np.lib.format.write_array(array, values() if callable(values) else values)


def write_idx(file, blocks, num):
    """Write uint8 blocks (some, ...), `num` in all, as a gzipped IDX file (readers.parse)."""
    with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        for number, block in enumerate(blocks):
            if not number:
                packed.write(readers.idx_header((num, *block.shape[1:])))
            packed.write(block.tobytes())
