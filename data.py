"""MNIST in, pixels to and from [-1, 1], and which image is in which batch."""

import hashlib
import math
import re
from pathlib import Path

import numpy as np

from cli import UserError
from readers import read_arrays, read_npz, read_pictures

IMAGE_SIZE = 28
# digest() of MNIST's training images.
MNIST_DIGEST = "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
# The parts of a labelled set: their names in an .npz, and what begins the names of IDX files.
PARTS = {
    "x_train": "train-images",
    "y_train": "train-labels",
    "x_test": "(t10k|test)-images",
    "y_test": "(t10k|test)-labels",
}
TRAINING_NAMES = ("x_train", "train_images", "images")  # the first that is there
WANTED = "uint8 (N, 28, 28), (N, 784) or (N, 28, 28, 1)"


def load_images(path):
    """Training images as uint8 (N, 28, 28), 0 black to 255 white.

    `path` is an .npz, .npy or IDX file, packed or not, or a folder with the IDX file of training
    images or with a PNG an image. Raises UserError when it is none of these, or when it does not
    say which of its arrays is meant.
    """
    return load_any_images(path, *TRAINING_NAMES)


def load_any_images(path, *preferred):
    """Images as load_images has them; of several arrays the first of the `preferred` names."""
    path = Path(path)
    if path.is_dir():
        pictures = list_pictures(path)
        if not pictures or find_idx(path, "x_train"):
            path = require_idx(path, "x_train")
        else:
            return read_pictures(pictures, IMAGE_SIZE)
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; give an .npz, an .npy, an IDX file, or a folder with one or "
            "with PNGs"
        )
    arrays = read_arrays(path, preferred)
    where, array = choose_images(path, arrays, preferred)
    return to_images(where, array)


def load_parts(path, *names):
    """Arrays of a labelled set by name (PARTS): of an .npz, or of a folder with its IDX files.

    Images are uint8 (N, 28, 28). Raises UserError when one is missing.
    """
    path = Path(path)
    if path.is_dir():
        files = {name: require_idx(path, name) for name in names}
        arrays = {name: read_arrays(file).popitem()[1] for name, file in files.items()}
    else:
        arrays, files = read_npz(path, *names), {name: f"{path}: {name}" for name in names}
    return {
        name: to_images(files[name], array) if name.startswith("x_") else array
        for name, array in arrays.items()
    }


def list_pictures(folder):
    """The PNGs in a folder, or in its folders 0 to 9, by name."""
    pictures = sorted(folder.glob("*.png")) or sorted(folder.glob("[0-9]/*.png"))
    return [path for path in pictures if not path.name.startswith(".")]


def find_idx(folder, part):
    """The IDX file of one of the PARTS in a folder, plain before packed, or None.

    Raises UserError when there are several, as of EMNIST.
    """
    kind = "idx1" if part.startswith("y_") else "idx3"
    found = {}
    for file in sorted(folder.iterdir(), key=lambda file: (len(file.name), file.name)):
        name = rf"(.+-)?({PARTS[part]}[-.]{kind}-ubyte)(\.(gz|xz|bz2|zip))?"
        match = re.fullmatch(name, file.name)
        if match and file.is_file():
            found.setdefault(match[1], file)
    if len(found) > 1 and None not in found:
        first = min(found.values())
        raise UserError(f"{folder}: holds several sets of {part}; name one: {first}")
    return found.get(None) or next(iter(found.values()), None)


def require_idx(folder, part):
    """The IDX file of one of the PARTS in a folder; raises UserError when it is not there."""
    file = find_idx(folder, part)
    if file is None:
        held = sorted(path.name for path in folder.iterdir())
        some = ", ".join(held[:5]) + (", ..." if len(held) > 5 else "")
        name = PARTS[part].replace("(t10k|test)", "t10k")
        kind = "idx1" if part.startswith("y_") else "idx3"
        raise UserError(
            f"{folder}: holds no {name}-{kind}-ubyte, packed or not; it has: {some or 'nothing'}"
        )
    return file


def choose_images(path, arrays, preferred):
    """A description of where the image array is, and the array.

    Raises UserError if there is not exactly one candidate.
    """
    fitting = [name for name, array in arrays.items() if to_28x28(array) is not None]
    named = [name for name in preferred if name in arrays]
    chosen = (named or fitting)[:1] if named or len(fitting) == 1 else []
    if chosen:
        return f"{path}: {chosen[0]}".removesuffix(": "), arrays[chosen[0]]
    held = ", ".join(f"{name or 'one array'} {outline(array)}" for name, array in arrays.items())
    which = "several arrays of images" if fitting else f"no images, such as {WANTED}"
    mend = "; save the one that is meant alone, as images" if fitting else ""
    raise UserError(f"{path}: holds {which}; it has: {held[:300] or 'nothing'}{mend}")


def outline(array):
    """Type and shape of an array, in words."""
    return f"{array.dtype} {array.shape}"


def to_28x28(array):
    """An array as (N, 28, 28) if its shape is that of images, flat or with a channel; or None."""
    square = (IMAGE_SIZE, IMAGE_SIZE)
    shape = array.shape
    if shape == square:
        return array[None]
    if shape[1:] in (square, (*square, 1), (1, *square), (math.prod(square),)):
        return array.reshape(-1, *square)
    if shape[1:] == (*square, 3) and (array == array[..., :1]).all():  # grey, saved as colour
        return array[..., 0]
    return None


def to_images(where, array):
    """An array of images as uint8 (N, 28, 28), 0 to 255, where it is plain how; or UserError.

    Whole numbers up to 255 of any type are taken as they are; numbers in [0, 1] and in [-1, 1] if
    they are 256 grey levels scaled to that.
    """
    images = to_28x28(array)
    if images is None:
        raise UserError(f"{where}: is {outline(array)}; wanted are images, {WANTED}")
    if not images.size:
        raise UserError(f"{where}: holds no images; give a set with at least one batch")
    if images.dtype == np.uint8 and images.max() != 1:
        return images
    if images.dtype == bool:
        return images * np.uint8(255)
    found = "no numbers"
    if images.dtype.kind in "iuf":
        low, high = images.min(), images.max()
        found = f"numbers from {low:.4g} to {high:.4g}"
        scaled = images.astype(np.float32)
        if images.dtype.kind == "f" and low == -1 and high <= 1:
            scaled = (scaled + 1) * 127.5
        elif images.dtype.kind == "f" and low >= 0 and high <= 1:
            scaled = scaled * 255
        levels = np.rint(scaled)
        fits = levels.min() >= 0 and 1 < levels.max() <= 255  # neither NaN nor infinity does
        if fits and np.abs(scaled - levels).max() < 0.1:
            return levels.astype(np.uint8)
    raise UserError(f"{where}: is {outline(array)}, {found}; wanted is uint8, 0 black to 255 white")


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
