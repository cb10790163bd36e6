"""The included generator: its digits and scores, on this machine too."""

import json

import numpy as np
import pytest

import evaluate_digits
import generate_digits
from config import REPOSITORY
from evaluation import metrics
from readers import read_npz
from sampling.randomness import with_code
from sampling.sampler import Sampler
from storage import images, snapshots
from storage.weights import load_generator

FOLDER = REPOSITORY / "checkpoints" / "pretrained"
SAMPLES = REPOSITORY / "samples" / "pretrained"
REPORT = json.loads((FOLDER / "scores.json").read_text())


@pytest.fixture(scope="module")
def sampler():
    """A Sampler of the generator that ships."""
    return Sampler(load_generator(snapshots.load_snapshot(FOLDER, "latest")))


@pytest.fixture(scope="module")
def thousand(sampler):
    """Its first 1,000 digits of seed 0, as whole numbers that may be subtracted."""
    return np.concatenate([*sampler.sample(1000, 0)]).astype(int)


def test_it_draws_what_it_always_drew(thousand):
    """At most one grey level beside, in at most one pixel of 10,000: another machine's rounding.

    The first 100 digits are compared pixel by pixel, all 1,000 by the sum of each.
    """
    expected = read_npz(REPOSITORY / "tests" / "pretrained_samples.npz")
    differences = np.abs(thousand[:100] - expected["images"])
    assert differences.max() <= 1 and differences.mean() <= 1e-4
    assert np.abs(thousand.sum((1, 2)) - expected["sums"]).sum() <= 1e-4 * thousand.size


def test_it_draws_what_it_drew_when_it_was_trained(thousand):
    grid = images.make_grid(thousand[:100].astype(np.uint8))
    last = max(SAMPLES.glob("epoch-*.png"))
    picture = images.load_png(last)[-len(grid) :]  # below the title
    # Rounded to half precision since, and computed on another machine.
    assert np.abs(grid.astype(int) - picture.astype(int)).max() <= 1


def test_the_table_of_the_docs_is_its_report():
    columns = {"pretrained": "scores", "accepted": "accepted_scores", "real images": "real_data"}
    scores = [
        (name, {key: tuple(s) if isinstance(s, list) else s for key, s in REPORT[column].items()})
        for name, column in columns.items()
    ]
    document = (REPOSITORY / "docs" / "evaluation.md").read_text()
    assert evaluate_digits.make_table(scores) in document


def test_its_report_is_of_the_classifier_that_ships(classifier):
    assert REPORT["classifier"] == classifier.sha256
    assert REPORT["num_samples"] == 10_000 and REPORT["seed"] == 0


@pytest.mark.slow
def test_its_scores_are_those_of_its_report(sampler, classifier, test_predictions):
    digits = np.concatenate([*sampler.sample(10_000, 0)])
    predictions, stated = classifier.predict(digits), REPORT["scores"]
    moments = [metrics.moments(each.features) for each in (predictions, test_predictions)]
    assert metrics.fid(*moments) == pytest.approx(stated["fid_test"], rel=0.01)
    prdc = metrics.prdc(predictions.features, test_predictions.features)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(prdc, name) == pytest.approx(stated[name], abs=0.003)
    for name in ("inception_score", "confidence"):
        found = getattr(metrics, name)(predictions.probabilities)
        assert found == pytest.approx(stated[name], rel=0.003)
    shares = metrics.digit_shares(predictions.probabilities)
    np.testing.assert_allclose(shares, stated["digit_shares"], atol=0.002)


def test_its_thousand_digits_are_read_as_surely_as_reported(thousand, classifier):
    probabilities = classifier.predict(thousand.astype(np.uint8)).probabilities
    stated = REPORT["scores"]
    assert metrics.confidence(probabilities) == pytest.approx(stated["confidence"], abs=0.01)
    assert min(metrics.digit_shares(probabilities)) > 0.06


def test_every_digit_is_drawn_about_as_often_as_written_and_none_is_copied():
    scores = REPORT["scores"]
    assert 0.07 < min(scores["digit_shares"]) < max(scores["digit_shares"]) < 0.13
    assert min(scores[f"copying_z_{space}"] for space in ("pixels", "features")) > -3


def test_it_draws_for_those_who_trained_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert generate_digits.main([]) == 0
    assert "pretrained" in capsys.readouterr().out
    assert (tmp_path / "samples" / "pretrained-10-digits-seed-0.png").exists()


def test_its_codes_draw_digits_of_their_own_and_each_of_them_varies(sampler, classifier):
    """Variances of the classifier's features; a collapsed code, or one without effect, fails."""
    z = sampler.noise(0, range(50))
    drawn = [with_code(z, code, sampler.num_codes) for code in range(sampler.num_codes)]
    pixels = np.concatenate([*sampler.decode(sampler.latents(np.concatenate(drawn)))])
    features = classifier.predict(pixels).features.reshape(sampler.num_codes, 50, -1)
    within, between = features.var(1).sum(1), features.mean(1).var(0).sum()
    total = features.reshape(-1, features.shape[-1]).var(0).sum()
    assert sampler.num_codes == 32
    assert between > 0.3 * total and within.min() > 0.02 * total
    codes = REPORT["codes"]
    assert codes["mean_purity"] > 0.9 and set(codes["digits"]) == set(range(10))


def test_it_is_small():
    assert (FOLDER / "generator.npz").stat().st_size < 8_000_000
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 5_000_000


@pytest.mark.slow
def test_an_independent_classifier_reads_the_digits_that_were_asked_for(tmp_path, mnist):
    """Another network, trained here from another seed, agrees with at least 97 % of 1,000."""
    import keras

    path = tmp_path / "asked.npz"
    words = ["--run", "pretrained", "--balanced", "--num_samples", "1000", "--output", str(path)]
    assert generate_digits.main(words) == 0
    asked = read_npz(path)
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
    other.fit(mnist["x_train"][..., None], mnist["y_train"], 128, epochs=4, verbose=0)
    read = other.predict(mnist["x_test"][..., None], 1000, verbose=0).argmax(1)
    assert (read == mnist["y_test"]).mean() > 0.98
    read = other.predict(asked["images"][..., None], 1000, verbose=0).argmax(1)
    assert (asked["labels"] == np.arange(1000) % 10).all()
    assert (read == asked["labels"]).mean() >= 0.97
