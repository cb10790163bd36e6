"""Which samples are accepted: the formula, its calibration, and what is kept of it."""

import json

import numpy as np
import pytest

import data
from config import REPOSITORY
from evaluation import ink, metrics
from evaluation.classifier import Predictions
from readers import read_npz
from sampling import acceptance
from storage import runs, snapshots
from storage.weights import load_generator

PRETRAINED = REPOSITORY / "checkpoints" / runs.PRETRAINED
random = np.random.default_rng(0)
SHIFT = 0.4


def toy(num, mean, shares=None):
    """Predictions with normal features (num, 3) around `mean`, and nothing else to see.

    They are read as the ten digits with these shares, as zeros without.
    """
    digits = np.zeros(num, int) if shares is None else random.choice(10, num, p=shares)
    features = random.normal(size=(num, 3)).astype(np.float32) + np.float32(mean)
    probabilities = np.eye(10, dtype=np.float32)[digits]
    return Predictions(np.zeros((num, 28, 28), np.uint8), features, probabilities)


@pytest.fixture(scope="module")
def calibrated():
    """The Acceptance of toy samples around 0 where real images lie around SHIFT."""
    return acceptance.calibrate(toy(20_000, [SHIFT, 0, 0]), toy(20_000, [0, 0, 0]))


def keep(acceptance, samples):
    """Those of some Predictions that are accepted."""
    kept = random.random(len(samples.pixels)) < acceptance.probability(samples)
    return samples.take(kept)


def test_accepted_samples_have_the_means_of_real_images_within_the_budget(calibrated):
    accepted = keep(calibrated, toy(20_000, [0, 0, 0]))
    assert len(accepted.pixels) == pytest.approx(20_000 / acceptance.DRAWS_PER_SAMPLE, rel=0.05)
    np.testing.assert_allclose(accepted.features.mean(0), [SHIFT, 0, 0], atol=0.06)


def test_each_digit_is_accepted_as_often_as_it_is_written():
    drawn, written = np.full(10, 0.1), np.linspace(0.08, 0.12, 10)
    drawn[:2] = 0.15, 0.05
    calibrated = acceptance.calibrate(toy(9000, 0, written), toy(9000, 0, drawn))
    accepted = keep(calibrated, toy(20_000, 0, drawn))
    shares = np.bincount(accepted.probabilities.argmax(1)) / len(accepted.pixels)
    np.testing.assert_allclose(shares, written, atol=0.015)


def test_samples_of_one_digit_only_are_calibrated_for():
    calibrated = acceptance.calibrate(toy(9000, 0, np.full(10, 0.1)), toy(5000, 3.0))
    assert np.isfinite(calibrated.weights).all() and np.isfinite(calibrated.bias).all()
    assert calibrated.probability(toy(5000, 3.0)).mean() > 0.2


def test_ink_counts(mnist, classifier):
    """Clean digits are accepted where dirty ones are drawn; the classifier reads both alike."""
    digits = mnist["x_test"][:4000].copy()
    dirty = random.random(4000) < 0.5
    digits[dirty, 2:4, 2:4] = 70
    samples = classifier.predict(digits)
    real = classifier.predict(mnist["x_train"][:4000])
    found = acceptance.calibrate(real, samples).probability(samples)
    assert found[~dirty].mean() > 1.8 * found[dirty].mean()


@pytest.mark.slow
def test_real_images_are_accepted_much_more_often_than_drawn_ones(test_predictions, classifier):
    calibrated = acceptance.Acceptance(**shipped_calibration())
    sampler = acceptance.Sampler(load_generator(snapshots.load_snapshot(PRETRAINED, "latest")))
    drawn = classifier.predict(np.concatenate([*sampler.sample(10_000, 1)]))
    real, ours = (calibrated.probability(each) for each in (test_predictions, drawn))
    assert ours.mean() == pytest.approx(1 / acceptance.DRAWS_PER_SAMPLE, abs=0.02)
    assert real.mean() > 1.25 * ours.mean()
    accepted = keep(calibrated, drawn)
    shares = [metrics.digit_shares(each.probabilities) for each in (accepted, test_predictions)]
    np.testing.assert_allclose(*shares, atol=0.02)
    strokes = [ink.measure_pixels(each.pixels).mean(0) for each in (accepted, drawn)]
    assert (strokes[0] < 0.9 * strokes[1]).all()


class StubClassifier:
    """Predictions from the first three pixels; `sha256` names its weights."""

    sha256 = "a"

    def predict(self, pixels):
        features = pixels.reshape(len(pixels), -1)[:, :3] / np.float32(255)
        return Predictions(pixels, features, np.full((len(pixels), 10), 0.1, np.float32))


class StubSampler:
    """Samples that are noise, whatever the generator."""

    def __init__(self, generator):
        pass

    def sample(self, num, seed):
        yield np.random.default_rng(seed).integers(0, 256, (num, 28, 28), np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A run's folder. Few images are enough to calibrate; a text stands for a generator."""
    images = np.random.default_rng(0).integers(0, 256, (500, 28, 28), np.uint8)
    monkeypatch.setattr(acceptance.data, "load_images", lambda path: images)
    monkeypatch.setattr(acceptance, "NUM_CALIBRATION", 500)
    monkeypatch.setattr(acceptance, "Sampler", StubSampler)
    monkeypatch.setattr(acceptance, "weights_sha256", str)
    return tmp_path


def test_a_calibration_is_kept_until_something_changes_or_it_is_damaged(
    folder, capsys, monkeypatch
):
    def calibrates(sha256="a", generator="weights"):
        """Whether a calibration is made for this classifier and this generator."""
        classifier = StubClassifier()
        classifier.sha256 = sha256
        found.append(acceptance.load_or_calibrate(folder, "latest", generator, classifier))
        return "Calibrating" in capsys.readouterr().out

    found = []
    assert calibrates() and not calibrates()
    for one, other in zip(*found):
        np.testing.assert_array_equal(one, other)
    assert (folder / "acceptance.npz").stat().st_size < 20_000
    assert calibrates("b") and calibrates("b", "other weights") and calibrates()
    (folder / "acceptance.npz").write_bytes(b"no archive")
    assert calibrates() and not calibrates()
    names = ("mean", "scale", "weights", "bias")  # of the formula before
    arrays = {name: np.zeros(130) for name in names}
    origin = read_npz(folder / "acceptance.npz")["origin"]
    np.savez(folder / "acceptance.npz", origin=origin, **arrays)
    assert calibrates() and not calibrates()
    monkeypatch.setattr(acceptance, "DRAWS_PER_SAMPLE", 2.0)
    assert calibrates()


def test_only_runs_that_learned_mnist_reject(tmp_path):
    assert "settings.json" in acceptance.reason_for_raw(tmp_path)
    for digest, rejects in ((data.MNIST_DIGEST, True), ("another", False)):
        (tmp_path / "settings.json").write_text(json.dumps({"run": {"images": digest}}))
        assert (acceptance.reason_for_raw(tmp_path) is None) == rejects


def shipped_calibration():
    """The arrays of the included run's calibration, without its origin."""
    arrays = read_npz(PRETRAINED / "acceptance.npz")
    return {name: arrays[name] for name in acceptance.Acceptance._fields}


def test_the_pretrained_calibration_is_that_of_its_weights(classifier):
    generator = load_generator(snapshots.load_snapshot(PRETRAINED, "latest"))
    expected = acceptance.origin_of(generator, classifier)
    assert str(read_npz(PRETRAINED / "acceptance.npz")["origin"]) == expected
