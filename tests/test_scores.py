"""Which images are compared with which."""

import numpy as np
import pytest

from evaluation import ink, metrics, scores
from evaluation.scores import TrainingScore


@pytest.fixture(scope="module")
def split(test_predictions):
    """Real images in three sets: 2,000 taken as generated, 5,000 and 2,500 to compare with."""
    chosen = np.random.default_rng(0).permutation(10_000)
    return [test_predictions.take(chosen[a:b]) for a, b in ((0, 2000), (2000, 7000), (7000, 9500))]


@pytest.fixture(scope="module")
def scored(split):
    """Their scores, and the density of each image."""
    return scores.score(*split)


def test_real_images_score_as_the_baseline(split, scored):
    found, densities = scored
    baseline = scores.real_baseline(2000, *split[1:])
    assert found.keys() == baseline.keys() and densities.shape == (2000,)
    for name in ("precision", "recall", "density", "coverage", "confidence", "inception_score"):
        assert found[name] == pytest.approx(baseline[name], rel=0.1)
    for name in ("fid_training", "fid_test"):
        assert found[name] < 2 * baseline[name] < 4 * found[name]
    assert min(found[f"copying_z_{space}"] for space in ("pixels", "features")) > -3


def test_each_score_is_its_formula_of_the_right_images(split, scored):
    generated, training, test = split
    found, densities = scored
    for name, reference in (("training", training), ("test", test)):
        moments = metrics.moments(reference.features)
        expected = metrics.fid(metrics.moments(generated.features), moments)
        assert found[f"fid_{name}"] == pytest.approx(expected)
    assert found["kid_test"] == metrics.kid(generated.features, test.features)
    prdc, expected = metrics.prdc(generated.features, test.features)
    assert (found["precision"], found["recall"]) == (prdc["precision"], prdc["recall"])
    np.testing.assert_array_equal(densities, expected)
    assert [found[name] for name in ink.NAMES] == [*ink.measure_pixels(generated.pixels).mean(0)]


def test_the_score_in_training_is_fid_and_the_rarest_digits_share(mnist, classifier):
    training, generated = mnist["x_train"][:1000], mnist["x_test"][:600]
    fid, rarest, *strokes = TrainingScore(training).score(generated)
    real, ours = (classifier.predict(pixels) for pixels in (training, generated))
    expected = metrics.fid(*(metrics.moments(each.features) for each in (ours, real)))
    assert fid == pytest.approx(expected, rel=1e-4)
    assert 0.5 < rarest <= 1
    means = [ink.measure_pixels(each).mean(0) for each in (generated, training)]
    np.testing.assert_allclose(strokes, means[0] / means[1], rtol=0.05)
    shares = metrics.digit_shares(ours.probabilities)
    without_rarest = generated[np.argmax(ours.probabilities, 1) != np.argmin(shares)]
    assert TrainingScore(training).score(without_rarest)[1] == 0
