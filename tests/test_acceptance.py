"""Which samples are accepted: the density ratio, its calibration, and what is kept of it."""

import json

import numpy as np
import pytest

import data
from config import REPOSITORY
from evaluation.classifier import Predictions
from readers import read_npz
from sampling import acceptance
from storage import runs, snapshots
from storage.weights import load_generator, weights_sha256

random = np.random.default_rng(0)
SHIFT = 0.8


def toy(num, mean):
    """Predictions with normal features (num, 3) around `mean`, and nothing else to see."""
    features = random.normal(size=(num, 3)).astype(np.float32) + np.float32(mean)
    probabilities = np.full((num, 10), 0.1, np.float32)
    return Predictions(np.zeros((num, 1), np.uint8), features, probabilities)


@pytest.fixture(scope="module")
def calibrated():
    """The Acceptance of toy samples around 0 where real images lie around SHIFT."""
    return acceptance.calibrate(toy(20_000, [SHIFT, 0, 0]), toy(20_000, [0, 0, 0]))


def test_the_ratio_is_the_known_one(calibrated):
    """log r of N(SHIFT, 1) to N(0, 1) is SHIFT x - SHIFT^2 / 2, and c shifts it."""
    samples = toy(5000, [0, 0, 0])
    found = np.log(calibrated.probability(samples))
    below = found < -0.1  # where min(1, c r) is c r
    slope, _ = np.polyfit(samples.features[below, 0], found[below], 1)
    assert slope == pytest.approx(SHIFT, abs=0.05)
    assert np.corrcoef(samples.features[below, 0], found[below])[0, 1] > 0.99


def test_the_budget_of_draws_is_kept(calibrated):
    rate = calibrated.probability(toy(20_000, [0, 0, 0])).mean()
    assert 1 / acceptance.DRAWS_PER_SAMPLE - 0.02 < rate < 0.85


def test_accepted_samples_are_closer_to_the_real_ones(calibrated):
    samples = toy(20_000, [0, 0, 0])
    kept = random.random(20_000) < calibrated.probability(samples)
    assert samples.features[kept, 0].mean() > SHIFT / 4 + samples.features[:, 0].mean()
    np.testing.assert_allclose(samples.features[kept, 1:].mean(0), 0, atol=0.03)


@pytest.mark.slow
def test_real_images_as_samples_are_accepted_almost_always(training_predictions):
    training = training_predictions
    order = np.random.default_rng(0).permutation(len(training.pixels))
    thirds = [training.take(part) for part in np.array_split(order, 3)]
    found = acceptance.calibrate(thirds[0], thirds[1]).probability(thirds[2])
    assert found.mean() > 0.9


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
    monkeypatch.setattr(acceptance, "NUM_CALIBRATION", 500)
    monkeypatch.setattr(acceptance, "Sampler", StubSampler)
    monkeypatch.setattr(acceptance, "weights_sha256", str)
    return tmp_path


def calibrate(folder, classifier=None, generator="weights"):
    classifier = classifier or StubClassifier()
    return acceptance.load_or_calibrate(folder, "latest", generator, classifier)


def test_a_calibration_is_made_once_and_kept(folder, capsys):
    first = calibrate(folder)
    assert "Calibrating" in capsys.readouterr().out
    again = calibrate(folder)
    assert "Calibrating" not in capsys.readouterr().out
    for one, other in zip(first, again):
        np.testing.assert_array_equal(one, other)
    assert (folder / "acceptance.npz").stat().st_size < 20_000


def test_other_weights_ask_for_a_new_calibration(folder, capsys):
    calibrate(folder)
    other = StubClassifier()
    other.sha256 = "b"
    capsys.readouterr()
    calibrate(folder, other)
    assert "Calibrating" in capsys.readouterr().out
    calibrate(folder, other, "other weights")
    assert "Calibrating" in capsys.readouterr().out


def test_a_damaged_calibration_is_made_anew(folder, capsys):
    calibrate(folder)
    np.savez(folder / "other.npz", origin="nothing", bias=np.zeros(()))
    for content in (b"no archive", (folder / "other.npz").read_bytes()):
        (folder / "acceptance.npz").write_bytes(content)
        capsys.readouterr()
        calibrate(folder)
        assert "Calibrating" in capsys.readouterr().out


def test_only_runs_that_learned_mnist_reject(tmp_path):
    assert "settings.json" in acceptance.reason_for_raw(tmp_path)
    for digest, rejects in ((data.MNIST_DIGEST, True), ("another", False)):
        (tmp_path / "settings.json").write_text(json.dumps({"run": {"images": digest}}))
        assert (acceptance.reason_for_raw(tmp_path) is None) == rejects


def test_the_pretrained_calibration_is_that_of_its_weights():
    folder = REPOSITORY / "checkpoints" / runs.PRETRAINED
    from evaluation.classifier import DigitClassifier

    arrays = read_npz(folder / "acceptance.npz")
    generator = load_generator(snapshots.load_snapshot(folder, "latest"))
    expected = f"{weights_sha256(generator)} {DigitClassifier().sha256}"
    assert str(arrays["origin"]) == expected
