"""The metrics: against definitions, other packages, and real digits spoilt on purpose."""

import numpy as np
import pytest

from cli import UserError
from evaluation import metrics, scores

random = np.random.default_rng(0)


def gaussian(num, dim=8, seed=0):
    """Features with correlated columns of unlike sizes."""
    source = np.random.default_rng(seed)
    return source.normal(size=(num, dim)) @ source.normal(size=(dim, dim)) + source.normal(size=dim)


@pytest.mark.slow
def test_fid_agrees_with_scipys_matrix_root():
    import scipy.linalg

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


def test_kid_is_its_double_sum():
    a, b = gaussian(60, seed=1), gaussian(40, seed=2)
    kernel = lambda x, y: (x @ y / 8 + 1) ** 3  # noqa: E731
    expected = np.mean([kernel(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j])
    expected += np.mean([kernel(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i != j])
    expected -= 2 * np.mean([kernel(x, y) for x in a for y in b])
    assert metrics.kid(a, b, parts=2)[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_kid_agrees_with_scikit_learns_kernel():
    from sklearn.metrics.pairwise import polynomial_kernel

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
def test_precision_recall_density_and_coverage_are_their_definitions(k):
    reference, features = gaussian(80, seed=1), gaussian(60, seed=1)[::-1] * 1.1
    distances = [
        [np.linalg.norm(x[:, None] - y, axis=2) for y in (features, reference)]
        for x in (features, reference)
    ]
    own_radii, reference_radii = (np.sort(distances[i][i])[:, k] for i in (0, 1))
    inside = distances[0][1] < reference_radii
    found = metrics.prdc(features, reference, k)
    assert found.precision == np.mean(inside.any(1))
    assert found.recall == np.mean((distances[0][1] < own_radii[:, None]).any(0))
    np.testing.assert_allclose(found.densities, inside.sum(1) / k)
    assert found.density == pytest.approx(inside.sum() / k / 60)
    assert found.coverage == np.mean(inside.any(0))
    assert 0 < found.precision < 1 and 0 < found.recall < 1 and 0 < found.coverage < 1


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 5])
def test_precision_and_its_kin_agree_with_prdc(k, monkeypatch):
    import prdc

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


def test_a_rank_test_counts_the_pairs_that_are_in_order():
    a, b = random.integers(0, 30, 50), random.integers(0, 35, 60)  # with ties
    u = np.sum(a[:, None] > b) + np.sum(a[:, None] == b) / 2
    expected = (u - 50 * 60 / 2) / np.sqrt(50 * 60 * 111 / 12)
    assert metrics.rank_z(a, b) == pytest.approx(expected)
    assert metrics.rank_z(b, a) == pytest.approx(-expected)


@pytest.mark.slow
def test_ranks_agree_with_scipys_mann_whitney():
    import scipy.stats

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
    ("call", "needed"),
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


@pytest.mark.slow
def test_extrapolation_takes_the_bias_of_few_digits_away(training_predictions, test_predictions):
    training, test = (
        metrics.moments(each.features) for each in (training_predictions, test_predictions)
    )
    plain = metrics.fid(training, test)  # from 60,000
    chosen = np.random.default_rng(0).permutation(60_000)[:5000]  # writers come in turn in MNIST
    few = training_predictions.features[chosen]
    value, error = metrics.fid_infinity(few, test)
    biased = metrics.fid(metrics.moments(few), test)
    assert abs(value - plain) < 2 * error
    assert abs(value - plain) < abs(biased - plain)


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
    ("way", "score", "at_most"),
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


@pytest.mark.parametrize(
    ("num", "shares"),
    [(5000, (0.4, 0.6)), pytest.param(20_000, (0.7, 0.85), marks=pytest.mark.slow)],
)
def test_copies_are_flagged_and_held_out_digits_are_not(mnist, classifier, held_out, num, shares):
    honest, rest = held_out
    training = classifier.predict(mnist["x_train"][:num])
    copies = training.take(slice(None, None, num // 2000))
    copied, innocent = (scores.copying(each, rest, training) for each in (copies, honest))
    for space in ("pixels", "features"):
        assert copied[f"copying_z_{space}"] < -10 and innocent[f"copying_z_{space}"] > -3
        # As many of the real digits are training digits, but a writer's are all in one set.
        assert copied[f"nearest_is_training_{space}"] > 0.99
        assert shares[0] < innocent[f"nearest_is_training_{space}"] < shares[1]
    for each in (copies, honest):  # to which the rest is blind
        assert metrics.prdc(each.features, rest.features).precision > 0.9
