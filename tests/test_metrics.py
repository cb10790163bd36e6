"""The metrics: against other packages, and on real digits spoilt on purpose."""

import numpy as np
import pytest

from evaluation import metrics, scores


def gaussian(num, dim=8, seed=0):
    """Features with correlated columns of unlike sizes."""
    source = np.random.default_rng(seed)
    return source.normal(size=(num, dim)) @ source.normal(size=(dim, dim)) + source.normal(size=dim)


@pytest.mark.slow
def test_other_packages_agree(monkeypatch):
    import prdc
    import scipy.linalg
    import scipy.stats
    from sklearn.metrics.pairwise import polynomial_kernel

    monkeypatch.setattr(metrics, "CHUNK_BYTES", 50_000)  # several chunks
    a, b = gaussian(500, seed=1), gaussian(400, seed=1)[::-1] * 1.1
    covariances = [np.cov(each, rowvar=False) for each in (a, b)]
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + sum(map(np.trace, covariances))
    expected -= 2 * np.trace(scipy.linalg.sqrtm(covariances[0] @ covariances[1])).real
    assert metrics.fid(*map(metrics.moments, (a, b))) == pytest.approx(expected, rel=1e-9)
    pairs = ((a, a), (b, b), (a, b))
    xx, yy, xy = (polynomial_kernel(*pair, degree=3, gamma=1 / 8, coef0=1) for pair in pairs)
    expected = (xx.sum() - np.trace(xx)) / (500 * 499) + (yy.sum() - np.trace(yy)) / (400 * 399)
    assert metrics.kid(a, b)[0] == pytest.approx(expected - 2 * xy.mean(), rel=1e-4)
    expected = prdc.compute_prdc(b, a, nearest_k=5)
    found, densities = metrics.prdc(a, b)
    assert found == pytest.approx(expected, abs=1e-12)
    assert densities.mean() == pytest.approx(found["density"])
    ranked = np.round(a[:50, 0]), np.round(b[:60, 0])  # with ties
    u = scipy.stats.mannwhitneyu(*ranked).statistic
    expected = (u - 50 * 60 / 2) / np.sqrt(50 * 60 * 111 / 12)
    assert metrics.rank_z(*ranked) == pytest.approx(expected)


def test_fid_of_known_gaussians():
    one = metrics.Moments(np.zeros(3), np.diag([1.0, 4.0, 0.0]))
    assert metrics.fid(one, one) == pytest.approx(0, abs=1e-12)
    shifted = one._replace(mean=np.array([3.0, 0, 4]))
    assert metrics.fid(one, shifted) == pytest.approx(25)
    wider = metrics.Moments(np.zeros(3), np.diag([9.0, 1.0, 0.0]))  # (3 - 1)^2 + (1 - 2)^2
    assert metrics.fid(one, wider) == pytest.approx(5)


def test_extrapolation_takes_the_bias_of_few_digits_away():
    few, many = np.split(gaussian(100_000), [400])
    reference = metrics.moments(many)
    value, error = metrics.fid_infinity(few, reference)
    biased = metrics.fid(metrics.moments(few), reference)
    assert abs(value) < min(2 * error, biased / 2)


def test_kid_is_unbiased_and_knows_its_error():
    found = [
        metrics.kid(*np.random.default_rng(seed).normal(size=(2, 200, 4))) for seed in range(100)
    ]
    values, errors = np.transpose(found)
    assert min(values) < 0 and abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(100)
    assert 1 < np.mean(errors) / np.std(values) < 2


def test_inception_score_confidence_and_shares():
    sure = np.eye(10)
    assert metrics.inception_score(sure) == pytest.approx(10)
    assert metrics.inception_score(np.full((7, 10), 0.1)) == pytest.approx(1)
    assert metrics.confidence(np.concatenate([sure, np.full((10, 10), 0.1)])) == pytest.approx(0.55)
    np.testing.assert_array_equal(
        metrics.digit_shares(sure[[3, 3, 5, 9]])[[3, 5, 8]], [0.5, 0.25, 0]
    )


@pytest.fixture(scope="module")
def held_out(test_predictions):
    """2,000 and 5,000 test images chosen at random."""
    chosen = np.random.default_rng(0).permutation(10_000)
    return test_predictions.take(chosen[:2000]), test_predictions.take(chosen[2000:7000])


def blurred(pixels):
    """Images (N, 28, 28) blurred by a binomial filter, a Gaussian of standard deviation 1."""
    for axis in (1, 2):
        for _ in range(2):
            pixels = (np.roll(pixels, 1, axis) + 2 * pixels + np.roll(pixels, -1, axis)) / 4
    return pixels


@pytest.fixture(scope="module")
def spoilt(classifier, test_predictions, held_out):
    """Scores of real digits, and of such digits spoilt in one way each."""
    honest, rest = (each.take(slice(size)) for each, size in zip(held_out, (1200, 3000)))
    source = np.random.default_rng(0)
    pixels = honest.pixels.astype(np.float32)
    others = test_predictions.pixels[np.argmax(test_predictions.probabilities, 1) != 7]
    ways = {
        "honest": pixels,
        "blurred": blurred(pixels),
        "noised": pixels + source.normal(0, 40, pixels.shape),
        "shifted": np.roll(pixels, (3, 3), (1, 2)),
        "dropped": others[source.permutation(len(others))[:1200]],
        "collapsed": pixels[np.arange(1200) % 20] + source.normal(0, 2, pixels.shape),
    }
    found = {}
    for way, pixels in ways.items():
        digits = classifier.predict(pixels.clip(0, 255).astype(np.uint8))
        found[way] = scores.distances("test", digits, rest)
        found[way] |= metrics.prdc(digits.features, rest.features)[0]
        found[way]["confidence"] = metrics.confidence(digits.probabilities)
        found[way]["rarest"] = min(metrics.digit_shares(digits.probabilities))
    return found


@pytest.mark.parametrize("way", ["blurred", "noised", "shifted", "dropped", "collapsed"])
@pytest.mark.parametrize("score", ["fid_test", "fid_infinity_test", "kid_test"])
def test_distances_see_spoilt_digits(spoilt, way, score):
    honest, found = (np.ravel(spoilt[each][score])[0] for each in ("honest", way))
    assert found > 4 * abs(honest)


@pytest.mark.parametrize(
    ("way", "score", "at_most"),
    [
        ("shifted", "precision", 0.8),
        ("noised", "density", 0.8),
        ("noised", "confidence", 0.97),
        ("blurred", "recall", 0.5),
        ("dropped", "rarest", 0.07),
        ("collapsed", "coverage", 0.1),
    ],
)
def test_each_fault_is_caught_by_its_score(spoilt, way, score, at_most):
    assert spoilt[way][score] < at_most * spoilt["honest"][score]


def test_copies_are_flagged_and_held_out_digits_are_not(mnist, classifier, held_out):
    honest, rest = held_out
    training = classifier.predict(mnist["x_train"][:5000])
    copies = training.take(slice(None, None, 2))
    copied, innocent = (scores.copying(each, rest, training) for each in (copies, honest))
    for space in ("pixels", "features"):
        assert copied[f"copying_z_{space}"] < -10 and innocent[f"copying_z_{space}"] > -3
        assert copied[f"nearest_is_training_{space}"] > 0.99
        assert 0.4 < innocent[f"nearest_is_training_{space}"] < 0.6
