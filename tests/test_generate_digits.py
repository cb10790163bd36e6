"""The drawing command: digits, digits asked for, and ways between them, in every format."""

import imageio.v3 as imageio
import numpy as np
import pytest

import generate_digits
from evaluation.classifier import DigitClassifier
from helpers import codes_of, one_line, roots
from sampling.randomness import sample_noise
from storage import images


def draw(folder, *words):
    """The exit status of the command, in this process."""
    return generate_digits.main([*roots(folder), *map(str, words)])


def bias_of(folder):
    """The bias of the codes of the small run's generator, float32 (4,)."""
    return read(folder / "checkpoints" / "small" / "generator.npz", "code/bias")


def read(path, name="images"):
    """An array of an .npz."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[name]


def test_a_default_name_says_what_is_drawn(small_run, tmp_path):
    words = ["--code", 3, "--noise_scale", 0.7, "--raw", "--samples_dir", tmp_path]
    assert draw(small_run, "--samples_dir", tmp_path) == 0
    assert draw(small_run, *words, "--interpolation_grid", "--seed", 5) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "small-10-digits-seed-0.png",
        "small-interpolation_grid-code-3-noise_scale-0.7-raw-seed-5.png",
    }


def test_seeds_name_digits_in_arrays_and_pictures(small_run, tmp_path):
    arrays = {}
    for name, num, seed in [("few", 3, 5), ("many", 130, 5), ("other", 3, 6)]:
        words = ["--num_samples", num, "--seed", seed, "--output"]
        assert draw(small_run, *words, tmp_path / f"{name}.npz") == 0
        arrays[name] = read(tmp_path / f"{name}.npz")
        assert arrays[name].shape == (num, 28, 28) and arrays[name].dtype == np.uint8
    np.testing.assert_array_equal(arrays["few"], arrays["many"][:3])
    assert (arrays["few"] != arrays["other"]).any()
    assert draw(small_run, *words, tmp_path / "other.png", "--invert") == 0
    expected = 255 - images.enlarge(images.make_grid(arrays["other"]))
    np.testing.assert_array_equal(images.load_png(tmp_path / "other.png"), expected)


@pytest.fixture(scope="module")
def easy(small_run, tmp_path_factory):
    """The small run draws blots; any confidence is enough to ask for the commonest of them.

    The flags that ask for it, that digit, and the first 1,000 samples.
    """
    path = tmp_path_factory.mktemp("easy") / "all.npz"
    assert draw(small_run, "--output", path, "--num_samples", 1000) == 0
    probabilities = DigitClassifier().predict(read(path)).probabilities
    digit = str(np.bincount(np.argmax(probabilities, 1)).argmax())
    return [*roots(small_run), "--min_confidence", "0"], digit, read(path)


def draw_easy(easy, *words):
    """The exit status of asking for digits that are found."""
    return generate_digits.main([*easy[0], *map(str, words)])


def test_a_digit_asked_for_comes_with_its_label_and_index(easy, tmp_path, capsys):
    _, digit, every = easy
    path = tmp_path / "some.npz"
    assert draw_easy(easy, "--digit", digit, "--num_samples", 30, "--output", path) == 0
    printed = capsys.readouterr().out
    assert "Found 30 digits among" in printed and "images other than MNIST" in printed
    with np.load(path) as some:
        assert some["labels"].tolist() == [int(digit)] * 30
        np.testing.assert_array_equal(some["images"], every[some["index"]])
        probabilities = DigitClassifier().predict(some["images"]).probabilities
        np.testing.assert_allclose(probabilities.max(1), some["confidence"], rtol=1e-4)
        assert (probabilities.argmax(1) == int(digit)).all()


def test_text_is_written_in_lines_with_gaps(easy, tmp_path):
    digit = easy[1]
    words = ["--text", digit * 2 + " " + digit, digit, "--output"]
    assert draw_easy(easy, *words, tmp_path / "t.png", "--scale", 1) == 0
    picture = images.load_png(tmp_path / "t.png")
    assert picture.shape == (2 * 30 + 2, 4 * 30 + 2)
    drawn = picture[2:, 2:].reshape(2, 30, 4, 30).max((1, 3)) > 0
    assert drawn.tolist() == [[True, True, False, True], [True, False, False, False]]
    assert draw_easy(easy, *words, tmp_path / "t.npz") == 0
    assert read(tmp_path / "t.npz").shape == (4, 28, 28)


def test_a_code_draws_its_own_samples_which_are_drawn_again(small_run, tmp_path):
    words = ["--code", 3, "--num_samples", 200, "--save_noise", "--output", tmp_path / "c.npz"]
    assert draw(small_run, *words) == 0
    assert draw(small_run, "--num_samples", 200, "--output", tmp_path / "all.npz") == 0
    pixels = read(tmp_path / "c.npz")
    bias = bias_of(small_run)
    assert (codes_of(read(tmp_path / "c.npz", "noise"), bias) == 3).all()
    own = codes_of(sample_noise(0, range(200), 200), bias) == 3
    np.testing.assert_array_equal(pixels[own], read(tmp_path / "all.npz")[own])
    assert draw(small_run, "--redraw", tmp_path / "c.npz", "--output", tmp_path / "d.npz") == 0
    np.testing.assert_array_equal(pixels, read(tmp_path / "d.npz"))


def test_an_interpolation_is_an_endless_animation_through_samples(small_run, tmp_path):
    words = ["--noise_scale", 0.5, "--interpolate", 3, "--output"]
    for name in ("i.gif", "i.npz"):
        assert draw(small_run, *words, tmp_path / name) == 0
    codes, noise = np.split(read(tmp_path / "i.npz", "latents"), [4], 1)
    z = sample_noise(0, range(3), 200)
    np.testing.assert_allclose(noise[::20], 0.5 * z[:, 4:], rtol=1e-4, atol=1e-5)
    expected = 6 * np.eye(4)[codes_of(z, bias_of(small_run))]
    np.testing.assert_allclose(codes[::20], expected, atol=1e-5)
    assert np.linalg.norm(noise, axis=1).min() > 5  # near 7, half the root of 196
    film = imageio.imread(tmp_path / "i.gif", index=None)  # frames that are alike are one
    assert film.shape[1:3] == (168, 168)
    assert imageio.immeta(tmp_path / "i.gif")["loop"] == 0
    assert draw(small_run, "--redraw", tmp_path / "i.npz", "--output", tmp_path / "j.npz") == 0
    np.testing.assert_array_equal(read(tmp_path / "i.npz"), read(tmp_path / "j.npz"))


@pytest.mark.slow
def test_an_interpolation_in_mp4(small_run, tmp_path):
    assert draw(small_run, "--interpolate", 2, "--output", tmp_path / "a.mp4") == 0
    assert imageio.imread(tmp_path / "a.mp4", plugin="pyav").shape == (40, 168, 168, 3)


def test_an_mp4_names_the_package_that_it_needs(small_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(images.importlib.util, "find_spec", lambda name: None)
    assert draw(small_run, "--interpolate", 2, "--output", tmp_path / "a.mp4") == 2
    assert "pip install" in one_line(capsys.readouterr().err)


@pytest.mark.slow
def test_a_digit_of_the_generator_is_found_again(small_run, tmp_path, capsys):
    words = ["--seed", 5, "--num_samples", 1, "--output", f"{tmp_path}/one/"]
    assert draw(small_run, *words) == 0
    (picture,) = (tmp_path / "one").iterdir()
    assert draw(small_run, "--project", picture, "--output", tmp_path / "near.npz") == 0
    assert "grey levels" in capsys.readouterr().out
    target, found = read(tmp_path / "near.npz").astype(float)
    assert np.sqrt(((target - found) ** 2).mean()) < 3
    rest = read(tmp_path / "near.npz", "noise")[1, 4:]
    assert np.linalg.norm(rest) == pytest.approx(196**0.5, rel=1e-5)


BAD = {
    "a letter": ["--text", "20a6"],
    "a picture of another size": ["--project", "large.png"],
    "no such picture": ["--project", "nowhere.png"],
    "a billion pixels": ["--num_samples", 200, "--scale", 100],
    "a file in no folder": ["--output", "no/such/folder/a.png"],
    "another ending": ["--output", "digits.jpg"],
    "a digit of a code": ["--digit", 3, "--code", 4],
    "latents of another generator": ["--redraw", "latents.npz"],
    "a code that does not exist": ["--code", 32],
    "an interpolation and a text": ["--interpolate", 3, "--text", 4],
    "an animation of nothing": ["--output", "a.gif"],
    "an interpolation of one": ["--interpolate", 1],
    "a scaled array": ["--scale", 3, "--output", "a.npz"],
    "too many labels": ["--num_samples", 1_000_001, "--balanced", "--output", "a.npz"],
    "an unknown run": ["--run", "nobody"],
    "a snapshot that was not kept": ["--snapshot", "best"],
}


@pytest.mark.parametrize("kind", BAD)
def test_mistakes_are_refused_in_one_line(small_run, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    images.save_png("large.png", np.eye(32, dtype=np.uint8))
    np.savez("latents.npz", noise=np.zeros((3, 100), np.float32))
    before = sorted(tmp_path.iterdir())
    assert draw(small_run, *BAD[kind]) == 2
    words = {"an unknown run": "nobody", "a snapshot that was not kept": "generator-best.npz"}
    assert words.get(kind, BAD[kind][0]) in one_line(capsys.readouterr().err)
    assert sorted(tmp_path.iterdir()) == before
