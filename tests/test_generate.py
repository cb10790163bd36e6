"""The drawing command."""

import shutil

import images
import numpy as np
import pytest
from conftest import one_line, roots

import generate_digits


def draw(folder, *words):
    return generate_digits.main([*roots(folder), *map(str, words)])


def read(path):
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["images"]


@pytest.mark.parametrize("num", [1, 7, 10, 1000])
def test_one_grid_of_any_size(small_run, tmp_path, num, capsys):
    path = tmp_path / "grid.png"
    assert draw(small_run, "--num_samples", num, "--output", path) == 0
    printed = capsys.readouterr().out
    assert str(path) in printed and "small" in printed
    rows, columns = images.grid_shape(num)
    height, width = images.load_png(path).shape
    factor = width // (30 * columns + 2)
    assert (height, width) == (factor * (30 * rows + 2), factor * (30 * columns + 2))


def test_by_default_the_grid_lands_in_samples(small_run, capsys):
    assert draw(small_run, "--num_samples", 10) == 0
    written = {path.name for path in (small_run / "samples").iterdir()}
    assert written == {"small", "small-10-digits-seed-0.png"}
    assert str(next((small_run / "samples").glob("*.png"))) in capsys.readouterr().out


def test_seeds_name_digits(small_run, tmp_path):
    arrays = {}
    for name, num, seed in [("few", 3, 5), ("many", 130, 5), ("again", 130, 5), ("other", 3, 6)]:
        path = tmp_path / f"{name}.npz"
        assert draw(small_run, "--num_samples", num, "--seed", seed, "--output", path) == 0
        arrays[name] = read(path)
        assert arrays[name].shape == (num, 28, 28) and arrays[name].dtype == np.uint8
    np.testing.assert_array_equal(arrays["few"], arrays["many"][:3])
    assert (tmp_path / "many.npz").stat().st_size == (tmp_path / "again.npz").stat().st_size
    np.testing.assert_array_equal(arrays["many"], arrays["again"])
    assert (arrays["few"] != arrays["other"]).any()


def test_the_picture_shows_the_digits_of_the_array(small_run, tmp_path):
    for name in ("a.npz", "a.png"):
        assert draw(small_run, "--num_samples", 6, "--output", tmp_path / name) == 0
    expected = images.enlarge(images.make_grid(read(tmp_path / "a.npz")))
    np.testing.assert_array_equal(images.load_png(tmp_path / "a.png"), expected)


def test_the_latest_run_is_taken_unless_one_is_named(small_run, tmp_path, capsys):
    copy = shutil.copytree(small_run, tmp_path / "copy")
    newer = shutil.copytree(copy / "checkpoints" / "small", copy / "checkpoints" / "newer")
    (newer / "generator.npz").touch()
    assert draw(copy, "--num_samples", 1) == 0
    assert "newer" in capsys.readouterr().out
    assert draw(copy, "--num_samples", 1, "--run", "small") == 0
    assert "newer" not in capsys.readouterr().out


def damage(path, kind):
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "other":
        np.savez(path, kernel=np.zeros(3))
    elif kind == "shape":
        with np.load(path) as arrays:
            np.savez(path, **(dict(arrays) | {"dense/kernel": np.zeros((200, 7), np.float32)}))
    elif kind == "type":
        with np.load(path) as arrays:
            np.savez(path, **(dict(arrays) | {"dense/kernel": np.full((200, 12544), "a")}))


@pytest.mark.parametrize("kind", ["cut", "other", "shape", "type"])
def test_damaged_weights_are_refused(small_run, tmp_path, capsys, kind):
    copy = shutil.copytree(small_run, tmp_path / "copy")
    damage(copy / "checkpoints" / "small" / "generator.npz", kind)
    assert draw(copy, "--output", tmp_path / "a.png") == 2
    assert "generator.npz" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--run", "nobody"],
        ["--output", "no/such/folder/a.png"],
        ["--output", "digits.jpg"],
        ["--output", "."],
        ["--num_samples", "0"],
        ["--num_samples", "200000", "--output", "a.png"],
    ],
)
def test_mistakes_are_refused_in_one_line(small_run, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert draw(small_run, *words) == 2
    assert words[0].strip("-") in one_line(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())
