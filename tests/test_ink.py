"""Ink: drawn strokes with known answers, and real digits spoilt on purpose."""

import keras
import numpy as np
import pytest

from evaluation import ink


def draw(*strokes):
    """An image, uint8 (28, 28), of rectangles: top, left, bottom, right and their grey level."""
    image = np.zeros((28, 28), np.uint8)
    for top, left, bottom, right, level in strokes:
        image[top:bottom, left:right] = level
    return image


CORE = (5, 10, 25, 13, 255)  # a stroke with a core of ink
DRAWN = {  # strokes, their pale ink in units of x (1 - m)^2, their smeared pixels
    "nothing": ([], 0, 0),
    "a stroke": ([CORE], 0, 0),
    "a grey edge": ([(5, 9, 25, 14, 102), CORE], 0, 0),
    "a dot of dirt": ([CORE, (3, 20, 4, 21, 51)], 0.2 * 0.8**2, 0),
    "a pale stroke": ([(5, 10, 25, 11, 102)], 20 * 0.4 * 0.6**2, 0),
    "a pale end": ([CORE, (2, 11, 5, 12, 102)], 2 * 0.4 * 0.6**2, 0),  # its third touches the core
    "a smear": ([(5, 10, 9, 14, 102)], 16 * 0.4 * 0.6**2, 4),  # all but its edges
    "a smear on the border": ([(0, 0, 3, 3, 102)], 9 * 0.4 * 0.6**2, 1),
}


@pytest.mark.parametrize("xp", [np, keras.ops], ids=["numpy", "keras"])
def test_drawn_strokes_have_known_ink(xp):
    images = np.stack([draw(*strokes) for strokes, *_ in DRAWN.values()])
    expected = [[pale, smear] for _, pale, smear in DRAWN.values()]
    found = ink.measure(images / np.float32(255), xp)
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)


def test_dirt_is_pale_and_blurred_ink_is_smeared(mnist):
    digits = mnist["x_test"][:500]
    clean = ink.measure_pixels(digits)
    assert clean.shape == (500, 2) and clean.dtype == np.float64
    dirt = np.random.default_rng(0).random(digits.shape) < 0.02
    dirty = ink.measure_pixels(np.maximum(digits, np.where(dirt, 60, 0)).astype(np.uint8))
    assert dirty[:, 0].mean() > 5 * clean[:, 0].mean()
    blurred = (digits + 1.0 * np.roll(digits, 2, 1) + np.roll(digits, 2, 2)) / 3
    assert ink.measure_pixels(blurred.astype(np.uint8))[:, 1].mean() > 3 * clean[:, 1].mean()
