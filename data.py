"""Loading images; pixels to and from [-1, 1]; which image is in which batch."""

import hashlib
import re
import zipfile
from pathlib import Path

import numpy as np

import readers
from cli import UserError, say

IMAGE_SIZE = 28
# digest() of MNIST's training images.
MNIST_DIGEST = "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
# The parts of a labelled set: their names in an .npz, and those of IDX files.
PARTS = {
    "x_train": "train-images[-.]idx3-ubyte",
    "y_train": "train-labels[-.]idx1-ubyte",
    "x_test": "(t10k|test)-images[-.]idx3-ubyte",
    "y_test": "(t10k|test)-labels[-.]idx1-ubyte",
}
TRAINING_NAMES = ("x_train", "train_images", "images")  # the first that is there
WANTED = "uint8 (N, 28, 28), (N, 784) or (N, 28, 28, 1)"


def load_images(path, names=TRAINING_NAMES, transpose=False):
    """Images as uint8 (N, 28, 28), 0 black to 255 white.

    `path` is an .npz, .npy or IDX file, a folder or a zip with the IDX file of training images, or
    a folder of pictures. Of an .npz it is the first of `names` that is there, or else the only
    array of images. `transpose` swaps rows and columns. Raises UserError when it is none of these,
    or does not say which of its arrays is meant.
    """
    path = locate(path)
    if path.is_dir() and not find_idx(path, "x_train"):
        return turn_upright(path, load_pictures(path), transpose)
    return load_part(path, "x_train", names, looks_like_images, transpose)


def load_parts(path, *names):
    """Arrays of a labelled set by name (PARTS): of an .npz, or of a folder or zip of IDX files.

    Images are uint8 (N, 28, 28). Raises UserError when one is missing.
    """
    return {name: load_part(locate(path), name, (name,)) for name in names}


def load_part(path, part, names, fits=None, transpose=False):
    """One of the PARTS: of a folder or zip of IDX files, or as readers.read_array finds it."""
    file = find_idx(path, part) or path
    if file.is_dir():
        wanted = PARTS[part].replace("[-.]", "-").replace("(t10k|test)", "t10k")
        raise UserError(f"{path}: holds no IDX file of {part} ({wanted}, plain or gzipped)")
    kind = f"images, {WANTED}" if fits else part
    name, array = readers.read_array(file, names, kind, fits)
    if part.startswith("y_"):
        return array
    return turn_upright(file, to_images(f"{file}: {name}".removesuffix(": "), array), transpose)


def locate(path):
    """The path of a file or folder, or of a file in a zip; raises UserError if there is none."""
    path = Path(path)
    archive = next((each for each in path.parents if zipfile.is_zipfile(each)), None)
    if archive:
        path = zipfile.Path(archive, path.relative_to(archive).as_posix())
    if not path.exists():
        raise UserError(
            f"{path}: no such file; give an .npz, .npy or IDX file, or a folder that holds an IDX "
            "file or pictures"
        )
    return path


def find_idx(path, part):
    """The IDX file of one of the PARTS in a folder or zip, or None.

    The one least deep, plain before gzipped, counts. Raises UserError when there are several sets,
    as of EMNIST.
    """
    pattern = re.compile(rf"(.+-)?{PARTS[part]}(\.gz)?", re.IGNORECASE)
    found = {}  # by depth, folder and the set's name
    for file in sorted(readers.list_files(path), key=lambda file: len(file.name)):
        if match := pattern.fullmatch(file.name):
            depth = len(Path(str(file)).parts)
            found.setdefault((depth, str(file.parent), match[1] or ""), file)
    least_deep = [key for key in found if key[0] == min(found)[0]]
    chosen = [key for key in least_deep if not key[2]] or least_deep
    if len(chosen) > 1:
        raise UserError(f"{path}: holds several sets of {part}; name one: {found[min(chosen)]}")
    return found[chosen[0]] if chosen else None


def load_pictures(folder):
    """The pictures in and below a folder, uint8 (N, 28, 28); prints how many, and what others."""
    from pictures import read_pictures  # which MNIST does not need

    images, remarks = read_pictures(readers.list_files(folder), IMAGE_SIZE)
    words = "".join(
        f"; {len(paths):,} {remark} ({paths[0]}{', ...' if paths[1:] else ''})"
        for remark, paths in remarks.items()
    )
    if not len(images):
        raise UserError(
            f"{folder}: holds neither a picture of {IMAGE_SIZE}x{IMAGE_SIZE} nor "
            f"train-images-idx3-ubyte, plain or gzipped{words or '; it is empty'}"
        )
    say(f"{folder}: {len(images):,} pictures{words}")
    return images


def turn_upright(path, images, transpose=False):
    """Images, with rows and columns swapped if `transpose`, or if `path` is a file of EMNIST's."""
    is_emnist = re.search("emnist.*idx3", path.name, re.IGNORECASE)
    if is_emnist:
        say(f"{path}: EMNIST stores its images transposed; turned upright")
    elif "emnist" in path.name.lower() and not transpose:
        say(f"{path}: if its images lie on their side, as EMNIST's do, use --transpose")
    return np.ascontiguousarray(images.swapaxes(1, 2)) if is_emnist or transpose else images


def looks_like_images(array):
    """Whether an array may hold images, flat or with a channel, or grey ones saved as colour."""
    square, shape = (IMAGE_SIZE, IMAGE_SIZE), array.shape
    if array.dtype.kind not in "biuf":
        return False
    if shape[1:] == (*square, 3):
        return bool((array == array[..., :1]).all())
    return shape == square or shape[1:] in (square, (*square, 1), (1, *square), (IMAGE_SIZE**2,))


def to_images(where, array):
    """An array of images as uint8 (N, 28, 28), 0 to 255, where it is plain how; or UserError.

    Whole numbers up to 255 of any type are taken as they are; floats from 0 to 1, or from -1 to 1,
    are scaled to that.
    """
    found = f"{where}: is {array.dtype} {array.shape}"
    if not looks_like_images(array):
        raise UserError(f"{found}; expected images, {WANTED}")
    if not array.size:
        raise UserError(f"{where}: holds no images; give a set with at least one batch")
    images = array[..., 0] if array.shape[-1] == 3 else array
    images = images.reshape(-1, IMAGE_SIZE, IMAGE_SIZE)
    low, high = images.min(), images.max()
    if images.dtype == np.uint8 and high != 1:
        return images
    if images.dtype == bool:
        return images * np.uint8(255)
    levels = images.astype(np.float32)
    if images.dtype.kind == "f" and low == -1 and high <= 1:
        levels = np.rint((levels + 1) * 127.5)
    elif images.dtype.kind == "f" and low >= 0 and high <= 1:
        levels = np.rint(levels * 255)
    # Neither NaN nor infinity passes, nor does a set that is black, or black and 1.
    if levels.min() >= 0 and 1 < levels.max() <= 255 and (levels % 1 == 0).all():
        return levels.astype(np.uint8)
    raise UserError(
        f"{found}, numbers from {low:.4g} to {high:.4g}; expected uint8, 0 black to 255 white"
    )


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
