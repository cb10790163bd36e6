"""Pixels to files: grids, PNG, GIF, curves.

What is written goes to `file`: an open binary file or a path.
"""

import math

import imageio.v3 as imageio
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

GAP = 2  # black pixels around each digit of a grid
DPI = 100


def grid_shape(num_images):
    """(rows, columns) for a number of images: fewest empty places, then nearest to a square."""
    narrowest = math.ceil(math.sqrt(num_images))
    widest = max(narrowest, math.isqrt(3 * num_images))

    def waste(columns):
        rows = math.ceil(num_images / columns)
        return rows * columns - num_images, columns

    columns = min(range(narrowest, widest + 1), key=waste)
    return math.ceil(num_images / columns), columns


def make_grid(digits):
    """One picture, uint8 (height, width), of digits uint8 (N, h, w), row by row on black."""
    num, height, width = digits.shape
    rows, columns = grid_shape(num)
    cells = np.zeros((rows * columns, height + GAP, width + GAP), np.uint8)
    cells[:num, :height, :width] = digits
    cells = cells.reshape(rows, columns, height + GAP, width + GAP).swapaxes(1, 2)
    picture = cells.reshape(rows * (height + GAP), columns * (width + GAP))
    return np.pad(picture, ((GAP, 0), (GAP, 0)))


def enlarge(picture, width=600):
    """A picture (h, w) with each pixel made a square, towards the given width; never smaller."""
    factor = max(1, width // picture.shape[1])
    return picture.repeat(factor, 0).repeat(factor, 1)


def add_title(picture, title):
    """A picture, uint8 (h, w), with a line of text, white on black, above it: uint8 (h + 24, w)."""
    width = picture.shape[1]
    figure = Figure(figsize=(width / DPI, 24 / DPI), dpi=DPI, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    figure.text(0.5, 0.45, title, color="white", ha="center", va="center", fontsize=11)
    canvas.draw()
    band = np.asarray(canvas.buffer_rgba())[:24, :width, 0]
    return np.concatenate([band, picture])


def save_png(file, picture):
    """Write a picture, uint8 (h, w), as a PNG."""
    imageio.imwrite(file, picture, extension=".png")


def load_png(path):
    """The picture in a PNG, uint8 (h, w)."""
    return imageio.imread(path, mode="L")


def save_gif(file, pictures, seconds=12.0):
    """Write pictures of one size as an endless animation of about `seconds`; the last one rests."""
    pause = max(40, 1000 * seconds / len(pictures))  # milliseconds
    durations = [pause] * (len(pictures) - 1) + [2000] if len(pictures) > 1 else 2000
    imageio.imwrite(file, np.stack(pictures), extension=".gif", duration=durations, loop=0)


def save_curves(file, history):
    """Write a PNG of a run's history: losses above, the discriminator's mean verdicts below.

    `history` maps column names to sequences with one number an epoch.
    """
    figure = Figure(figsize=(8, 6), dpi=DPI, layout="constrained")
    losses, verdicts = figure.subplots(2, 1, sharex=True)
    for axes, names in (
        (losses, ("generator_loss", "discriminator_loss")),
        (verdicts, ("real_verdict", "fake_verdict")),
    ):
        for name in names:
            axes.plot(history["epoch"], history[name], ".-", label=name.replace("_", " "))
    losses.set_ylabel("loss")
    verdicts.xaxis.get_major_locator().set_params(integer=True)
    verdicts.axhline(0.5, color="grey", linestyle="--", label="undecided")
    verdicts.set(ylabel="mean probability of being real", xlabel="epoch", ylim=(0, 1))
    for axes in (losses, verdicts):
        axes.legend()
        axes.grid(alpha=0.3)
    figure.savefig(file, format="png")
