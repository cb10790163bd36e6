"""Every output format, through one writer."""

import gzip

import numpy as np
import pytest

import data
from cli import UserError
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
        formats.write(f"{tmp_path}/{name}", samples())
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], DIGITS)
    np.testing.assert_array_equal(data.load_images(tmp_path / "a-images-idx3-ubyte.gz"), DIGITS)
    pictures = [images.load_png(path) for path in sorted((tmp_path / "a").iterdir())]
    np.testing.assert_array_equal(pictures, DIGITS)


def test_a_picture_is_the_grid_of_the_digits(tmp_path):
    formats.write(f"{tmp_path}/a.png", samples(), scale=2)
    expected = images.enlarge(images.make_grid(DIGITS), 2)
    np.testing.assert_array_equal(images.load_png(tmp_path / "a.png"), expected)


def test_labels_and_other_arrays_go_with_the_digits(tmp_path):
    arrays = {"labels": LABELS, "noise": np.ones((105, 6), np.float32)}
    formats.write(f"{tmp_path}/a.npz", samples(**arrays))
    found = read_npz(tmp_path / "a.npz")
    assert found.keys() == {"images", "labels", "noise"}
    np.testing.assert_array_equal(found["labels"], LABELS)
    assert found["noise"].dtype == np.float32
    formats.write(f"{tmp_path}/a/", samples(**arrays))
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names[:2] == [f"000000-{LABELS[0]}.png", f"000001-{LABELS[1]}.png"]


def test_idx_labels_are_laid_out_as_mnist_s(tmp_path):
    written = formats.write(f"{tmp_path}/a-images-idx3-ubyte.gz", samples(labels=LABELS))
    assert [path.name for path in written] == ["a-images-idx3-ubyte.gz", "a-labels-idx1-ubyte.gz"]
    with gzip.open(written[1]) as file:
        assert file.read() == bytes.fromhex("00000801 00000069") + LABELS.tobytes()


def test_labels_of_former_idx_images_do_not_stay_beside_new_ones(tmp_path):
    output = f"{tmp_path}/a-images-idx3-ubyte.gz"
    _, labels = formats.write(output, samples(labels=LABELS))
    formats.write(output, samples())
    assert not labels.exists()


@pytest.mark.slow
def test_idx_files_are_read_by_another_reader(tmp_path):
    import idx2numpy

    written = formats.write(f"{tmp_path}/a-images-idx3-ubyte.gz", samples(labels=LABELS))
    for path, expected in zip(written, (DIGITS, LABELS)):
        with gzip.open(path) as file:
            np.testing.assert_array_equal(idx2numpy.convert_from_file(file), expected)


def test_an_inverted_output_is_the_negative(tmp_path):
    for name, invert in (("plain", False), ("paper", True)):
        formats.write(f"{tmp_path}/{name}.png", samples(), 1, invert)
    plain, paper = (images.load_png(tmp_path / f"{name}.png") for name in ("plain", "paper"))
    np.testing.assert_array_equal(plain, 255 - paper)


def test_an_interrupted_folder_leaves_nothing(tmp_path):
    def blocks():
        yield np.zeros((2, 28, 28), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        formats.write(f"{tmp_path}/digits/", Samples(blocks(), 4))
    assert not [*tmp_path.iterdir()]


def test_the_same_digits_make_the_same_file(tmp_path):
    for name in ("a", "b"):
        formats.write(f"{tmp_path}/{name}-images-idx3-ubyte.gz", samples())
    one, other = ((tmp_path / f"{name}-images-idx3-ubyte.gz").read_bytes() for name in "ab")
    assert one == other


@pytest.mark.parametrize("output", ["a.jpg", "a.gz", "a", "png"])
def test_an_unknown_ending_is_refused(output):
    with pytest.raises(UserError, match=f"--output {output}: must end in"):
        formats.kind_of(output)


def test_an_output_that_cannot_be_is_refused_before_drawing(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    for name, num, said in (
        ("full/", 1, "not empty"),
        ("no/such/", 1, "no folder"),
        ("no/such.png", 1, "no folder"),
        ("a.png", 200_000, "too many"),
    ):
        with pytest.raises(UserError, match=said):
            formats.check_output(f"{tmp_path}/{name}", num)
    formats.check_output(f"{tmp_path}/new/", 10)
    formats.check_output(f"{tmp_path}/a.npz", 10**8)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
