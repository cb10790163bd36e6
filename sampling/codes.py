"""What the discrete codes learned, without labels: a picture, and which digit each one draws."""

import numpy as np

from machine import files
from sampling.randomness import BLOCK, with_code
from storage import images

TITLE = "a row per code, the same remaining noise along a column"
ROWS, COLUMNS = 32, 20  # of the picture: codes shown at most, and samples of each


def save_picture(path, sampler, seed):
    """Write a PNG: a row per code; the samples of a column share the rest of their noise."""
    z = sampler.noise(seed, range(COLUMNS))
    shown = range(min(sampler.num_codes, ROWS))
    z = np.concatenate([with_code(z, code, sampler.code_bias) for code in shown])
    grid = images.make_grid(np.concatenate([*sampler.decode(sampler.latents(z))]), COLUMNS)
    with files.atomic_file(path) as file:
        images.save_png(file, images.add_title(grid, TITLE))


def count_digits(sampler, seed, labels):
    """How many of each code's samples are read as each digit, int (num_codes, 10).

    `labels`, int (N,), are those of the first samples of the seed.
    """
    counts = np.zeros((sampler.num_codes, 10), int)
    for first in range(0, len(labels), BLOCK):
        part = labels[first : first + BLOCK]
        noise = sampler.noise(seed, range(first, first + len(part)))
        codes = sampler.code_layer.codes_of(noise).numpy()
        np.add.at(counts, (codes, part), 1)
    return counts


def mean_purity(counts):
    """The share of a code's most common digit, 0.1 to 1, averaged over the codes drawn."""
    counts = counts[counts.any(1)]
    return float(np.mean(counts.max(1) / counts.sum(1)))
