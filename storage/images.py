"""Pixels to files: grids, PNG, GIF, curves.

What is written goes to `file`: an open binary file or a path.
"""

import importlib.util
import math

import imageio.v3 as imageio
import numpy as np

from cli import UserError
from machine.command import pip_command
from machine.plotting import plain_matplotlib
from pictures import read_picture

GAP = 2  # black pixels around each digit of a grid
DPI = 100
PANELS = {  # of the curves: what is drawn, by the label of its axis
    "loss": ("generator_loss", "discriminator_loss"),
    "mean discriminator output": ("d_real", "d_fake"),
    "FID to the training images": ("fid",),
    "ink, training images = 1": ("pale_ink", "smear"),
}


def new_figure(**options):
    """A Figure with a canvas, to be used inside plain_matplotlib."""
    import matplotlib

    figure = matplotlib.figure.Figure(dpi=DPI, **options)
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    return figure


def grid_columns(num_images):
    """Columns of the grid of so many images: fewest empty places, then nearest to a square."""
    narrowest = math.ceil(math.sqrt(num_images))
    widest = max(narrowest, math.isqrt(3 * num_images))

    def waste(columns):
        rows = math.ceil(num_images / columns)
        return rows * columns - num_images, columns

    return min(range(narrowest, widest + 1), key=waste)


def make_grid(digits, columns=None, background=0):
    """One picture, uint8 (height, width), of digits uint8 (N, h, w), row by row on `background`."""
    num, height, width = digits.shape
    columns = columns or grid_columns(num)
    rows = math.ceil(num / columns)
    cells = np.full((rows * columns, height + GAP, width + GAP), background, np.uint8)
    cells[:num, :height, :width] = digits
    cells = cells.reshape(rows, columns, height + GAP, width + GAP).swapaxes(1, 2)
    picture = cells.reshape(rows * (height + GAP), columns * (width + GAP))
    return np.pad(picture, ((GAP, 0), (GAP, 0)), constant_values=background)


def enlarge(picture, scale=0):
    """A picture (h, w) with each pixel a square of `scale`, or else one that makes it near 600."""
    scale = scale or max(1, 600 // picture.shape[1])
    return picture.repeat(scale, 0).repeat(scale, 1)


@plain_matplotlib()
def add_title(picture, title):
    """A picture, uint8 (h, w), with a line of text, white on black, above it: uint8 (h + 24, w)."""
    width = picture.shape[1]
    figure = new_figure(figsize=(width / DPI, 24 / DPI), facecolor="black")
    figure.text(0.5, 0.45, title, color="white", ha="center", va="center", fontsize=11)
    figure.canvas.draw()
    band = np.asarray(figure.canvas.buffer_rgba())[:24, :width, 0]
    return np.concatenate([band, picture])


def save_png(file, picture):
    """Write a picture, uint8 (h, w), as a PNG."""
    imageio.imwrite(file, picture, extension=".png")


def load_png(path, background=0):
    """The picture in a PNG, uint8 (h, w); what is transparent lies on grey level `background`."""
    return read_picture(path, background)[0]


def save_gif(file, pictures, seconds=12.0):
    """Write pictures of one size as an endless animation of about `seconds`; the last one rests."""
    pause = max(40, 1000 * seconds / len(pictures))  # milliseconds
    durations = [pause] * (len(pictures) - 1) + [2000] if len(pictures) > 1 else 2000
    imageio.imwrite(file, np.stack(pictures), extension=".gif", duration=durations, loop=0)


def save_animation(file, frames, kind, rate):
    """Write pictures, uint8 (h, w), as an endless GIF or an MP4, `rate` a second."""
    if kind == "gif":
        imageio.imwrite(file, np.stack(frames), extension=".gif", duration=1000 / rate, loop=0)
    else:
        colours = np.stack(frames)[..., None].repeat(3, -1)
        options = dict(extension=".mp4", plugin="pyav", codec="libx264", fps=rate)
        file.write(imageio.imwrite("<bytes>", colours, **options))


def check_mp4():
    """Raise UserError unless imageio's plugin for MP4 files is installed."""
    if importlib.util.find_spec("av") is None:
        install = pip_command("install", "imageio[pyav]")
        raise UserError(f"an .mp4 needs PyAV, a .gif does not: {install}")


@plain_matplotlib()
def save_curves(file, history):
    """Write a PNG of a run's history: losses, mean discriminator outputs, FID and ink if scored.

    `history` maps the names of EpochRecord to sequences with one number, or NaN, an epoch.
    """
    known = {name: np.isfinite(history[name]) for names in PANELS.values() for name in names}
    panels = {label: names for label, names in PANELS.items() if any(known[names[0]])}
    height = 3 * len(panels)
    figure = new_figure(figsize=(8, height))
    # Fixed margins: finding them takes as long as drawing, 0.3 s beside each epoch's training.
    margins = dict(left=0.11, right=0.98, bottom=0.5 / height, top=1 - 0.15 / height, hspace=0.08)
    rows = figure.subplots(len(panels), squeeze=False, sharex=True, gridspec_kw=margins)[:, 0]
    for axes, (label, names) in zip(rows, panels.items()):
        for name in names:
            epochs, numbers = (np.array(history[each])[known[name]] for each in ("epoch", name))
            axes.plot(epochs, numbers, ".-", label=name.replace("_", " "))
        if names[0] == "d_real":
            axes.axhline(0.5, color="grey", linestyle="--", label="chance")
            axes.set_ylim(0, 1)
        elif names[0] != "generator_loss":
            axes.set_yscale("log")
        axes.set_ylabel(label)
        axes.legend()
        axes.grid(alpha=0.3)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    figure.savefig(file, format="png")


@plain_matplotlib()
def save_bars(file, columns, label):
    """Write a PNG of numbers side by side: `columns` maps names to sequences of one length."""
    figure = new_figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(columns)
    for place, (name, numbers) in enumerate(columns.items()):
        middles = np.arange(len(numbers)) + width * (place + 0.5) - 0.4
        axes.bar(middles, numbers, width, label=name)
    axes.set(ylabel=label, xticks=range(len(numbers)))
    axes.legend()
    axes.grid(axis="y", alpha=0.3)
    figure.savefig(file, format="png")
