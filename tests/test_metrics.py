"""The scores' formulas: against other packages, closed forms, and digits spoilt on purpose."""

import metrics
import numpy as np
import prdc
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.stats
import scores
from sklearn.metrics.pairwise import polynomial_kernel

from config import UserError

random = np.random.default_rng(0)


def gaussian(num, dim=8, seed=0):
    """Features with correlated columns of unlike sizes."""
    source = np.random.default_rng(seed)
    return source.normal(size=(num, dim)) @ source.normal(size=(dim, dim)) + source.normal(size=dim)


def test_fid_agrees_with_scipy_s_matrix_root():
    a, b = gaussian(500, seed=1), gaussian(400, seed=2)
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() - 2 * np.trace(root)
    expected += np.trace(np.cov(a, rowvar=False)) + np.trace(np.cov(b, rowvar=False))
    found = metrics.fid(metrics.moments(a), metrics.moments(b))
    assert found == pytest.approx(expected, rel=1e-9)
    assert found == pytest.approx(metrics.fid(*map(metrics.moments, (b, a))), rel=1e-9)


def test_fid_of_known_gaussians():
    one = metrics.Moments(np.zeros(3), np.diag([1.0, 4.0, 0.0]))
    assert metrics.fid(one, one) == pytest.approx(0, abs=1e-12)
    shifted = one._replace(mean=np.array([3.0, 0, 4]))
    assert metrics.fid(one, shifted) == pytest.approx(25)
    wider = metrics.Moments(np.zeros(3), np.diag([9.0, 1.0, 0.0]))  # (3 - 1)^2 + (1 - 2)^2
    assert metrics.fid(one, wider) == pytest.approx(5)


def test_fid_of_fewer_digits_than_features():
    few = metrics.moments(gaussian(5, dim=40))
    assert metrics.fid(few, few) == pytest.approx(0, abs=1e-6)


def test_kid_agrees_with_scikit_learn_s_kernel():
    a, b = gaussian(300, seed=1), gaussian(200, seed=2)
    xx, yy, xy = (
        polynomial_kernel(*pair, degree=3, gamma=1 / 8, coef0=1)
        for pair in ((a, a), (b, b), (a, b))
    )
    expected = (xx.sum() - np.trace(xx)) / (300 * 299) + (yy.sum() - np.trace(yy)) / (200 * 199)
    expected -= 2 * xy.mean()
    assert metrics.kid(a, b)[0] == pytest.approx(expected, rel=1e-4)


def test_kid_is_unbiased_and_knows_its_error():
    found = [
        metrics.kid(*np.random.default_rng(seed).normal(size=(2, 200, 4))) for seed in range(100)
    ]
    values, errors = np.transpose(found)
    assert min(values) < 0 and abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(100)
    assert 1 < np.mean(errors) / np.std(values) < 2


@pytest.mark.parametrize("k", [1, 5])
def test_precision_and_its_kin_agree_with_prdc(k, monkeypatch):
    monkeypatch.setattr(metrics, "CHUNK_BYTES", 50_000)  # several chunks
    reference, features = gaussian(400, seed=1), gaussian(300, seed=1)[::-1] * 1.1
    expected = prdc.compute_prdc(reference, features, nearest_k=k)
    found = metrics.prdc(features, reference, k)._asdict()
    assert found.pop("densities").mean() == pytest.approx(found["density"])
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0 < found["precision"] < 1 and 0 < found["coverage"] < 1


def test_nearest_neighbours():
    a, b = gaussian(90, seed=1), gaussian(70, seed=2)
    table = np.linalg.norm(a[:, None] - b, axis=2)
    distances, indices = metrics.nearest(a, b)
    np.testing.assert_array_equal(indices, table.argmin(1))
    np.testing.assert_allclose(distances, table.min(1), rtol=1e-4)
    assert metrics.nearest(a, a)[0].max() < 0.01


def test_ranks_agree_with_scipy_s_mann_whitney():
    a, b = random.integers(0, 30, 50), random.integers(0, 35, 60)  # with ties
    u = scipy.stats.mannwhitneyu(a, b).statistic
    expected = (u - 50 * 60 / 2) / np.sqrt(50 * 60 * 111 / 12)
    assert metrics.rank_z(a, b) == pytest.approx(expected)
    assert metrics.rank_z(b * 1.0, a * 1.0) == pytest.approx(-expected)


def test_inception_score_confidence_and_shares():
    sure = np.eye(10)
    assert metrics.inception_score(sure) == pytest.approx(10)
    assert metrics.inception_score(np.full((7, 10), 0.1)) == pytest.approx(1)
    assert metrics.confidence(np.concatenate([sure, np.full((10, 10), 0.1)])) == pytest.approx(0.55)
    np.testing.assert_array_equal(
        metrics.digit_shares(sure[[3, 3, 5, 9]])[[3, 5, 8]], [0.5, 0.25, 0]
    )


@pytest.mark.parametrize(
    "call, needed",
    [
        (lambda x: metrics.moments(x[:1]), "2"),
        (lambda x: metrics.fid_infinity(x[:100], metrics.moments(x)), "128"),
        (lambda x: metrics.kid(x[:199], x), "200"),
        (lambda x: metrics.prdc(x[:5], x), "6"),
        (lambda x: metrics.copying_z(x[:9, 0], x[:9, 0], x[:9, 0], x[:9, 0]), "200"),
    ],
)
def test_too_few_digits_are_refused_with_the_number_needed(call, needed):
    with pytest.raises(UserError, match=f"at least {needed} digits"):
        call(gaussian(3000))


# From here on with real digits, as the shipped classifier sees them.


def test_extrapolation_takes_the_bias_of_few_digits_away(judged):
    training, test = (metrics.moments(digits.features) for digits in judged[1:])
    plain = metrics.fid(training, test)  # from 60,000
    chosen = np.random.default_rng(0).permutation(60_000)[:5000]  # writers come in turn in MNIST
    few = judged[1].features[chosen]
    value, error = metrics.fid_infinity(few, test)
    biased = metrics.fid(metrics.moments(few), test)
    assert abs(value - plain) < 2 * error
    assert abs(value - plain) < abs(biased - plain)


@pytest.fixture(scope="module")
def held_out(judged):
    """2,000 and 5,000 test digits chosen at random, and 20,000 training digits."""
    chosen = np.random.default_rng(0).permutation(10_000)
    return (
        judged[2].take(chosen[:2000]),
        judged[2].take(chosen[2000:7000]),
        judged[1].take(slice(20_000)),
    )


@pytest.fixture(scope="module")
def spoilt(judged, held_out):
    """Scores of real digits, and of such digits spoilt in one way each."""
    honest, rest, _ = held_out
    source = np.random.default_rng(0)
    pixels = honest.pixels.astype(np.float32)
    others = judged[2].pixels[np.argmax(judged[2].probabilities, 1) != 7]
    ways = {
        "honest": pixels,
        "blurred": scipy.ndimage.gaussian_filter(pixels, (0, 1, 1)),
        "noised": pixels + source.normal(0, 40, pixels.shape),
        "shifted": np.roll(pixels, (3, 3), (1, 2)),
        "dropped": others[source.permutation(len(others))[:2000]],
        "collapsed": pixels[np.arange(2000) % 20] + source.normal(0, 2, pixels.shape),
    }
    found = {}
    for way, pixels in ways.items():
        digits = judged[0].predict(pixels.clip(0, 255).astype(np.uint8))
        found[way] = scores.distances("test", digits, rest)
        found[way] |= metrics.prdc(digits.features, rest.features)._asdict()
        found[way]["inception_score"] = metrics.inception_score(digits.probabilities)
        found[way]["confidence"] = metrics.confidence(digits.probabilities)
        found[way]["digit_shares"] = metrics.digit_shares(digits.probabilities)
    return found


@pytest.mark.parametrize("way", ["blurred", "noised", "shifted", "dropped", "collapsed"])
@pytest.mark.parametrize("score", ["fid_test", "fid_infinity_test", "kid_test"])
def test_distances_see_spoilt_digits(spoilt, way, score):
    honest, found = (np.ravel(spoilt[each][score])[0] for each in ("honest", way))
    assert found > 4 * abs(honest)


@pytest.mark.parametrize(
    "way, score, at_most",
    [
        ("shifted", "precision", 0.8),
        ("shifted", "density", 0.5),
        ("noised", "density", 0.8),
        ("noised", "confidence", 0.97),
        ("blurred", "recall", 0.5),
        ("dropped", "recall", 0.95),
        ("dropped", "inception_score", 0.95),
        ("collapsed", "recall", 0.1),
        ("collapsed", "coverage", 0.1),
    ],
)
def test_each_fault_is_caught_by_its_score(spoilt, way, score, at_most):
    assert spoilt[way][score] < at_most * spoilt["honest"][score]


def test_a_missing_digit_is_seen_in_the_shares(spoilt):
    assert min(spoilt["honest"]["digit_shares"]) > 0.07
    assert np.argmin(spoilt["dropped"]["digit_shares"]) == 7
    assert spoilt["dropped"]["digit_shares"][7] < 0.005


def test_copies_are_flagged_and_held_out_digits_are_not(held_out):
    honest, rest, training = held_out
    copied, innocent = (
        scores.copying(digits, rest, training)
        for digits in (training.take(slice(None, None, 10)), honest)
    )
    for space in ("pixels", "features"):
        assert copied[f"copying_z_{space}"] < -10 and innocent[f"copying_z_{space}"] > -3
        # 20,000 of the 25,000 real digits are training digits, but a writer's are all in one set.
        assert copied[f"nearest_is_training_{space}"] > 0.99
        assert 0.7 < innocent[f"nearest_is_training_{space}"] < 0.85
    for digits in (training.take(slice(None, None, 10)), honest):  # to which the rest is blind
        assert metrics.prdc(digits.features, rest.features).precision > 0.9
