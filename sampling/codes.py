"""What the discrete codes learned, without labels: a picture, and which digit each one draws."""

import numpy as np

from sampling.noise import BLOCK, codes_of, with_code
from storage import files, images

ROWS, COLUMNS = 100, 20  # codes at most, and samples of each, in the picture


def save_picture(path, sampler, seed):
    """Write a PNG with a row for each code and, along a column, the same remaining noise."""
    z = sampler.noise(seed, range(COLUMNS))
    shown = range(min(sampler.num_codes, ROWS))
    z = np.concatenate([with_code(z, code, sampler.num_codes) for code in shown])
    grid = images.make_grid(np.concatenate([*sampler.decode(sampler.latents(z))]), COLUMNS)
    with files.replacing(path) as file:
        images.save_png(file, images.add_title(grid, "a row for each code, the same other noise"))


def count_digits(sampler, seed, labels):
    """How many of each code's samples are read as each digit, int (num_codes, 10).

    `labels`, int (N,), are those of the first samples of the seed.
    """
    counts = np.zeros((sampler.num_codes, 10), int)
    for first in range(0, len(labels), BLOCK):
        part = labels[first : first + BLOCK]
        codes = codes_of(sampler.noise(seed, range(first, first + len(part))), sampler.num_codes)
        np.add.at(counts, (codes, part), 1)
    return counts


def mean_purity(counts):
    """The share of a code's commonest digit, 0.1 to 1, averaged over the codes that were drawn."""
    counts = counts[counts.any(1)]
    return float(np.mean(counts.max(1) / counts.sum(1)))
