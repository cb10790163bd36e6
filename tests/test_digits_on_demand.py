"""Digits asked for by label, ways through the latent space, and every format."""

import gzip

import rejection
import formats
import idx2numpy
import imageio.v3 as imageio
import images
import latent
import numpy as np
import pytest
import runs
import scores
from conftest import one_line, roots

import data
import generate_digits
import models
from config import UserError

random = np.random.default_rng(0)


def draw(folder, *words):
    return generate_digits.main([*roots(folder), *map(str, words)])


def stream(num_blocks, size=100):
    """Blocks of images whose first pixel says what they show and whose second how surely."""
    source = np.random.default_rng(1)
    for _ in range(num_blocks):
        block = np.zeros((size, 28, 28), np.uint8)
        block[:, 0, :2] = source.integers(0, [10, 101], (size, 2))
        yield block


def look(pixels):
    """What a classifier would see in the images of `stream`."""
    probabilities = np.zeros((len(pixels), 10), np.float32)
    probabilities[np.arange(len(pixels)), pixels[:, 0, 0]] = np.maximum(pixels[:, 0, 1], 11) / 100
    return Predictions(pixels, None, probabilities)


def choose(wanted, num_blocks=150, least=0.9):
    wanted = np.array(wanted, np.uint8)
    return rejection.accept(wanted, stream(num_blocks), look, least, lambda _: None)


def test_chosen_digits_are_those_asked_for_in_the_seed_s_order():
    wanted = [7, 1, 7, 0, 7] * 40
    chosen, drawn = choose(wanted)
    every = np.concatenate([*stream(150)])
    np.testing.assert_array_equal(chosen.images[:, 0, 0], wanted)
    np.testing.assert_array_equal(chosen.labels, wanted)
    np.testing.assert_array_equal(chosen.images, every[chosen.index])
    assert chosen.confidence.min() >= 0.9 and drawn % 100 == 0
    fit = np.flatnonzero((every[:, 0, 0] == 7) & (every[:, 0, 1] >= 90))
    np.testing.assert_array_equal(chosen.index[chosen.labels == 7], fit[:120])


def test_asking_for_more_does_not_change_the_first():
    few, many = (choose([3, 4] * num)[0] for num in (5, 50))
    np.testing.assert_array_equal(few.images, many.images[:10])


def test_a_search_ends_and_says_how_many_were_found():
    with pytest.raises(UserError, match=r"found 0 of 2 digits among 500 drawn; too rare: 3, 5"):
        choose([3, 5], num_blocks=5, least=1.1)


@pytest.fixture(scope="module")
def easy(small_run):
    """The small run draws blots; any confidence is enough to ask for the commonest of them."""
    assert draw(small_run, "--output", small_run / "all.npz", "--num_samples", 1000) == 0
    with np.load(small_run / "all.npz") as arrays:
        seen = DigitClassifier().predict(arrays["images"])
    digit = np.bincount(np.argmax(seen.probabilities, 1)).argmax()
    return small_run, str(digit), ["--min_confidence", 0]


def test_one_digit_with_labels_and_the_names_of_the_digits(easy, tmp_path, capsys):
    run, digit, sure = easy
    path = tmp_path / "some.npz"
    assert draw(run, "--digit", digit, *sure, "--num_samples", 30, "--output", path) == 0
    assert "Drew 1,000 digits to keep 30" in capsys.readouterr().out
    with np.load(path) as some, np.load(run / "all.npz") as every:
        assert some["labels"].tolist() == [int(digit)] * 30
        np.testing.assert_array_equal(some["images"], every["images"][some["index"]])
        probabilities = DigitClassifier().predict(some["images"]).probabilities
        np.testing.assert_allclose(probabilities.max(1), some["confidence"], rtol=1e-4)
        assert (probabilities.argmax(1) == int(digit)).all()


def test_text_is_written_in_lines_with_gaps(easy, tmp_path):
    run, digit, sure = easy
    lines = [digit * 2 + " " + digit, digit]
    assert draw(run, "--text", *lines, *sure, "--scale", 1, "--output", tmp_path / "t.png") == 0
    picture = images.load_png(tmp_path / "t.png")
    assert picture.shape == (2 * 30 + 2, 4 * 30 + 2)
    drawn = picture[2:, 2:].reshape(2, 30, 4, 30).max((1, 3)) > 0
    assert drawn.tolist() == [[True, True, False, True], [True, False, False, False]]
    assert draw(run, "--text", *lines, *sure, "--output", tmp_path / "t.npz") == 0
    with np.load(tmp_path / "t.npz") as arrays:
        assert arrays["images"].shape == (4, 28, 28)


def test_a_picture_a_digit_and_never_over_others(easy, tmp_path, capsys):
    run, digit, sure = easy
    words = ["--digit", digit, *sure, "--num_samples", 3, "--output", f"{tmp_path}/new/"]
    assert draw(run, *words, "--scale", 2, "--invert") == 0
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == [f"{number:06d}-{digit}.png" for number in range(3)]
    picture = images.load_png(tmp_path / "new" / names[0])
    assert picture.shape == (56, 56) and picture[0, 0] > 100
    capsys.readouterr()
    assert draw(run, *words) == 2
    assert "not empty" in one_line(capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new"]


def test_idx_files_are_read_by_us_and_by_others(easy, tmp_path):
    run, digit, sure = easy
    path = tmp_path / "fake-images-idx3-ubyte.gz"
    assert draw(run, "--digit", digit, *sure, "--num_samples", 120, "--output", path) == 0
    ours = data.load_images(path)
    with gzip.open(path) as file:
        np.testing.assert_array_equal(idx2numpy.convert_from_file(file), ours)
    with gzip.open(tmp_path / "fake-labels-idx1-ubyte.gz") as file:
        labels = idx2numpy.convert_from_file(file)
    assert ours.shape == (120, 28, 28) and labels.tolist() == [int(digit)] * 120


def test_every_format_holds_the_same_digits(small_run, tmp_path):
    for name in ("a.npz", "a-images-idx3-ubyte.gz", "a/"):
        assert draw(small_run, "--num_samples", 105, "--output", f"{tmp_path}/{name}") == 0
    with np.load(tmp_path / "a.npz") as arrays:
        digits = arrays["images"]
    np.testing.assert_array_equal(data.load_images(tmp_path / "a-images-idx3-ubyte.gz"), digits)
    pictures = [images.load_png(path) for path in sorted((tmp_path / "a").iterdir())]
    np.testing.assert_array_equal(pictures, digits)


def test_an_inverted_grid_is_the_negative(small_run, tmp_path):
    for name, more in (("plain", []), ("paper", ["--invert"])):
        assert draw(small_run, "--output", tmp_path / f"{name}.png", *more) == 0
    plain, paper = (images.load_png(tmp_path / f"{name}.png") for name in ("plain", "paper"))
    np.testing.assert_array_equal(plain, 255 - paper)


def test_an_interrupted_folder_leaves_nothing(tmp_path):
    def blocks():
        yield np.zeros((2, 28, 28), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        formats.write(f"{tmp_path}/digits/", formats.Samples(blocks(), 4))
    assert not [*tmp_path.iterdir()]


@pytest.fixture(scope="module")
def generator(small_run):
    arrays, source = runs.load_snapshot(small_run / "checkpoints" / "small", "latest")
    return load_generator(arrays, source)


def test_the_noise_of_a_digit_draws_it(small_run, generator, tmp_path):
    assert draw(small_run, "--num_samples", 250, "--output", tmp_path / "a.npz") == 0
    z = sample_noise(0, [203, 7, 100], 200)
    drawn = np.concatenate([*models.draw_noise(generator, z)])
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(data.to_pixels(drawn), arrays["images"][[203, 7, 100]])


def test_a_loop_passes_smoothly_through_its_digits_and_closes():
    anchors = random.normal(size=(5, 200))
    path = latent.closed_path(anchors, 20)
    assert path.shape == (100, 200) and path.dtype == np.float32
    np.testing.assert_allclose(path[::20], anchors, rtol=1e-5)
    lengths = np.linalg.norm(path, axis=1)
    assert lengths.min() > 12 and lengths.max() < 16.5  # near 14.1, the root of 200
    steps = np.roll(path, -1, 0) - path  # the last one leads back to the first
    sizes = np.linalg.norm(steps, axis=1)
    assert sizes.max() < 5 * sizes.min()  # slower at the digits
    turns = np.linalg.norm(np.roll(steps, -1, 0) - steps, axis=1) / sizes
    assert turns.max() < 0.5  # no corners, not at the digits either


def test_a_plane_has_its_four_digits_in_the_corners():
    corners = random.normal(size=(4, 200)).astype(np.float32)
    grid = latent.grid(corners, 10).reshape(10, 10, 200)
    for found, corner in zip((grid[0, 0], grid[0, -1], grid[-1, 0], grid[-1, -1]), corners):
        np.testing.assert_allclose(found, corner, atol=1e-5)
    assert np.linalg.norm(grid, axis=2).min() > 12


def test_slerp_goes_round_the_circle():
    way = latent.slerp(np.array([2.0, 0]), np.array([0.0, 4]), np.linspace(0, 1, 3))
    np.testing.assert_allclose(way, [[2, 0], [3 / 2**0.5] * 2, [0, 4]], atol=1e-12)


def test_a_walk_is_an_endless_film(small_run, tmp_path):
    for name in ("w.gif", "w.npz"):
        assert draw(small_run, "--interpolate", 3, "--output", tmp_path / name) == 0
    with np.load(tmp_path / "w.npz") as arrays:
        assert arrays["images"].shape == (60, 28, 28) and arrays["noise"].shape == (60, 200)
    film = images.imageio.imread(tmp_path / "w.gif", index=None)  # frames that are alike are one
    assert film.shape[1:3] == (168, 168)
    assert images.imageio.immeta(tmp_path / "w.gif")["loop"] == 0


def test_a_plane_is_a_grid(small_run, tmp_path):
    words = ["--interpolation_grid", "--scale", 1, "--output", tmp_path / "g.png"]
    assert draw(small_run, *words) == 0
    assert images.load_png(tmp_path / "g.png").shape == (302, 302)


def test_noise_scale_shortens_the_noise(small_run, generator, tmp_path, capsys):
    words = ["--noise_scale", 0.5, "--num_samples", 100, "--output", tmp_path / "t.npz"]
    assert draw(small_run, *words) == 0
    assert "more alike" in capsys.readouterr().out
    (expected,) = models.draw_noise(generator, 0.5 * sample_noise(0, range(100), 200))
    with np.load(tmp_path / "t.npz") as arrays:
        np.testing.assert_array_equal(arrays["images"], data.to_pixels(expected))


def test_a_digit_of_the_generator_is_found_again(small_run, tmp_path, capsys):
    words = ["--seed", 5, "--num_samples", 1, "--output", f"{tmp_path}/one/"]
    assert draw(small_run, *words) == 0
    (picture,) = (tmp_path / "one").iterdir()
    assert draw(small_run, "--project", picture, "--output", tmp_path / "near.npz") == 0
    assert "grey levels" in capsys.readouterr().out
    with np.load(tmp_path / "near.npz") as arrays:
        target, found = arrays["images"].astype(float)
    assert np.sqrt(((target - found) ** 2).mean()) < 3


def test_what_is_transparent_in_a_picture_is_its_ground(tmp_path):
    picture = np.zeros((28, 28, 4), np.uint8)
    picture[5:9, 5:9] = 255, 255, 255, 255
    imageio.imwrite(tmp_path / "white.png", picture)
    picture[..., :3] = 0
    imageio.imwrite(tmp_path / "black.png", picture)
    white = images.load_png(tmp_path / "white.png")
    np.testing.assert_array_equal(white, picture[..., 3])
    np.testing.assert_array_equal(images.load_png(tmp_path / "black.png", 255), 255 - white)


BAD = {
    "a letter": ["--text", "20a6"],
    "two digits": ["--digit", 10],
    "no digits": ["--text", " "],
    "another size": ["--project", "large.png"],
    "no picture": ["--project", "text.png"],
    "nothing there": ["--project", "nowhere.png"],
    "nothing on it": ["--project", "blank.png"],
    "a billion pixels": ["--num_samples", 200, "--scale", 100],
    "a plane of as many": ["--scale", 100, "--interpolation_grid"],
    "a walk of as many": ["--scale", 100, "--interpolate", 11, "--output", "a.png"],
    "a text of as many": ["--scale", 100, "--text", *(["1" + " " * 20] * 10)],
    "folder with things": ["--output", "full/"],
    "no such folder": ["--output", "no/such/"],
    "a file as a folder": ["--output", "text.png/"],
    "another ending": ["--output", "digits.gz"],
    "two kinds": ["--digit", 3, "--text", 4],
    "a walk and a text": ["--interpolate", 3, "--text", 4],
    "a film of nothing": ["--output", "a.gif"],
    "one stop": ["--interpolate", 1],
    "a large array": ["--scale", 3, "--output", "a.npz"],
    "too sure": ["--min_confidence", 1.5],
    "untidy": ["--noise_scale", 0],
    "near and digit": ["--project", "text.png", "--digit", 3],
    "a million": ["--num_samples", 1_000_001, "--balanced", "--output", "a.npz"],
}


@pytest.mark.parametrize("kind", BAD)
def test_mistakes_are_refused_in_one_line(small_run, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.chdir(tmp_path)
    images.save_png("large.png", np.eye(32, dtype=np.uint8))
    images.save_png("blank.png", np.zeros((28, 28), np.uint8))
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.png").touch()
    before = sorted(tmp_path.rglob("*"))
    assert draw(small_run, *BAD[kind]) == 2
    assert str(BAD[kind][0]) in one_line(capsys.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_film_in_mp4_names_what_it_needs(small_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(images.importlib.util, "find_spec", lambda name: None)
    assert draw(small_run, "--interpolate", 2, "--output", tmp_path / "a.mp4") == 2
    assert "pip install" in one_line(capsys.readouterr().err)


def test_a_film_in_mp4(small_run, tmp_path):
    assert draw(small_run, "--interpolate", 2, "--output", tmp_path / "a.mp4") == 0
    assert images.imageio.imread(tmp_path / "a.mp4", plugin="pyav").shape == (40, 168, 168, 3)
