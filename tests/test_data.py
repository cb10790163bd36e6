"""Sets of images, pixels and batches."""

import gzip
import io
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest

import data
import readers
from cli import UserError
from config import MNIST
from helpers import damaged_copies


def idx(images, magic=0x803):
    """The bytes of an IDX file with these images."""
    return struct.pack(">4I", magic, *images.shape) + images.tobytes()


def npz(**arrays):
    """The bytes of an .npz with these arrays."""
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


def test_the_bundled_images_are_the_training_set():
    images = data.load_images(MNIST)
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
        np.testing.assert_array_equal(data.load_images(folder), digits)
        np.testing.assert_array_equal(data.load_images(file), digits)
        renamed = file.rename(tmp_path / f"{name}.idx{suffix}")
        np.testing.assert_array_equal(data.load_images(renamed), digits)
    bare = tmp_path / "no_ending"
    bare.write_bytes(data_path.read_bytes())
    np.testing.assert_array_equal(data.load_images(bare), digits[:40])


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
    "two_names.npz": npz(a=SQUARES, b=SQUARES),
    "shape.npz": npz(x_train=np.zeros((3, 32, 32), np.uint8)),
    "colour.npz": npz(x_train=np.arange(3 * 784 * 3).reshape(3, 28, 28, 3).astype(np.uint8)),
    "type.npz": npz(x_train=np.zeros((3, 28, 28))),
    "none.npz": npz(x_train=SQUARES[:0]),
    "short-idx3-ubyte": idx(SQUARES)[:-1],
    "long-idx3-ubyte": idx(SQUARES) + b"x",
    "labels-idx3-ubyte": idx(SQUARES, magic=0x801),
    "shape-idx3-ubyte": idx(np.zeros((3, 32, 32), np.uint8)),
    "short-idx3-ubyte.gz": gzip.compress(idx(SQUARES))[:-12],
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_bad_sets_are_refused_in_one_line(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(BAD_SETS[name])
    with pytest.raises(UserError) as refusal:
        data.load_images(path)
    assert name in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path):
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


def test_a_file_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "bomb.npz", x_train=np.zeros((3000, 28, 28), np.uint8))
    monkeypatch.setattr(readers, "LARGEST_ARCHIVE", 1 << 20)
    with pytest.raises(UserError, match="unpacks"):
        data.load_images(tmp_path / "bomb.npz")


def mutate(content, seed):
    """A variation of a file: bytes changed, cut out, repeated or put in."""
    randomly = random.Random(seed)
    content = bytearray(content)
    for _ in range(randomly.randint(1, 8)):
        place, length = randomly.randrange(len(content)), randomly.randint(1, 40)
        kind = randomly.randrange(4)
        if kind == 0:
            content[place : place + length] = randomly.randbytes(length)
        elif kind == 1:
            del content[place : place + length]
        elif kind == 2:
            content[place:place] = content[place : place + length]
        else:
            content[place] = randomly.choice([0, 1, 0x7F, 0x80, 0xFF])
        content = content or bytearray(b"\0")
    return bytes(content)


STATE = {"weights": np.arange(300, dtype=np.float32), "step": np.array(7)}


@pytest.mark.parametrize("kind", ["npz", "idx", "weights"])
def test_files_changed_at_random_are_at_worst_refused(tmp_path, digits, kind):
    path = tmp_path / {"npz": "a.npz", "idx": "a-idx3-ubyte", "weights": "w.npz"}[kind]
    if kind == "npz":
        np.savez_compressed(path, x_train=digits[:3], y_train=np.arange(3))
    elif kind == "weights":
        np.savez(path, **STATE)
    else:
        path.write_bytes(bytes.fromhex("0000080300000003 0000001c0000001c") + digits[:3].tobytes())
    content, refused = path.read_bytes(), 0
    for seed in range(200):
        path.write_bytes(mutate(content, seed))
        try:
            if kind == "weights":
                readers.read_npz(path)
            else:
                assert data.load_images(path).dtype == np.uint8
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


@pytest.mark.slow
def test_any_bit_of_a_header_may_be_wrong(tmp_path, digits):
    path, refused = tmp_path / "a.npz", 0
    np.savez(path, x_train=np.tile(digits, (2, 1, 1)))  # NumPy reads it before its checksum
    content = path.read_bytes()
    for bit in range(8 * 200):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        try:
            data.load_images(path)
        except UserError:
            refused += 1
    assert refused > 1000


def test_damage_to_a_snapshot_never_changes_a_weight(tmp_path):
    path = tmp_path / "generator.npz"
    np.savez(path, **STATE)
    refused = 0
    for content in damaged_copies(path.read_bytes(), 1):
        path.write_bytes(content)
        try:
            arrays = readers.read_npz(path, *STATE)
        except UserError:
            refused += 1
        else:
            for name, array in STATE.items():
                np.testing.assert_array_equal(arrays[name], array)
    assert refused > 12
