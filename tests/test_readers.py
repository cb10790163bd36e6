"""Files of images: what they hold decides, and what is ambiguous is refused in one line."""

import functools
import gzip
import io
import pickle
import re
import subprocess
import zipfile
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image

import data
import readers
from cli import UserError
from helpers import packed

DIGITS = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
DIGITS[0, 0, :2] = 0, 255


npy, npz = functools.partial(packed, np.save), functools.partial(packed, np.savez)


def idx(array):
    """The bytes of an IDX file."""
    return readers.idx_header(array.shape) + array.tobytes()


def zip_of(contents):
    """The bytes of a zip with these files, {name: bytes}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def png(picture, mode=None, **options):
    """The bytes of a PNG of an array, converted to one of Pillow's modes."""
    image = Image.fromarray(picture)
    return packed((image.convert(mode) if mode else image).save, "PNG", **options)


def fill(folder, contents):
    """Write files, {path in the folder: bytes}; return the folder."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def refusal(function, *arguments):
    """The one line with which a call is refused."""
    with pytest.raises(UserError) as refused:
        function(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


PLAIN = {
    "IDX": idx(DIGITS),
    "IDX, gzipped": gzip.compress(idx(DIGITS)),
    "an .npy, gzipped": gzip.compress(npy(DIGITS)),
    "as np.savez writes it": npz(DIGITS),
    "flat": npz(DIGITS.reshape(5, 784)),
    "channel last": npz(DIGITS[..., None]),
    "channel first": npz(DIGITS[:, None]),
    "grey saved as colour": npz(DIGITS[..., None].repeat(3, -1)),
    "another name": npz(pictures=DIGITS, labels=np.arange(5)),
    "with a test set": npz(x_train=DIGITS, x_test=DIGITS[:2]),
    "wide integers": npy(DIGITS.astype(np.int64)),
    "floats up to 1": npy(DIGITS / 255),
    "floats from -1 to 1": npy((DIGITS / 127.5 - 1).astype(np.float32)),
    "added by an archiver": zip_of({"x.npy": npy(DIGITS), "__MACOSX/._x.npy": npy(DIGITS[:2])}),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_arrays_that_say_what_they_are_are_read_whatever_the_file_s_name(tmp_path, kind):
    for name in ("a-idx3-ubyte", "a.gz", "a.npz", "a"):
        (tmp_path / name).write_bytes(PLAIN[kind])
        images = data.load_images(tmp_path / name)
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(images, DIGITS)


def test_one_image_and_black_and_white_ones(tmp_path):
    for array, expected in ((DIGITS[0], DIGITS[:1]), (DIGITS > 99, 255 * (DIGITS > 99))):
        (tmp_path / "a").write_bytes(npy(array))
        np.testing.assert_array_equal(data.load_images(tmp_path / "a"), expected)


DOUBTFUL = {
    "two sets": (npz(DIGITS, DIGITS), "several arrays of images"),
    "labels": (npz(labels=np.arange(5)), "it has: labels int64 (5,)"),
    "another size": (npz(x_train=np.zeros((5, 32, 32), np.uint8)), "(5, 32, 32)"),
    "colours": (npz(np.stack([DIGITS, DIGITS.swapaxes(1, 2), DIGITS], -1)), "(5, 28, 28, 3)"),
    "standardised": (npy((DIGITS - DIGITS.mean()) / DIGITS.std()), "numbers from -"),
    "zero and one": (npy(DIGITS % 2), "numbers from 0 to 1"),
    "not finite": (npy(np.where(DIGITS > 99, np.nan, 0.0)), "from nan to nan"),
    "beyond 255": (npy(DIGITS.astype(int) + 1), "to 256"),
    "none": (npy(DIGITS[:0]), "no images"),
    "objects": (npz(x_train=np.array([DIGITS, None], object)), "cannot be read"),
    "a pickle": (pickle.dumps(DIGITS), "not an .npz"),
    "an empty file": (b"", "not an .npz"),
    "a short IDX file": (idx(DIGITS)[:-1], "cannot be read"),
    "a long IDX file": (idx(DIGITS) + b"x", "its length"),
    "a short gzip": (gzip.compress(idx(DIGITS))[:-9], "cannot be read"),
    "a short zip": (npz(x_train=DIGITS)[:-9], "cannot be read"),
    "a zip of pictures": (zip_of({"0/a.png": png(DIGITS[0])}), "a zip of 0/a.png; unpack it"),
    "a large claim": (readers.idx_header((2**31, 28, 28)) + b"x", "cannot be read"),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_what_is_ambiguous_or_damaged_is_refused_by_what_was_found(tmp_path, kind):
    content, found = DOUBTFUL[kind]
    (tmp_path / "a.npz").write_bytes(content)
    line = refusal(data.load_images, tmp_path / "a.npz")
    assert "a.npz" in line and found in line


class Trap:
    """What makes a folder when it is unpickled."""

    def __reduce__(self):
        return Path.mkdir, (Path("unpickled"),)


def test_labels_that_are_objects_do_not_matter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", X=DIGITS.reshape(5, 784).astype(float), y=np.array([Trap()], object))
    np.testing.assert_array_equal(data.load_images("a.npz"), DIGITS)
    assert not Path("unpickled").exists()


def test_what_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LARGEST_ARCHIVE", 1 << 20)
    large = bytes(3 << 20)
    for content in (gzip.compress(large), zip_of({"x_train.npy": large})):
        (tmp_path / "a").write_bytes(content)
        assert "unpacks to more" in refusal(data.load_images, tmp_path / "a")


GREY = np.linspace(0, 255, 28).round().astype(np.uint8)[None].repeat(28, 0)
BLACK_WHITE = np.tile(np.array([0, 255, 255, 0], np.uint8), (28, 7))
PALETTE = Image.fromarray(GREY)
PALETTE.putpalette(bytes(np.arange(255, -1, -1, dtype=np.uint8).repeat(3)))
PNGS = {
    "16 bits": (GREY, png(GREY.astype(np.uint16) * 257)),
    "1 bit": (BLACK_WHITE, png(BLACK_WHITE, "1")),
    "palette": (255 - GREY, packed(PALETTE.save, "PNG")),
    "grey as colour": (GREY, png(GREY, "RGB")),
    "colour with opacity": (GREY, png(GREY, "RGBA")),
    "ink on nothing": (GREY, png(np.stack([np.full_like(GREY, 255), GREY], -1))),
    "a transparent level": (GREY, png(GREY, transparency=0)),
    "enlarged": (GREY, png(GREY.repeat(4, 0).repeat(4, 1))),
}


@pytest.mark.parametrize("kind", PNGS)
def test_pictures_of_every_kind_have_the_right_grey_levels(tmp_path, kind):
    expected, content = PNGS[kind]
    (tmp_path / "a.png").write_bytes(content)
    np.testing.assert_array_equal(data.load_images(tmp_path), [expected])


def test_every_picture_below_a_folder_counts_and_others_are_told(tmp_path, capsys):
    jpeg = imageio.imwrite("<bytes>", GREY, extension=".jpg")
    red = png(np.tile(np.array([255, 0, 0], np.uint8), (28, 28, 1)))
    pictures = ["a.png", "B.PNG", "46/a.png", "letter A/deep/a.Png", "0/é.png"]
    fill(tmp_path, dict.fromkeys(pictures, png(GREY)) | {"c.JPG": jpeg, "red.png": red})
    fill(tmp_path, {"large.png": png(DIGITS[0, 1:]), "broken.png": b"", "labels.csv": b"0,1"})
    fill(tmp_path, {"._a.png": b"", ".hidden/a.png": png(GREY), "__MACOSX/46/._a.png": b""})
    (tmp_path / "in a circle").symlink_to(tmp_path)
    images = data.load_images(tmp_path)
    assert (np.abs(images - GREY.astype(float)).max((1, 2)) < 5).sum() == 6
    assert 70 < images[-1].max() < 80  # a colour is as bright as it looks
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{tmp_path}: 7 pictures; ")
    for remark in (
        f"1 left out, cannot be read ({tmp_path}/broken.png)",
        f"1 left out, not 28x28 ({tmp_path}/large.png, 28x27)",
        f"1 left out, not a PNG, JPEG or BMP ({tmp_path}/labels.csv)",
        f"1 in colour, read by their brightness ({tmp_path}/red.png)",
    ):
        assert remark in line


SET = {
    "train-images-idx3-ubyte": DIGITS,
    "train-labels-idx1-ubyte": np.arange(5, dtype=np.uint8),
    "t10k-images-idx3-ubyte": DIGITS[:2],
    "t10k-labels-idx1-ubyte": np.arange(2, dtype=np.uint8),
}
PARTS = ("x_train", "y_train", "x_test", "y_test")


@pytest.mark.parametrize("packing", ["plain", "gzip", "zip of gzip", "folders as of Kaggle"])
def test_a_labelled_set_as_its_authors_ship_it(tmp_path, packing):
    contents = {name: idx(array) for name, array in SET.items()}
    if packing == "folders as of Kaggle":
        contents = {f"{n}/{n.replace('-idx', '.idx')}": each for n, each in contents.items()}
    if "gzip" in packing:
        contents = {f"{name}.gz": gzip.compress(each) for name, each in contents.items()}
    contents |= {f"{added}{name}": b"" for added in ("._", "__MACOSX/._") for name in SET}
    path = fill(tmp_path / "set", contents)
    if packing.startswith("zip"):
        path = tmp_path / "set.zip"
        path.write_bytes(zip_of({f"gzip/{name}": each for name, each in contents.items()}))
    np.testing.assert_array_equal(data.load_images(path), DIGITS)
    arrays = data.load_parts(path, *PARTS)
    for name, array in zip(PARTS, SET.values()):
        np.testing.assert_array_equal(arrays[name], array)


def test_a_part_that_is_missing_is_named(tmp_path):
    fill(tmp_path, {"train-images-idx3-ubyte": idx(DIGITS)})
    assert "x_test" in refusal(data.load_parts, tmp_path, "x_train", "x_test")


@pytest.mark.parametrize("is_zip", [False, True])
def test_of_several_sets_the_one_that_a_refusal_names_can_be_given(tmp_path, is_zip):
    names = [f"gzip/emnist-{name}-train-images-idx3-ubyte.gz" for name in ("letters", "digits")]
    contents = dict.fromkeys(names, gzip.compress(idx(DIGITS)))
    path = fill(tmp_path / "sets", contents)
    if is_zip:
        path = tmp_path / "gzip.zip"
        path.write_bytes(zip_of(contents))
    line = refusal(data.load_images, path)
    assert "several sets" in line
    np.testing.assert_array_equal(data.load_images(line.split(": ")[-1]), DIGITS.swapaxes(1, 2))


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize(
    "name", ["emnist-letters-Train-Images.idx3-ubyte", "emnist.npy", "letters.npy"]
)
def test_emnist_is_turned_upright_and_other_images_when_asked(tmp_path, name, transpose, capsys):
    is_known = "idx3" in name
    fill(tmp_path, {name: idx(DIGITS)})
    images = data.load_images(tmp_path / name, transpose=transpose)
    is_turned = is_known or transpose
    np.testing.assert_array_equal(images, DIGITS.swapaxes(1, 2) if is_turned else DIGITS)
    said = capsys.readouterr().out
    assert ("turned upright" in said) == is_known
    assert ("--transpose" in said) == (name == "emnist.npy" and not transpose)


@pytest.mark.parametrize("has_names", [True, False])
def test_the_command_that_a_csv_file_is_refused_with_converts_it(tmp_path, monkeypatch, has_names):
    monkeypatch.chdir(tmp_path)
    rows = np.insert(DIGITS.reshape(5, 784), 0, 7, 1)  # the labels
    names = "label," + ",".join(f"pixel{number}" for number in range(784))
    path = tmp_path / "it's kaggle's" / "train.csv"
    path.parent.mkdir()
    np.savetxt(path, rows, "%d", ",", header=names if has_names else "", comments="")
    command = re.search("to convert it: (.*)", refusal(data.load_images, path))[1]
    subprocess.run(command, shell=True, check=True)
    np.testing.assert_array_equal(data.load_images("train.npy"), DIGITS)


def test_a_folder_with_nothing_of_it_and_no_file_say_what_would_do(tmp_path):
    assert "it is empty" in refusal(data.load_images, tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    line = refusal(data.load_images, tmp_path)
    assert "train-images-idx3-ubyte" in line and "notes.txt" in line
    assert "no such file" in refusal(data.load_images, tmp_path / "nowhere")
