"""Files of images: what they hold decides, and what is ambiguous is refused in one line.

Needs no TensorFlow: tests/test_portability.py runs it on other versions of Python.
"""

import bz2
import gzip
import io
import lzma
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import data
import readers
from cli import UserError

random = np.random.default_rng(0)
DIGITS = random.integers(0, 256, (5, 28, 28), np.uint8)
DIGITS[0, 0, :2] = 0, 255


def idx(array):
    """The bytes of an IDX file."""
    return readers.idx_header(array.shape) + array.tobytes()


def npy(array):
    """The bytes of an .npy."""
    packed = io.BytesIO()
    np.save(packed, array)
    return packed.getvalue()


def npz(*arrays, **named):
    """The bytes of an .npz."""
    packed = io.BytesIO()
    np.savez(packed, *arrays, **named)
    return packed.getvalue()


def zip_of(**contents):
    """The bytes of a zip with these files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return packed.getvalue()


def png(rows, kind=0, bits=8, palette=b"", transparent=b""):
    """The bytes of a PNG whose rows, bytes, are as its colour type and depth have them."""

    def chunk(name, content):
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    rows = [np.asarray(row, np.uint8).tobytes() for row in rows]
    width = 28 if bits == 1 else len(rows[0]) * 8 // (bits * channels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0))
        + (chunk(b"PLTE", palette) if palette else b"")
        + (chunk(b"tRNS", transparent) if transparent else b"")
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + chunk(b"IEND", b"")
    )


def refusal(function, *arguments):
    """The one line with which a call is refused."""
    with pytest.raises(UserError) as refused:
        function(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


PACKED = {
    "plain": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zip": lambda content: zip_of(anything=content),
    "a gzip in a zip": lambda content: zip_of(**{"a.gz": gzip.compress(content)}),
}


@pytest.mark.parametrize("name", ["a-idx3-ubyte", "a.gz", "a.xz", "a.zip", "a.npz", "a.npy", "a"])
@pytest.mark.parametrize("packing", PACKED)
def test_magic_bytes_decide_whatever_the_name(tmp_path, packing, name):
    for content in (idx(DIGITS), npy(DIGITS), npz(x_train=DIGITS)):
        (tmp_path / name).write_bytes(PACKED[packing](content))
        np.testing.assert_array_equal(data.load_images(tmp_path / name), DIGITS)


PLAIN = {
    "as np.savez writes it": npz(DIGITS),
    "flat": npz(DIGITS.reshape(5, 784)),
    "channel last": npz(DIGITS[..., None]),
    "channel first": npz(DIGITS[:, None]),
    "grey saved as colour": npz(DIGITS[..., None].repeat(3, -1)),
    "ours": npz(images=DIGITS, labels=np.arange(5), confidence=np.ones(5), index=np.arange(5)),
    "with labels": npz(DIGITS, np.arange(5)),
    "another name": npz(pictures=DIGITS, labels=np.arange(5)),
    "with a test set": npz(x_train=DIGITS, x_test=DIGITS[:2]),
    "wide integers": npy(DIGITS.astype(np.int64)),
    "floats": npy(DIGITS.astype(np.float64)),
    "floats up to 1": npy(DIGITS / 255),
    "narrow floats up to 1": npy((DIGITS / 255).astype(np.float16)),
    "floats from -1 to 1": npy((DIGITS / 127.5 - 1).astype(np.float32)),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_arrays_that_say_what_they_are_are_read(tmp_path, kind):
    (tmp_path / "a").write_bytes(PLAIN[kind])
    images = data.load_images(tmp_path / "a")
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, DIGITS)


def test_one_image_and_black_and_white_ones(tmp_path):
    (tmp_path / "a").write_bytes(npy(DIGITS[0]))
    np.testing.assert_array_equal(data.load_images(tmp_path / "a"), DIGITS[:1])
    (tmp_path / "a").write_bytes(npy(DIGITS > 99))
    np.testing.assert_array_equal(data.load_images(tmp_path / "a"), 255 * (DIGITS > 99))


DOUBTFUL = {
    "two sets": (npz(DIGITS, DIGITS), "several arrays of images; it has: arr_0 uint8 (5, 28, 28)"),
    "labels": (npz(labels=np.arange(5)), "labels int64 (5,)"),
    "labels as IDX": (idx(np.arange(5, dtype=np.uint8)), "uint8 (5,)"),
    "another size": (npy(np.zeros((5, 32, 32), np.uint8)), "(5, 32, 32)"),
    "images last": (npy(np.moveaxis(DIGITS, 0, -1)), "(28, 28, 5)"),
    "colours": (npz(random.integers(0, 256, (5, 28, 28, 3), np.uint8)), "(5, 28, 28, 3)"),
    "standardised": (npy((DIGITS - DIGITS.mean()) / DIGITS.std()), "numbers from -"),
    "zero and one": (npy(DIGITS % 2), "numbers from 0 to 1"),
    "not finite": (npy(np.where(DIGITS > 99, np.nan, 0.0)), "from nan to nan"),
    "beyond 255": (npy(DIGITS.astype(int) + 1), "to 256"),
    "text": (npy(np.full((5, 28, 28), "a")), "no numbers"),
    "none": (npy(DIGITS[:0]), "no images"),
    "objects": (npy(np.array([DIGITS, None], object)), "cannot be read"),
    "an empty file": (b"", "no .npz, .npy or IDX"),
    "a picture": (png([[0] * 28] * 28), "no .npz, .npy or IDX"),
    "a short file": (idx(DIGITS)[:-1], "its length"),
    "a long file": (idx(DIGITS) + b"x", "its length"),
    "a short gzip": (gzip.compress(idx(DIGITS))[:-9], "cannot be read"),
    "a short xz": (lzma.compress(idx(DIGITS))[:-9], "cannot be read"),
    "a short zip": (zip_of(a=idx(DIGITS))[:-9], "cannot be read"),
    "a zip of two files": (zip_of(a=idx(DIGITS), b=idx(DIGITS)), "2 files"),
    "a claim of an .npy": (npy(DIGITS).replace(b"(5, 28", b"(9**9, 28"), "cannot be read"),
    "a claim of an IDX file": (readers.idx_header((2**31, 28, 28)) + b"x", "GiB"),
    "a plain zip claim": (b"PK\x03\x04" + b"\0" * 90, "cannot be read"),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_what_is_ambiguous_or_damaged_is_refused_by_what_was_found(tmp_path, kind):
    content, found = DOUBTFUL[kind]
    (tmp_path / "a.npz").write_bytes(content)
    line = refusal(data.load_images, tmp_path / "a.npz")
    assert "a.npz" in line and found in line


def test_arrays_that_nobody_asked_for_are_left_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LARGEST_ARCHIVE", 1 << 20)
    path = tmp_path / "a.npz"
    np.savez(path, notes=np.array([{"by": "me"}]), much=np.zeros(1 << 20), images=DIGITS)
    np.testing.assert_array_equal(data.load_images(path), DIGITS)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images", bytes(3 << 20))  # NumPy takes this name, too
        archive.writestr("notes.npy", b"")
    assert "unpacks to more" in refusal(data.load_images, path)


def test_what_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LARGEST_ARCHIVE", 1 << 20)
    for pack in PACKED.values():
        (tmp_path / "a").write_bytes(pack(bytes(3 << 20)))
        assert "a" in refusal(data.load_images, tmp_path / "a")
    packed = idx(DIGITS)
    for _ in range(6):
        packed = gzip.compress(packed)
    (tmp_path / "a").write_bytes(packed)
    assert "again and again" in refusal(data.load_images, tmp_path / "a")


GREY = np.linspace(0, 255, 28).round().astype(np.uint8)[None].repeat(28, 0)
BLACK_WHITE = np.tile(np.array([0, 255, 255, 0], np.uint8), (28, 7))
OPAQUE = np.full_like(GREY, 255)
LEVELS = bytes(np.arange(256, dtype=np.uint8).repeat(3))
BITS = np.packbits(BLACK_WHITE > 0, axis=1)
WIDE = (GREY.astype(">u2") * 257).astype(">u2").view(np.uint8)
PNGS = {
    "8 bits": (GREY, png(GREY)),
    "16 bits": (GREY, png(WIDE, bits=16)),
    "1 bit": (BLACK_WHITE, png(BITS, bits=1)),
    "1 bit with a palette": (255 - BLACK_WHITE, png(BITS, 3, 1, b"\xff\xff\xff\0\0\0")),
    "palette": (GREY, png(GREY, 3, palette=LEVELS)),
    "palette the other way round": (255 - GREY, png(GREY, 3, palette=LEVELS[::-1])),
    "palette with a transparent ground": (GREY, png(GREY, 3, 8, LEVELS, b"\0")),
    "grey as colour": (GREY, png(np.stack([GREY] * 3, -1), 2)),
    "grey with opacity": (GREY, png(np.stack([GREY, OPAQUE], -1), 4)),
    "colour with opacity": (GREY, png(np.stack([GREY, GREY, GREY, OPAQUE], -1), 6)),
    "ink on nothing": (GREY, png(np.stack([OPAQUE, GREY], -1), 4)),
    "a transparent level": (GREY, png(GREY, transparent=b"\0\0")),
}


@pytest.mark.parametrize("kind", PNGS)
def test_pictures_of_every_kind_have_the_right_grey_levels(tmp_path, kind):
    expected, content = PNGS[kind]
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(content)
    np.testing.assert_array_equal(data.load_images(tmp_path), [expected] * 3)


def test_a_colour_is_as_bright_as_it_looks(tmp_path):
    (tmp_path / "a.png").write_bytes(png(np.tile(np.array([[255, 0, 0]]), (28, 28)), 2))
    assert 70 < data.load_images(tmp_path).max() < 80


def test_enlarged_pictures_are_shrunk_and_others_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(png(GREY.repeat(4, 0).repeat(4, 1)))
    np.testing.assert_array_equal(data.load_images(tmp_path), [GREY])
    for shape in ((56, 56), (14, 14), (28, 56), (30, 30)):
        (tmp_path / "b.png").write_bytes(png(random.integers(0, 256, shape, np.uint8)))
        assert f"{shape[1]}x{shape[0]}" in refusal(data.load_images, tmp_path)
    for content in (b"", png(GREY)[:-30], png(GREY).replace(b"IDAT", b"IDAX"), b"GIF89a"):
        (tmp_path / "b.png").write_bytes(content)
        assert "b.png: cannot be read as a picture" in refusal(data.load_images, tmp_path)


def test_folders_of_pictures_by_digit(tmp_path):
    for digit, level in ((3, 30), (7, 70)):
        (tmp_path / str(digit)).mkdir()
        (tmp_path / str(digit) / "a.png").write_bytes(png(np.full((28, 28), level, np.uint8)))
    assert data.load_images(tmp_path)[:, 0, 0].tolist() == [30, 70]


@pytest.mark.parametrize("packing", ["plain", "gzip", "xz", "zip"])
def test_a_labelled_set_as_its_authors_ship_it(tmp_path, packing):
    ending = {"plain": "", "gzip": ".gz"}.get(packing, f".{packing}")
    parts = {
        "train-images-idx3-ubyte": DIGITS,
        "train-labels-idx1-ubyte": np.arange(5, dtype=np.uint8),
        "t10k-images-idx3-ubyte": DIGITS[:2],
        "t10k-labels-idx1-ubyte": np.arange(2, dtype=np.uint8),
    }
    for name, array in parts.items():
        (tmp_path / (name + ending)).write_bytes(PACKED[packing](idx(array)))
    np.testing.assert_array_equal(data.load_images(tmp_path), DIGITS)
    arrays = data.load_parts(tmp_path, "x_train", "y_train", "x_test", "y_test")
    for name, array in zip(("x_train", "y_train", "x_test", "y_test"), parts.values()):
        np.testing.assert_array_equal(arrays[name], array)
    (tmp_path / ("t10k-images-idx3-ubyte" + ending)).unlink()
    assert "t10k-images-idx3-ubyte" in refusal(data.load_parts, tmp_path, "x_train", "x_test")


def test_one_of_several_sets_has_to_be_named(tmp_path):
    for name in ("digits", "letters"):
        path = tmp_path / f"emnist-{name}-train-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(idx(DIGITS)))
    assert "several" in refusal(data.load_images, tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(DIGITS[:3]))
    assert len(data.load_images(tmp_path)) == 3


def test_a_folder_with_nothing_of_it_and_no_file_say_what_would_do(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    line = refusal(data.load_images, tmp_path)
    assert "train-images-idx3-ubyte" in line and "notes.txt" in line
    assert "nowhere" in refusal(data.load_images, tmp_path / "nowhere")
