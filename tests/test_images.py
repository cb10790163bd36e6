"""Grids, pictures and animations."""

import io
import math
import os
import subprocess
import sys

import imageio.v3 as imageio
import numpy as np
import pytest

from config import REPOSITORY
from storage import images


@pytest.mark.parametrize(
    ("num", "shape"), [(1, (1, 1)), (2, (1, 2)), (7, (2, 4)), (10, (2, 5)), (100, (10, 10))]
)
def test_a_grid_holds_each_digit_whole_and_in_order(num, shape):
    digits = np.random.default_rng(0).integers(0, 256, (num, 28, 28), np.uint8)
    grid = images.make_grid(digits)
    rows, columns = shape
    cell = 28 + images.GAP
    assert grid.shape == (rows * cell + images.GAP, columns * cell + images.GAP)
    for i in range(num):
        top, left = (images.GAP + cell * place for place in divmod(i, columns))
        np.testing.assert_array_equal(grid[top : top + 28, left : left + 28], digits[i])


def test_enlarging_keeps_pixels_square():
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    large = images.enlarge(picture, scale=3)
    np.testing.assert_array_equal(large, np.kron(picture, np.ones((3, 3), np.uint8)))


def test_a_title_leaves_the_picture_as_it_is():
    picture = np.full((60, 120), 7, np.uint8)
    titled = images.add_title(picture, "epoch 3")
    np.testing.assert_array_equal(titled[-60:], picture)
    assert (titled[:-60] != images.add_title(picture, "epoch 4")[:-60]).any()


def test_a_gif_holds_each_picture_and_loops():
    frames = [np.full((20, 30), value, np.uint8) for value in (0, 120, 250)]
    file = io.BytesIO()
    images.save_gif(file, frames)
    read = imageio.imread(file.getvalue(), extension=".gif", index=None)
    assert [frame.mean().round() for frame in read] == [0, 120, 250]
    assert imageio.immeta(file.getvalue(), extension=".gif")["loop"] == 0


def test_black_ink_on_nothing_can_be_read_as_on_white(tmp_path):
    picture = np.zeros((28, 28, 4), np.uint8)
    picture[5:9, 5:9, 3] = 255
    imageio.imwrite(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(images.load_png(tmp_path / "a.png", 255), 255 - picture[..., 3])


FIGURES = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from storage import images
history = {name: [0.5, 0.6] for names in images.PANELS.values() for name in names}
history["epoch"] = [1, 2]
images.save_curves("curves.png", history)
images.save_bars("bars.png", {"drawn": [1, 2]}, "share")
images.save_png("title.png", images.add_title(np.zeros((60, 120), np.uint8), "epoch 3"))
import matplotlib
print(matplotlib.rcParams["font.size"], "matplotlib.pyplot" in sys.modules)
"""


def test_figures_are_the_same_whatever_backend_rc_file_and_fonts(tmp_path):
    rc = "text.usetex: True\nfont.family: no such font\nfont.size: 30\naxes.grid: True\n"
    pictures = []
    for name, env in (("plain", {}), ("own", {"MPLBACKEND": "no such backend"})):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "matplotlibrc").write_text(rc if env else "")
        command = [sys.executable, "-c", FIGURES, str(REPOSITORY)]
        options = dict(cwd=folder, env=os.environ | env, capture_output=True, text=True)
        finished = subprocess.run(command, **options)
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout == ("30.0 False\n" if env else "10.0 False\n")
        pictures.append([path.read_bytes() for path in sorted(folder.glob("*.png"))])
    assert pictures[0] == pictures[1] and len(pictures[0]) == 3


def test_curves_have_panels_for_fid_and_ink_once_there_are_any(tmp_path):
    history = {name: [0.5, 0.6] for names in images.PANELS.values() for name in names}
    none, once = [math.nan, math.nan], [math.nan, 7.0]
    heights = []
    for fid, ink in ((once, once), (once, none), (none, none)):
        scores = {"epoch": [1, 2], "fid": fid, "pale_ink": ink, "smear": ink}
        images.save_curves(tmp_path / "a.png", history | scores)
        heights.append(len(images.load_png(tmp_path / "a.png")))
    assert heights == [1200, 900, 600]
