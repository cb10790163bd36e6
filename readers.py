"""Files of arrays, read by what they hold, whatever their names say.

.npz, .npy and IDX files, plain or gzipped, also in a zip. Files are read without trust: nothing in
them is executed, and nothing unpacks to more than memory holds.
"""

import gzip
import io
import math
import os
import re
import shlex
import struct
import sys
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from cli import UserError

LARGEST_ARCHIVE = 2 << 30  # bytes, unpacked
IDX_BYTES = 0x800  # begins an IDX file of bytes, plus its number of dimensions
GZIP_START, ZIP_START = b"\x1f\x8b", b"PK\x03\x04"
NPY_START, IDX_START = b"\x93NUMPY", b"\0\0\x08"

# What NumPy and the readers below it raise on a file that is not what it claims to be.
UNREADABLE = (OSError, ValueError, EOFError, KeyError, RuntimeError, SyntaxError, MemoryError)
UNREADABLE += (OverflowError, TypeError, AttributeError, tokenize.TokenError, struct.error)
UNREADABLE += (zipfile.BadZipFile, zlib.error)


def unreadable(path, kind, error):
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return UserError(f"{path}: cannot be read as {kind} ({reason})")


def list_files(path):
    """Paths of the files in and below a folder, or in a zip, sorted; of another file none.

    Names that archivers and file managers add (.DS_Store, __MACOSX/._a) are left out.
    """
    if not path.is_dir():
        try:
            archive = zipfile.ZipFile(path.open("rb"))
        except UNREADABLE:
            return []
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
        return [zipfile.Path(archive, name) for name in names if not is_added(name)]

    def fail(error):  # rather than pass over a folder that may not be read
        raise error

    found, seen = [], set()
    for folder, inner, names in os.walk(path, onerror=fail, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:  # a link in a circle
            inner.clear()
            continue
        seen.add(real)
        inner[:] = [name for name in inner if not is_added(name)]
        found += [Path(folder, name) for name in names if not is_added(name)]
    return sorted(found)


def is_added(name):
    """Whether a path in an archive or a folder was added by an archiver or a file manager."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def read_array(path, names, kind, fits=None):
    """(name, array): of an .npz the first of `names` that it has, or else the only one that `fits`.

    The array of an .npy or an IDX file has the name "". `kind` says in words what is wanted. Raises
    UserError when it is not there, or the file is damaged.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start == ZIP_START:
                with zipfile.ZipFile(file) as archive:
                    return choose_array(path, archive, names, kind, fits)
            content = read_limited(gzip.open(file) if start.startswith(GZIP_START) else file)
        if content.startswith((NPY_START, IDX_START)):
            return "", parse(content)
    except UNREADABLE as error:
        raise unreadable(path, "arrays", error) from error
    if content[:4096].count(b",") > 99:
        raise UserError(f"{path}: is a CSV file; to convert it: {csv_conversion(path, content)}")
    raise UserError(f"{path}: is not an .npz, .npy or IDX file, plain or gzipped")


def choose_array(path, archive, names, kind, fits):
    """What read_array returns, of an open .npz."""
    held = arrays_in(archive)
    for name in names:
        if name in held:
            return name, read_member(archive, held[name])
    fitting, has = {}, []
    for name, member in held.items():
        try:
            array = read_member(archive, member)
        except UNREADABLE as error:  # of objects, say; it may not be needed
            has.append(f"{name} ({error})")
            continue
        has.append(f"{name} {array.dtype} {array.shape}")
        if fits and fits(array):
            fitting[name] = array
    if len(fitting) == 1:
        return fitting.popitem()
    has = ", ".join(has or archive.namelist())[:300] or "nothing"
    if not held:
        raise UserError(f"{path}: is a zip of {has}; unpack it")
    which = f"several arrays of {kind}; call one {names[0]!r}" if fitting else f"no {kind}"
    raise UserError(f"{path}: holds {which}; it has: {has}")


def read_npz(path, *names):
    """Arrays of an .npz by name: those named, or all.

    Raises UserError when the file is not an .npz, is damaged, or lacks a name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            held = arrays_in(archive)
            for name in names:
                if name not in held:
                    has = ", ".join(held) or "none"
                    raise UserError(f"{path}: holds no array {name!r}; it has: {has}")
            return {name: read_member(archive, held[name]) for name in names or held}
    except UNREADABLE as error:
        raise unreadable(path, "an .npz archive", error) from error


def arrays_in(archive):
    """The members of an open .npz by the names of their arrays."""
    names = [name for name in archive.namelist() if name.endswith(".npy") and not is_added(name)]
    return {name.removesuffix(".npy"): name for name in names}


def read_member(archive, name):
    with archive.open(name) as file:
        return parse(read_limited(file))


def read_limited(file):
    """The bytes of an open file; raises ValueError if they are more than memory may hold."""
    content = file.read(LARGEST_ARCHIVE + 1)
    if len(content) > LARGEST_ARCHIVE:
        raise ValueError(f"it unpacks to more than {LARGEST_ARCHIVE >> 30} GiB")
    return content


def parse(content):
    """The array that the bytes of an .npy or an IDX file hold; raises ValueError if damaged.

    An IDX file is big-endian 0x800 + dimensions, the shape, and the bytes.
    """
    if content.startswith(NPY_START):
        file = io.BytesIO(content)
        array, end = np.lib.format.read_array(file, allow_pickle=False), file.tell()
    else:
        shape = struct.unpack_from(f">{content[3]}I", content, 4)
        start = 4 + 4 * len(shape)
        end = start + math.prod(shape)
        array = np.frombuffer(content[start:end], np.uint8).reshape(shape)
    if end != len(content):
        raise ValueError("its length is not what its header says; fetch it again")
    return array


def idx_header(shape):
    """What stands before the bytes of an IDX file of this shape."""
    return struct.pack(f">{1 + len(shape)}I", IDX_BYTES + len(shape), *shape)


def csv_conversion(path, content):
    """The command that makes an .npy of a CSV file whose rows end in the 784 pixels of an image."""
    has_names = bool(re.search(rb"[A-Za-z]", content[: content.find(b"\n")]))
    load = f"np.loadtxt({str(path)!r}, 'u1', delimiter=',', skiprows={int(has_names)})"
    code = f"import numpy as np; np.save({path.stem + '.npy'!r}, {load}[:, -784:])"
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}"
