"""MNIST in, pixels to and from [-1, 1], and which image is in which batch.

Files are read without trust: nothing in them is ever executed.
"""

import gzip
import hashlib
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from cli import UserError

IMAGE_SIZE = 28
# digest() of MNIST's training images.
MNIST_DIGEST = "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
LARGEST_ARCHIVE = 2 << 30  # bytes, unpacked
IDX_BYTES = 0x800  # begins an IDX file of bytes, plus its number of dimensions
IDX_NAMES = ("train-images-idx3-ubyte", "train-images.idx3-ubyte", "*-train-images-idx3-ubyte")

# What NumPy and the readers below it raise on a file that is not what it claims to be.
UNREADABLE = (OSError, ValueError, EOFError, KeyError, RuntimeError, SyntaxError, MemoryError)
UNREADABLE += (OverflowError, TypeError, tokenize.TokenError)
UNREADABLE += (zipfile.BadZipFile, zlib.error, lzma.LZMAError)


def load_images(path):
    """Training images as uint8 (N, 28, 28), 0 black to 255 white.

    `path` is an .npz that holds them as `x_train`, an IDX file, or a folder with the original IDX
    file of training images; IDX may be gzipped. Raises UserError when it is none of these.
    """
    path = Path(path)
    if path.is_dir():
        path = find_idx(path)
    if not path.is_file():
        takes = "--data takes an .npz, an IDX file, or a folder with one"
        raise UserError(f"{path}: no such file; {takes}")
    is_npz = path.suffix == ".npz" or zipfile.is_zipfile(path)
    images = read_npz(path, "x_train")["x_train"] if is_npz else read_idx(path)
    check_images(path, images)
    return images


def check_images(path, images):
    """Raise UserError unless these are uint8 (N, 28, 28) with N at least 1."""
    if images.dtype != np.uint8 or images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        raise UserError(
            f"{path}: its images are {images.dtype} {images.shape}; they must be uint8 (N, 28, 28)"
        )
    if not len(images):
        raise UserError(f"{path}: holds no images; give a set with at least one batch")


def find_idx(folder):
    """The IDX file with the training images in `folder`, plain before gzipped."""
    for name in IDX_NAMES:
        for pattern in (name, name + ".gz"):
            found = sorted(folder.glob(pattern))
            if len(found) > 1:
                raise UserError(f"{folder}: holds several training sets; name one: {found[0]}")
            if found:
                return found[0]
    raise UserError(f"{folder}: holds no {IDX_NAMES[0]} or {IDX_NAMES[0]}.gz")


def read_idx(path):
    """Images of an IDX file (big-endian 0x00000803, N, rows, columns; then the bytes), or .gz."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            magic, *shape = struct.unpack(">4I", file.read(16))
            if magic != IDX_BYTES + 3:
                raise ValueError("its header is not that of images")
            if math.prod(shape) > LARGEST_ARCHIVE:
                raise ValueError(f"it claims to hold {math.prod(shape) >> 30} GiB")
            pixels = file.read(math.prod(shape))
            if len(pixels) != math.prod(shape) or file.read(1):
                raise ValueError("its length is not what its header says; fetch it again")
    except (*UNREADABLE, struct.error) as error:
        raise unreadable(path, "an IDX file", error) from error
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def idx_header(shape):
    """What stands before the bytes of an IDX file of this shape."""
    return struct.pack(f">{1 + len(shape)}I", IDX_BYTES + len(shape), *shape)


def unreadable(path, kind, error):
    """The UserError for a file that is not what its reader expects."""
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return UserError(f"{path}: cannot be read as {kind} ({reason})")


def read_npz(path, *names):
    """Arrays of an .npz by name: those named, or all. Nothing in it is ever executed.

    Raises UserError when the file is not an .npz, is damaged, or lacks a name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_ARCHIVE:
                raise ValueError(f"it unpacks to more than {LARGEST_ARCHIVE >> 30} GiB")
        with np.load(path, allow_pickle=False) as archive:
            for name in names:
                if name not in archive:
                    held = ", ".join(archive) or "none"
                    raise UserError(f"{path}: holds no array {name!r}; it has: {held}")
            arrays = {name: archive[name] for name in names or archive}
            for name, array in arrays.items():
                if not isinstance(array, np.ndarray):
                    raise ValueError(f"{name} is not an array")
            return arrays
    except UNREADABLE as error:
        raise unreadable(path, "an .npz archive", error) from error


def digest(images):
    """SHA-256 of the pixels, in hexadecimal: which set this is, wherever its file lies."""
    return hashlib.sha256(np.ascontiguousarray(images)).hexdigest()


def to_model_range(pixels):
    """Pixels 0..255 of any real type to float in [-1, 1], as the networks see them."""
    return pixels / 127.5 - 1.0


def to_pixels(values):
    """Floats in [-1, 1] to the nearest pixels, uint8 0..255; what lies outside is clipped."""
    return np.clip(np.rint((np.asarray(values) + 1.0) * 127.5), 0, 255).astype(np.uint8)


def epoch_order(num_images, batch_size, seed, epoch):
    """Which images each batch of an epoch holds: int32 (steps, batch_size), no image twice.

    A function of (seed, epoch) alone. The `num_images % batch_size` images left over differ from
    epoch to epoch.
    """
    steps = num_images // batch_size
    order = np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(num_images)
    return order[: steps * batch_size].reshape(steps, batch_size).astype(np.int32)
