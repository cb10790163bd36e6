"""Pictures and folders of them, read as grey levels."""

import collections
import warnings
from pathlib import Path

import imageio.v3 as imageio
import numpy as np

from readers import UNREADABLE

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
COLOURED = 32  # grey levels between channels; a JPEG of a grey picture has a few


def read_picture(path, ground=0):
    """A picture's grey levels, uint8 (h, w), and whether it is coloured.

    Palettes, 1 and 16 bits and colour (by its brightness) are converted; what is transparent lies
    on grey level `ground`. Raises ValueError.
    """
    content, is_coloured = Path(path).read_bytes(), False
    try:
        with warnings.catch_warnings(action="ignore"):
            picture = imageio.imread(content, plugin="pillow")
            if picture.dtype == np.uint16:  # which Pillow would clip
                return np.rint(picture / 257).astype(np.uint8), False
            if picture.dtype == np.uint8 and picture.ndim == 2 and b"tRNS" not in content:
                return picture, False
            if picture.ndim == 3 and picture.shape[2] > 2:
                is_coloured = np.ptp(picture[..., :3].astype(int), -1).max() > COLOURED
            picture = imageio.imread(content, plugin="pillow", mode="LA")
    except Exception as error:  # Pillow's decoders raise errors of every kind
        raise ValueError(f"{type(error).__name__}: {error}") from error
    grey, opacity = np.moveaxis(picture / 1.0, -1, 0)
    return np.rint(ground + (grey - ground) * opacity / 255).astype(np.uint8), is_coloured


def read_pictures(paths, size):
    """Pictures of size x size as uint8 (N, size, size), and remarks: paths by what is said of them.

    Enlarged pictures are shrunk, pixel by pixel; other sizes and other files are left out.
    """
    pictures, remarks = [], collections.defaultdict(list)
    for path in paths:
        if path.suffix.lower() not in PICTURES:
            remarks["left out, not a PNG, JPEG or BMP"].append(path)
            continue
        try:
            picture, is_coloured = read_picture(path)
        except UNREADABLE:
            remarks["left out, cannot be read"].append(path)
            continue
        small = shrink(picture, size)
        if small is None:
            found = "x".join(map(str, picture.shape[::-1]))
            remarks[f"left out, not {size}x{size}"].append(f"{path}, {found}")
            continue
        if is_coloured:
            remarks["in colour, read by their brightness"].append(path)
        pictures.append(small)
    return np.array(pictures, np.uint8).reshape(-1, size, size), remarks


def shrink(picture, size):
    """A picture that was enlarged pixel by pixel as (size, size); None if it is of another size."""
    scale = max(1, len(picture) // size)
    small = picture[::scale, ::scale]
    is_enlarged = np.array_equal(small.repeat(scale, 0).repeat(scale, 1), picture)
    return small if is_enlarged and small.shape == (size, size) else None
