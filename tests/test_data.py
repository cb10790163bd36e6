"""Sets of images, pixels and batches."""

import gzip
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

import data
from config import UserError


def idx(images, magic=0x803):
    """The bytes of an IDX file with these images."""
    return struct.pack(">4I", magic, *images.shape) + images.tobytes()


def npy(array):
    """The bytes of an .npy with this array."""
    packed = io.BytesIO()
    np.save(packed, array)
    return packed.getvalue()


def npz(**arrays):
    """The bytes of an .npz with these arrays."""
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


def test_the_bundled_images_are_the_training_set():
    images = data.load_images(data.Path(data.__file__).parent / "assets" / "mnist.npz")
    assert images.shape == (60000, 28, 28) and images.dtype == np.uint8
    expected = "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
    assert data.digest(images) == expected


def test_idx_and_npz_read_the_same(tmp_path, digits, data_path):
    for name, pack in [("a", bytes), ("b", gzip.compress)]:
        folder = tmp_path / name
        folder.mkdir()
        suffix = ".gz" if pack is gzip.compress else ""
        file = folder / f"train-images-idx3-ubyte{suffix}"
        file.write_bytes(pack(idx(digits)))
        # The test images lie beside them, as their authors ship them, and are never taken.
        (folder / "t10k-images-idx3-ubyte").write_bytes(idx(digits[:5]))
        np.testing.assert_array_equal(data.load_images(folder), data.load_images(data_path))
        np.testing.assert_array_equal(data.load_images(file), digits)
        renamed = file.rename(tmp_path / f"{name}.idx{suffix}")
        np.testing.assert_array_equal(data.load_images(renamed), digits)
    bare = tmp_path / "no_ending"
    bare.write_bytes(data_path.read_bytes())
    np.testing.assert_array_equal(data.load_images(bare), digits)


def test_emnist_as_its_authors_ship_it(tmp_path, digits):
    for name in ("digits", "letters"):
        path = tmp_path / f"emnist-{name}-train-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(idx(digits)))
    with pytest.raises(UserError, match="several"):
        data.load_images(tmp_path)
    np.testing.assert_array_equal(data.load_images(path), digits)


SQUARES = np.zeros((3, 28, 28), np.uint8)
BAD_SETS = {
    "short.npz": npz(x_train=SQUARES)[:-40],
    "no_archive.npz": b"not an archive",
    "nothing.npz": b"",
    "pickle.npz": pickle.dumps(SQUARES),
    "objects.npz": npz(x_train=np.array([SQUARES, None], object)),
    "bare.npz": npy(SQUARES),
    "other_name.npz": npz(images=SQUARES),
    "shape.npz": npz(x_train=np.zeros((3, 32, 32), np.uint8)),
    "colour.npz": npz(x_train=np.zeros((3, 28, 28, 3), np.uint8)),
    "type.npz": npz(x_train=np.zeros((3, 28, 28))),
    "none.npz": npz(x_train=SQUARES[:0]),
    "short-idx3-ubyte": idx(SQUARES)[:-1],
    "long-idx3-ubyte": idx(SQUARES) + b"x",
    "labels-idx3-ubyte": idx(SQUARES, magic=0x801),
    "shape-idx3-ubyte": idx(np.zeros((3, 32, 32), np.uint8)),
    "short-idx3-ubyte.gz": gzip.compress(idx(SQUARES))[:-12],
    "plain-idx3-ubyte.gz": idx(SQUARES),
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_bad_sets_are_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BAD_SETS[name])
    with pytest.raises(UserError) as refusal:
        data.load_images(path)
    assert name in str(refusal.value) and "\n" not in str(refusal.value)


def test_nothing_there_is_refused(tmp_path):
    for path in (tmp_path / "missing.npz", tmp_path):
        with pytest.raises(UserError, match=tmp_path.name):
            data.load_images(path)


def test_a_zip_without_arrays_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x_train.npy", b"no array")
    with pytest.raises(UserError):
        data.load_images(tmp_path / "a.npz")


def test_pixels_survive_the_round_trip():
    pixels = np.arange(256, dtype=np.uint8)
    values = data.to_model_range(pixels.astype(np.float32))
    assert values.min() == -1 and values.max() == 1
    np.testing.assert_array_equal(data.to_pixels(values), pixels)
    np.testing.assert_array_equal(data.to_pixels([-1.5, 1.5]), [0, 255])


def test_an_epoch_takes_each_image_at_most_once_in_its_own_order():
    order = data.epoch_order(103, 10, seed=3, epoch=5)
    assert order.shape == (10, 10) and order.dtype == np.int32
    assert len(set(order.ravel())) == 100 and order.min() >= 0 and order.max() < 103
    np.testing.assert_array_equal(order, data.epoch_order(103, 10, seed=3, epoch=5))
    for seed, epoch in ((3, 6), (4, 5)):
        assert (order != data.epoch_order(103, 10, seed, epoch)).any()
