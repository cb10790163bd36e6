"""Ink: how cleanly the strokes of an image are drawn, which classifiers of digits hardly see."""

import numpy as np

NAMES = ("pale_ink", "smear")


def measure(x, xp=np):
    """Pale ink and smear of images x, float (N, 28, 28) from 0 to 1, where 1 is ink: (N, 2).

    Pale ink is the sum of x (1 - m)^2 over all pixels, where m is the largest x among the pixel
    and its eight neighbours: dirt, and strokes without a core. Smear is the number of pixels from
    0.15 to 0.85 whose four neighbours are all above 0.15. `xp` is NumPy or keras.ops.
    """
    x = xp.pad(x, ((0, 0), (1, 1), (1, 1)))
    rows = xp.maximum(xp.maximum(x[:, :-2], x[:, 2:]), x[:, 1:-1])
    largest = xp.maximum(xp.maximum(rows[:, :, :-2], rows[:, :, 2:]), rows[:, :, 1:-1])
    beside = xp.minimum(x[:, 1:-1, :-2], x[:, 1:-1, 2:])
    smallest = xp.minimum(xp.minimum(x[:, :-2, 1:-1], x[:, 2:, 1:-1]), beside)
    x = x[:, 1:-1, 1:-1]
    pale = x * (1.0 - largest) * (1.0 - largest)
    grey = xp.minimum(xp.minimum(x, 1.0 - x), smallest)
    smear = xp.where(grey > 0.15, 1.0, 0.0)
    return xp.stack([xp.sum(pale, axis=(1, 2)), xp.sum(smear, axis=(1, 2))], axis=1)


def measure_pixels(pixels, chunk=100):
    """Pale ink and smear of pixels, uint8 (N, 28, 28): float64 (N, 2)."""
    parts = (pixels[i : i + chunk] / np.float32(255) for i in range(0, len(pixels), chunk))
    return np.concatenate([measure(part) for part in parts])
