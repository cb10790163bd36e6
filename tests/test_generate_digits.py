"""The drawing command: digits, digits asked for, and ways between them, in every format."""

import shutil

import imageio.v3 as imageio
import numpy as np
import pytest

import generate_digits
from evaluation.classifier import DigitClassifier
from helpers import one_line, roots
from sampling.randomness import codes_of, sample_noise
from sampling.sampler import Sampler
from storage import images
from storage.snapshots import load_snapshot
from storage.weights import load_generator


def draw(folder, *words):
    """The exit status of the command, in this process."""
    return generate_digits.main([*roots(folder), *map(str, words)])


def read(path):
    """The images of an .npz."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["images"]


@pytest.mark.parametrize(
    "num", [7, *(pytest.param(num, marks=pytest.mark.slow) for num in (1, 10, 1000))]
)
def test_one_grid_of_any_size(small_run, tmp_path, num, capsys):
    path = tmp_path / "grid.png"
    assert draw(small_run, "--num_samples", num, "--output", path) == 0
    printed = capsys.readouterr().out
    assert str(path) in printed and "small" in printed
    rows, columns = images.grid_shape(num)
    height, width = images.load_png(path).shape
    factor = width // (30 * columns + 2)
    assert (height, width) == (factor * (30 * rows + 2), factor * (30 * columns + 2))


def test_by_default_the_grid_lands_in_samples(copied_run, capsys):
    assert draw(copied_run, "--num_samples", 10) == 0
    written = {path.name for path in (copied_run / "samples").iterdir()}
    assert written == {"small", "small-10-digits-seed-0.png"}
    assert str(next((copied_run / "samples").glob("*.png"))) in capsys.readouterr().out


def test_seeds_name_digits(small_run, tmp_path):
    arrays = {}
    for name, num, seed in [("few", 3, 5), ("many", 130, 5), ("other", 3, 6)]:
        path = tmp_path / f"{name}.npz"
        assert draw(small_run, "--num_samples", num, "--seed", seed, "--output", path) == 0
        arrays[name] = read(path)
        assert arrays[name].shape == (num, 28, 28) and arrays[name].dtype == np.uint8
    np.testing.assert_array_equal(arrays["few"], arrays["many"][:3])
    assert (arrays["few"] != arrays["other"]).any()


def test_the_picture_shows_the_digits_of_the_array(small_run, tmp_path):
    for name in ("a.npz", "a.png"):
        assert draw(small_run, "--num_samples", 6, "--output", tmp_path / name) == 0
    expected = images.enlarge(images.make_grid(read(tmp_path / "a.npz")))
    np.testing.assert_array_equal(images.load_png(tmp_path / "a.png"), expected)


@pytest.mark.slow
def test_the_latest_run_is_taken_unless_one_is_named(copied_run, tmp_path, capsys):
    runs_folder = copied_run / "checkpoints"
    newer = shutil.copytree(runs_folder / "small", runs_folder / "newer")
    (newer / "generator.npz").touch()
    words = ["--num_samples", 1, "--output", tmp_path / "a.png"]
    assert draw(copied_run, *words) == 0
    assert "newer" in capsys.readouterr().out
    assert draw(copied_run, *words, "--run", "small") == 0
    assert "newer" not in capsys.readouterr().out


def test_there_may_be_no_best_generator(small_run, capsys):
    assert draw(small_run, "--snapshot", "best") == 2
    assert "--evaluate_every" in one_line(capsys.readouterr().err)


def test_an_unknown_run_is_refused(small_run, tmp_path, capsys):
    assert draw(small_run, "--run", "nobody", "--output", tmp_path / "a.png") == 2
    assert "nobody: has no generator" in one_line(capsys.readouterr().err)
    assert not [*tmp_path.iterdir()]


def damage(path, kind):
    """Damage a snapshot in some way."""
    arrays = dict(np.load(path))
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    elif kind == "other":
        np.savez(path, kernel=np.zeros(3))
    elif kind == "shape":
        np.savez(path, **arrays | {"dense/kernel": np.zeros((200, 7), np.float32)})
    elif kind == "type":
        np.savez(path, **arrays | {"dense/kernel": np.full((200, 12544), "a")})


@pytest.mark.parametrize("kind", ["cut", "other", "shape", "type"])
def test_damaged_weights_are_refused(copied_run, tmp_path, capsys, kind):
    damage(copied_run / "checkpoints" / "small" / "generator.npz", kind)
    assert draw(copied_run, "--output", tmp_path / "a.png") == 2
    assert "generator.npz" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "a.png").exists()


@pytest.fixture(scope="module")
def easy(small_run, tmp_path_factory):
    """The small run draws blots; any confidence is enough to ask for the commonest of them.

    The folder, that digit, the flags, and the first 1,000 samples.
    """
    path = tmp_path_factory.mktemp("easy") / "all.npz"
    assert draw(small_run, "--output", path, "--num_samples", 1000) == 0
    probabilities = DigitClassifier().predict(read(path)).probabilities
    digit = np.bincount(np.argmax(probabilities, 1)).argmax()
    return small_run, str(digit), ["--min_confidence", 0], read(path)


def test_a_digit_asked_for_comes_with_its_label_and_index(easy, tmp_path, capsys):
    run, digit, any_confidence, every = easy
    path = tmp_path / "some.npz"
    assert draw(run, "--digit", digit, *any_confidence, "--num_samples", 30, "--output", path) == 0
    printed = capsys.readouterr().out
    assert "Accepted 30 of" in printed and "learned other images than MNIST" in printed
    with np.load(path) as some:
        assert some["labels"].tolist() == [int(digit)] * 30
        np.testing.assert_array_equal(some["images"], every[some["index"]])
        probabilities = DigitClassifier().predict(some["images"]).probabilities
        np.testing.assert_allclose(probabilities.max(1), some["confidence"], rtol=1e-4)
        assert (probabilities.argmax(1) == int(digit)).all()


def test_text_is_written_in_lines_with_gaps(easy, tmp_path):
    run, digit, any_confidence, _ = easy
    words = ["--text", digit * 2 + " " + digit, digit, *any_confidence]
    assert draw(run, *words, "--scale", 1, "--output", tmp_path / "t.png") == 0
    picture = images.load_png(tmp_path / "t.png")
    assert picture.shape == (2 * 30 + 2, 4 * 30 + 2)
    drawn = picture[2:, 2:].reshape(2, 30, 4, 30).max((1, 3)) > 0
    assert drawn.tolist() == [[True, True, False, True], [True, False, False, False]]
    assert draw(run, *words, "--output", tmp_path / "t.npz") == 0
    assert read(tmp_path / "t.npz").shape == (4, 28, 28)


def test_a_picture_a_digit_and_never_over_others(easy, tmp_path, capsys):
    run, digit, any_confidence, _ = easy
    words = ["--digit", digit, *any_confidence, "--num_samples", 3, "--output", f"{tmp_path}/new/"]
    assert draw(run, *words, "--scale", 2, "--invert") == 0
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [f"{number:06d}-{digit}.png" for number in range(3)]
    picture = images.load_png(tmp_path / "new" / names[0])
    assert picture.shape == (56, 56) and picture[0, 0] > 100
    capsys.readouterr()
    assert draw(run, *words) == 2
    assert "not empty" in one_line(capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]


def test_a_code_draws_its_own_samples(small_run, tmp_path, capsys):
    words = ["--code", 7, "--num_samples", 200, "--save_noise", "--output", tmp_path / "c.npz"]
    assert draw(small_run, *words) == 0
    assert draw(small_run, "--num_samples", 200, "--output", tmp_path / "all.npz") == 0
    with np.load(tmp_path / "c.npz") as arrays:
        assert (codes_of(arrays["noise"], 32) == 7).all()
        own = codes_of(sample_noise(0, range(200), 200), 32) == 7
        assert 0 < own.sum() < 30
        np.testing.assert_array_equal(arrays["images"][own], read(tmp_path / "all.npz")[own])
        assert len(np.unique(arrays["images"], axis=0)) == 200
    assert draw(small_run, "--latents", tmp_path / "c.npz", "--output", tmp_path / "d.npz") == 0
    np.testing.assert_array_equal(read(tmp_path / "c.npz"), read(tmp_path / "d.npz"))


def test_an_interpolation_within_a_code_keeps_it(small_run, tmp_path):
    words = ["--code", 7, "--output", tmp_path / "i.npz"]
    for mode in (["--interpolate", 3], ["--interpolation_grid"]):
        assert draw(small_run, *words, *mode) == 0
        with np.load(tmp_path / "i.npz") as arrays:
            codes, rest = np.split(arrays["latents"], [32], 1)
        np.testing.assert_allclose(codes, np.tile(6 * np.eye(32)[7], (len(codes), 1)), atol=1e-5)
        assert np.linalg.norm(rest, axis=1).min() > 10  # near 13, the root of 168


def test_an_interpolation_is_drawn_again_from_its_latents(small_run, tmp_path):
    again = tmp_path / "again.npz"
    assert draw(small_run, "--interpolate", 2, "--output", tmp_path / "i.npz") == 0
    assert draw(small_run, "--latents", tmp_path / "i.npz", "--output", again) == 0
    np.testing.assert_array_equal(read(tmp_path / "i.npz"), read(again))


def test_an_archive_without_noise_is_refused(small_run, tmp_path, capsys):
    np.savez(tmp_path / "other.npz", images=np.zeros((3, 28, 28), np.uint8))
    assert draw(small_run, "--latents", tmp_path / "other.npz") == 2
    assert "has neither noise nor latents, but images" in one_line(capsys.readouterr().err)
    np.savez(tmp_path / "huge.npz", noise=np.full((3, 200), 1e300))
    assert draw(small_run, "--latents", tmp_path / "huge.npz") == 2
    assert "its noise is not finite" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("code", "reason"), [(32, "0 to 31"), (-1, "whole"), ("x", "whole"), (7, "no codes")]
)
def test_a_code_that_there_is_not_is_refused(copied_run, tmp_path, capsys, code, reason):
    if reason == "no codes":  # of a generator from before there were any
        path = copied_run / "checkpoints" / "small" / "generator.npz"
        arrays = dict(np.load(path))
        del arrays["num_codes"]
        np.savez(path, **arrays)
    assert draw(copied_run, "--code", code, "--output", tmp_path / "a.png") == 2
    assert reason in one_line(capsys.readouterr().err)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.slow
def test_an_inverted_grid_is_the_negative(small_run, tmp_path):
    for name, more in (("plain", []), ("paper", ["--invert"])):
        assert draw(small_run, "--output", tmp_path / f"{name}.png", *more) == 0
    plain, paper = (images.load_png(tmp_path / f"{name}.png") for name in ("plain", "paper"))
    np.testing.assert_array_equal(plain, 255 - paper)


def test_an_interpolation_is_an_endless_animation(small_run, tmp_path):
    for name in ("i.gif", "i.npz"):
        assert draw(small_run, "--interpolate", 3, "--output", tmp_path / name) == 0
    with np.load(tmp_path / "i.npz") as arrays:
        assert arrays["images"].shape == (60, 28, 28) and arrays["latents"].shape == (60, 200)
        codes, noise = np.split(arrays["latents"], [32], 1)
        z = sample_noise(0, range(3), 200)
        np.testing.assert_allclose(noise[::20], z[:, 32:], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(codes[::20], 6 * np.eye(32)[codes_of(z, 32)], atol=1e-5)
        assert 4 < np.sort(codes[10])[-2] <= np.sort(codes[10])[-1] < 5  # half one, half another
    film = imageio.imread(tmp_path / "i.gif", index=None)  # frames that are alike are one
    assert film.shape[1:3] == (168, 168)
    assert imageio.immeta(tmp_path / "i.gif")["loop"] == 0


def test_an_interpolation_grid_is_a_picture(small_run, tmp_path):
    words = ["--interpolation_grid", "--scale", 1, "--output", tmp_path / "g.png"]
    assert draw(small_run, *words) == 0
    assert images.load_png(tmp_path / "g.png").shape == (302, 302)


def test_the_noise_scale_shortens_the_noise(small_run, tmp_path, capsys):
    words = ["--noise_scale", 0.5, "--num_samples", 100, "--output", tmp_path / "t.npz"]
    assert draw(small_run, *words) == 0
    assert "less varied" in capsys.readouterr().out
    snapshot = load_snapshot(small_run / "checkpoints" / "small", "latest")
    z = np.float32(0.5) * sample_noise(0, range(100), 200)
    sampler = Sampler(load_generator(snapshot))
    (expected,) = sampler.decode(sampler.latents(z))
    np.testing.assert_array_equal(read(tmp_path / "t.npz"), expected)


def test_the_noise_scale_shortens_the_noise_of_an_interpolation_once(small_run, tmp_path):
    words = ["--interpolate", 2, "--noise_scale", 0.5, "--output", tmp_path / "i.npz"]
    assert draw(small_run, *words) == 0
    snapshot = load_snapshot(small_run / "checkpoints" / "small", "latest")
    with np.load(tmp_path / "i.npz") as arrays:
        expected = Sampler(load_generator(snapshot)).decode(arrays["latents"])
        np.testing.assert_array_equal(arrays["images"], np.concatenate([*expected]))
        lengths = np.linalg.norm(arrays["latents"][:, 32:], axis=1)
    assert 5 < lengths.min() < lengths.max() < 8  # near half the root of 168


@pytest.mark.slow
def test_a_digit_of_the_generator_is_found_again(small_run, tmp_path, capsys):
    words = ["--seed", 5, "--num_samples", 1, "--output", f"{tmp_path}/one/"]
    assert draw(small_run, *words) == 0
    (picture,) = (tmp_path / "one").iterdir()
    assert draw(small_run, "--project", picture, "--output", tmp_path / "near.npz") == 0
    assert "grey levels" in capsys.readouterr().out
    target, found = read(tmp_path / "near.npz").astype(float)
    assert np.sqrt(((target - found) ** 2).mean()) < 3


BAD = {
    "no digits at all": ["--num_samples", 0],
    "a letter": ["--text", "20a6"],
    "two digits": ["--digit", 10],
    "only spaces": ["--text", " "],
    "a picture of another size": ["--project", "large.png"],
    "no picture": ["--project", "text.png"],
    "no such picture": ["--project", "nowhere.png"],
    "a blank picture": ["--project", "blank.png"],
    "too many digits for a picture": ["--num_samples", 200_000, "--output", "a.png"],
    "a billion pixels": ["--num_samples", 200, "--scale", 100],
    "a grid of as many": ["--scale", 100, "--interpolation_grid"],
    "an interpolation of as many": ["--scale", 100, "--interpolate", 11, "--output", "a.png"],
    "a text of as many": ["--scale", 100, "--text", *(["1" + " " * 20] * 10)],
    "a folder that is not empty": ["--output", "full/"],
    "a folder in no folder": ["--output", "no/such/"],
    "a file in no folder": ["--output", "no/such/folder/a.png"],
    "a file as a folder": ["--output", "text.png/"],
    "a folder as a file": ["--output", "."],
    "another ending": ["--output", "digits.gz"],
    "a JPEG": ["--output", "digits.jpg"],
    "a digit of a code": ["--digit", 3, "--code", 4],
    "a projection within a code": ["--project", "text.png", "--code", 4],
    "latents of a code": ["--latents", "latents.npz", "--code", 4],
    "shorter latents": ["--latents", "latents.npz", "--noise_scale", 0.5],
    "a digit and a text": ["--digit", 3, "--text", 4],
    "an interpolation and a text": ["--interpolate", 3, "--text", 4],
    "an animation of nothing": ["--output", "a.gif"],
    "an interpolation of one": ["--interpolate", 1],
    "a scaled array": ["--scale", 3, "--output", "a.npz"],
    "a confidence above 1": ["--min_confidence", 1.5],
    "a noise scale of 0": ["--noise_scale", 0],
    "a projection of a digit": ["--project", "text.png", "--digit", 3],
    "too many labels": ["--num_samples", 1_000_001, "--balanced", "--output", "a.npz"],
}


@pytest.mark.parametrize("kind", BAD)
def test_mistakes_are_refused_in_one_line(small_run, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    images.save_png("large.png", np.eye(32, dtype=np.uint8))
    images.save_png("blank.png", np.zeros((28, 28), np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    np.savez("latents.npz", noise=np.zeros((3, 200), np.float32))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.png").touch()
    before = sorted(tmp_path.rglob("*"))
    assert draw(small_run, *BAD[kind]) == 2
    assert str(BAD[kind][0]) in one_line(capsys.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_mp4_names_the_package_that_it_needs(small_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(images.importlib.util, "find_spec", lambda name: None)
    assert draw(small_run, "--interpolate", 2, "--output", tmp_path / "a.mp4") == 2
    assert "pip install" in one_line(capsys.readouterr().err)


@pytest.mark.slow
def test_an_interpolation_in_mp4(small_run, tmp_path):
    assert draw(small_run, "--interpolate", 2, "--output", tmp_path / "a.mp4") == 0
    assert imageio.imread(tmp_path / "a.mp4", plugin="pyav").shape == (40, 168, 168, 3)
