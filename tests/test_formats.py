"""Every output format, through one writer."""

import errno
import gzip

import numpy as np
import pytest

import data
from cli import UserError
from helpers import failing
from readers import read_npz
from storage import formats, images
from storage.formats import Samples

DIGITS = np.random.default_rng(0).integers(0, 256, (105, 28, 28), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 10, 105, np.uint8)


def samples(**arrays):
    """Those digits in two blocks, as a generator yields them."""
    return Samples(iter([DIGITS[:100], DIGITS[100:]]), len(DIGITS), arrays=arrays)


def test_every_format_holds_the_same_digits(tmp_path):
    for name in ("a.npz", "a-images-idx3-ubyte.gz", "a/"):
        formats.write(f"{tmp_path}/{name}", samples(labels=LABELS))
    formats.write(f"{tmp_path}/a.png", samples(), scale=2, invert=True)
    arrays = read_npz(tmp_path / "a.npz")
    np.testing.assert_array_equal(arrays["images"], DIGITS)
    np.testing.assert_array_equal(arrays["labels"], LABELS)
    np.testing.assert_array_equal(data.load_images(tmp_path / "a-images-idx3-ubyte.gz"), DIGITS)
    paths = sorted((tmp_path / "a").iterdir())
    assert [path.stem for path in paths] == [f"{i:06d}-{label}" for i, label in enumerate(LABELS)]
    np.testing.assert_array_equal([*map(images.load_png, paths)], DIGITS)
    expected = 255 - images.enlarge(images.make_grid(DIGITS), 2)
    np.testing.assert_array_equal(images.load_png(tmp_path / "a.png"), expected)


def test_idx_labels_are_laid_out_as_mnist_s_and_do_not_outlive_their_images(tmp_path):
    output = f"{tmp_path}/a-images-idx3-ubyte.gz"
    written = formats.write(output, samples(labels=LABELS))
    assert [path.name for path in written] == ["a-images-idx3-ubyte.gz", "a-labels-idx1-ubyte.gz"]
    with gzip.open(written[1]) as file:
        assert file.read() == bytes.fromhex("00000801 00000069") + LABELS.tobytes()
    first = written[0].read_bytes()
    header = bytes.fromhex("00000803 00000069 0000001c 0000001c")
    assert gzip.decompress(first) == header + DIGITS.tobytes()
    formats.write(output, samples())
    assert written[0].read_bytes() == first and not written[1].exists()


def test_images_never_lie_beside_the_labels_of_earlier_ones(tmp_path, monkeypatch):
    output = f"{tmp_path}/a-images-idx3-ubyte.gz"
    _, labels = formats.write(output, samples(labels=LABELS))
    monkeypatch.setattr(formats, "write_idx_labels", failing(errno.ENOSPC))
    with pytest.raises(OSError):
        formats.write(output, samples(labels=LABELS[::-1]))
    assert not labels.exists()


def test_an_interrupted_folder_leaves_nothing(tmp_path):
    def blocks():
        yield np.zeros((2, 28, 28), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        formats.write(f"{tmp_path}/digits/", Samples(blocks(), 4))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("name", "num", "said"),
    [
        ("a.jpg", 1, "must end in"),
        ("a", 1, "must end in"),
        ("full/", 1, "not an empty folder"),
        ("no/such/", 1, "no folder"),
        ("no/such.png", 1, "no folder"),
        ("a.png", 200_000, "too many"),
        ("new/", 10, None),
        ("a.npz", 10**8, None),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_drawing(tmp_path, name, num, said):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    if said:
        with pytest.raises(UserError, match=said):
            formats.check_output(f"{tmp_path}/{name}", num)
    else:
        formats.check_output(f"{tmp_path}/{name}", num)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
