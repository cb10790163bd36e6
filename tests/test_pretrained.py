"""The generator that ships: what its card says of it is so, on this machine too."""

import json
import re

import images
import numpy as np
import pytest
import runs
import scores
from conftest import REPOSITORY

import data
import generate_digits
import models

FOLDER = REPOSITORY / "checkpoints" / "pretrained"
SAMPLES = REPOSITORY / "samples" / "pretrained"
CARD = FOLDER / "README.md"


@pytest.fixture(scope="module")
def digits():
    """Its first 2,000 digits of seed 0."""
    generator = load_generator(*runs.load_snapshot(FOLDER, "latest"))
    return data.to_pixels(np.concatenate([*models.build_drawing(generator)(2000, 0)]))


def test_it_draws_what_it_drew_when_it_was_trained(digits):
    grid = images.make_grid(digits[:100])
    last = max(SAMPLES.glob("epoch-*.png"))
    picture = images.load_png(last)[-len(grid) :]  # below the title
    # Rounded to half precision since, and computed on another machine.
    assert np.abs(grid.astype(int) - picture.astype(int)).max() <= 1


def test_its_scores_are_those_of_its_card(digits, judged):
    judge = scores.QuickScore(judged[1].pixels)
    distance, rarest = judge.score(digits)
    stated = float(re.search(r"2,000 digits[^.]*?: ([0-9]+[.][0-9]+)", CARD.read_text())[1])
    assert distance == pytest.approx(stated, rel=0.01)
    assert rarest > 0.7
    report = json.loads((FOLDER / "scores.json").read_text())
    assert report["classifier"] == judged[0].sha256 and report["num_samples"] == 10_000
    for name, row in (
        ("fid_test", "Fréchet distance to the 10,000 test digits"),
        ("coverage", "coverage"),
        ("recall", "recall"),
    ):
        assert f"| {row} | {report['scores'][name]:.3g} |" in CARD.read_text()


def test_every_digit_is_drawn_about_as_often_as_written():
    report = json.loads((FOLDER / "scores.json").read_text())
    assert (
        0.07 < min(report["scores"]["digit_shares"]) < max(report["scores"]["digit_shares"]) < 0.13
    )
    assert min(report["scores"][f"copying_z_{space}"] for space in ("pixels", "features")) > -3


def test_it_draws_for_those_who_trained_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert generate_digits.main([]) == 0
    assert "pretrained" in capsys.readouterr().out
    assert (tmp_path / "samples" / "pretrained-10-digits-seed-0.png").exists()


def test_it_is_small():
    assert (FOLDER / "generator.npz").stat().st_size < 8_000_000
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 5_000_000


def test_an_independent_classifier_reads_the_digits_that_were_asked_for(tmp_path):
    """Another network, trained here from another seed, agrees with at least 97 % of 1,000."""
    import keras

    path = tmp_path / "asked.npz"
    words = ["--run", "pretrained", "--balanced", "--num_samples", "1000", "--output", str(path)]
    assert generate_digits.main(words) == 0
    with np.load(path) as asked, np.load(REPOSITORY / "assets" / "mnist.npz") as mnist:
        keras.utils.set_random_seed(1)
        other = keras.Sequential(
            [
                keras.layers.Rescaling(1 / 255),
                keras.layers.Conv2D(16, 5, 2, activation="relu"),
                keras.layers.Conv2D(32, 3, 2, activation="relu"),
                keras.layers.Flatten(),
                keras.layers.Dense(128, activation="relu"),
                keras.layers.Dense(10),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        other.compile("adam", loss)
        images_of = {name: mnist[name][..., None] for name in ("x_train", "x_test")}
        other.fit(images_of["x_train"], mnist["y_train"], 128, epochs=4, verbose=0)
        read = other.predict(images_of["x_test"], 1000, verbose=0).argmax(1)
        assert (read == mnist["y_test"]).mean() > 0.98
        read = other.predict(asked["images"][..., None], 1000, verbose=0).argmax(1)
        assert (asked["labels"] == np.arange(1000) % 10).all()
        assert (read == asked["labels"]).mean() >= 0.97
