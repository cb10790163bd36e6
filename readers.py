"""Files of arrays and pictures, read by what they hold, whatever their names say.

.npz, .npy and IDX files, plain or packed by gzip, xz, bzip2 or zip, and folders of PNGs. Files are
read without trust: nothing in them is ever executed, and nothing unpacks to more than memory holds.
"""

import bz2
import gzip
import io
import lzma
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from cli import UserError

LARGEST_ARCHIVE = 2 << 30  # bytes, unpacked
IDX_BYTES = 0x800  # begins an IDX file of bytes, plus its number of dimensions
IDX_START, NPY_START, ZIP_START = b"\0\0\x08", b"\x93NUMPY", b"PK\x03\x04"
UNPACKERS = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\0": lzma.open, b"BZh": bz2.open}

# What NumPy and the readers below it raise on a file that is not what it claims to be.
UNREADABLE = (OSError, ValueError, EOFError, KeyError, RuntimeError, SyntaxError, MemoryError)
UNREADABLE += (OverflowError, TypeError, AttributeError, tokenize.TokenError, struct.error)
UNREADABLE += (zipfile.BadZipFile, zlib.error, lzma.LZMAError)


def unreadable(path, kind, error):
    """The UserError for a file that is not what its reader expects."""
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return UserError(f"{path}: cannot be read as {kind} ({reason})")


def read_arrays(path, preferred=()):
    """Arrays of a file by name; that of an .npy or an IDX file is called "".

    Of an .npz it is the first of the `preferred` that is there, alone, or else all. Raises
    UserError when it is none of these, or damaged.
    """
    try:
        with open(path, "rb") as packed:
            file = unpack(packed)
            start = file.read(len(NPY_START))
            file.seek(0)
            if start.startswith(NPY_START):
                return {"": load_npy(file)}
            if start.startswith(IDX_START):
                return {"": read_idx(file)}
            if start.startswith(ZIP_START):
                held = names_in(file)
                named = [name for name in preferred if name in held]
                return read_npz(path, *named[:1], file=file)
    except UNREADABLE as error:
        raise unreadable(path, "arrays", error) from error
    raise UserError(f"{path}: is no .npz, .npy or IDX file, plain or packed by gzip, xz or zip")


def unpack(file):
    """The open file that a packed one holds, at whatever depth; itself if it is not packed."""
    for _ in range(4):
        start = file.read(8)
        file.seek(0)
        if start.startswith(ZIP_START):
            with zipfile.ZipFile(file) as archive:
                names = [name for name in archive.namelist() if not name.endswith("/")]
                file.seek(0)
                if any(name.endswith(".npy") for name in names):
                    return file
                if len(names) != 1:
                    raise ValueError(f"a zip of {len(names)} files; unpack it, and name one")
                with archive.open(names[0]) as member:
                    file = read_limited(member)
            continue
        unpacker = next((UNPACKERS[magic] for magic in UNPACKERS if start.startswith(magic)), None)
        if unpacker is None:
            return file
        file = read_limited(unpacker(file))
    raise ValueError("it is packed again and again")


def read_limited(file):
    """What is left of an open file, as a file in memory."""
    content = file.read(LARGEST_ARCHIVE + 1)
    if len(content) > LARGEST_ARCHIVE:
        raise ValueError(f"it unpacks to more than {LARGEST_ARCHIVE >> 30} GiB")
    return io.BytesIO(content)


def load_npy(file):
    """The array of an open .npy; raises ValueError if it claims to be too large."""
    version = np.lib.format.read_magic(file)
    read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    if version[0] in read_header:
        shape, _, dtype = read_header[version[0]](file)
        if math.prod(shape) * dtype.itemsize > LARGEST_ARCHIVE:
            raise ValueError(f"it claims to hold more than {LARGEST_ARCHIVE >> 30} GiB")
    file.seek(0)
    return np.load(file, allow_pickle=False)


def read_idx(file):
    """The array in an open IDX file (big-endian 0x800 + dimensions, the shape; then the bytes)."""
    (magic,) = struct.unpack(">I", file.read(4))
    if not IDX_BYTES < magic <= IDX_BYTES + 4:
        raise ValueError("its header is not that of an IDX file of bytes")
    shape = struct.unpack(f">{magic - IDX_BYTES}I", file.read(4 * (magic - IDX_BYTES)))
    if math.prod(shape) > LARGEST_ARCHIVE:
        raise ValueError(f"it claims to hold {math.prod(shape) >> 30} GiB")
    pixels = file.read(math.prod(shape))
    if len(pixels) != math.prod(shape) or file.read(1):
        raise ValueError("its length is not what its header says; fetch it again")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def idx_header(shape):
    """What stands before the bytes of an IDX file of this shape."""
    return struct.pack(f">{1 + len(shape)}I", IDX_BYTES + len(shape), *shape)


def names_in(file):
    """The names of the arrays in an open .npz."""
    with zipfile.ZipFile(file) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    file.seek(0)
    return names


def read_npz(path, *names, file=None):
    """Arrays of an .npz by name: those named, or all. `file` is the open file, where there is one.

    Raises UserError when the file is not an .npz, is damaged, or lacks a name.
    """
    try:
        wanted = {*names, *(f"{name}.npy" for name in names)}  # NumPy reads either
        with zipfile.ZipFile(file or path) as archive:
            members = [each for each in archive.infolist() if not names or each.filename in wanted]
            if sum(member.file_size for member in members) > LARGEST_ARCHIVE:
                raise ValueError(f"it unpacks to more than {LARGEST_ARCHIVE >> 30} GiB")
        if file:
            file.seek(0)
        with np.load(file or path, allow_pickle=False) as archive:
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


def read_picture(path, ground=0):
    """A picture's grey levels, uint8 (h, w); what is transparent lies on grey level `ground`.

    Palettes, 1 and 16 bits and colour (by its brightness) are converted. Raises ValueError.
    """
    import imageio.v3 as imageio

    content = Path(path).read_bytes()
    try:
        with warnings.catch_warnings(action="ignore"):
            picture = imageio.imread(content, plugin="pillow")
            if picture.dtype == np.uint16:  # which Pillow would clip
                return np.rint(picture / 257).astype(np.uint8)
            if picture.dtype == np.uint8 and picture.ndim == 2 and b"tRNS" not in content:
                return picture
            picture = imageio.imread(content, plugin="pillow", mode="LA")
    except Exception as error:  # Pillow's decoders raise errors of every kind
        raise ValueError(f"{type(error).__name__}: {error}") from error
    grey, opacity = np.moveaxis(picture / 1.0, -1, 0)
    return np.rint(ground + (grey - ground) * opacity / 255).astype(np.uint8)


def read_pictures(paths, size):
    """Pictures of size x size as uint8 (N, size, size); enlarged ones are shrunk, pixel by pixel.

    Raises UserError, naming the file, when one is of another size or cannot be read.
    """
    pictures = np.empty((len(paths), size, size), np.uint8)
    for number, path in enumerate(paths):
        try:
            picture = read_picture(path)
        except UNREADABLE as error:
            raise unreadable(path, "a picture", error) from error
        scale = picture.shape[0] // size
        small = picture[::scale, ::scale] if scale else picture
        is_enlarged = small.shape == (size, size) and picture.shape == (scale * size,) * 2
        if not is_enlarged or (small.repeat(scale, 0).repeat(scale, 1) != picture).any():
            found = "x".join(map(str, picture.shape[::-1]))
            raise UserError(f"{path}: is a picture of {found}; wanted is one digit, {size}x{size}")
        pictures[number] = small
    return pictures
