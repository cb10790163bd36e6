"""The metrics' formulas: pure functions of arrays, in float64 where sums decide.

`features` are float (N, dim), one row a digit; distances between features are Euclidean. Each
function raises UserError when it is given fewer digits than it needs.
"""

from typing import NamedTuple

import numpy as np

from cli import UserError

CHUNK_BYTES = 64 << 20  # of a distance matrix that is held at a time
FEWEST = 2000  # digits that all the scores together need
SPLITS = (1, 2, 4, 8)  # numbers of subsets for the fit of FID∞


class Moments(NamedTuple):
    """Mean (dim,) and unbiased covariance (dim, dim) of features, float64."""

    mean: np.ndarray
    covariance: np.ndarray


def require(num, needed, what):
    """Raise UserError unless there are as many digits as needed."""
    if num < needed:
        raise UserError(f"{what} needs at least {needed:,} digits, got {num:,}")


def moments(features):
    """Moments of features (N, dim), N at least 2."""
    require(len(features), 2, "FID")
    features = np.asarray(features, np.float64)
    return Moments(features.mean(0), np.atleast_2d(np.cov(features, rowvar=False)))


def fid(a, b):
    """Squared Fréchet distance of two Gaussians with these Moments (Dowson & Landau 1982).

    |m - n|^2 + tr(A + B - 2 (A B)^(1/2)), the score of Heusel et al. 2017. The eigenvalues of A B
    are those of the symmetric A^(1/2) B A^(1/2), so singular covariances do no harm.
    """
    eigenvalues, axes = np.linalg.eigh(a.covariance)
    root = axes * np.sqrt(np.maximum(eigenvalues, 0)) @ axes.T
    products = np.linalg.eigvalsh(root @ b.covariance @ root)
    overlap = np.sqrt(np.maximum(products, 0)).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return float(max(0, np.sum((a.mean - b.mean) ** 2) + spread))


def fid_infinity(features, reference):
    """FID to `reference`, Moments, extrapolated to infinitely many samples: (value, error).

    With N samples FID is too large by about c / N (Chong & Forsyth 2020): fitted here to the mean
    distances of halves, quarters and eighths of the digits, and continued to 1 / N = 0. `error` is
    the standard error of the value, by a jackknife over twenty parts.
    """
    require(len(features), 16 * features.shape[1], "FID∞")

    def extrapolate(features):
        sizes, distances = [], []
        for parts in SPLITS:
            dealt = [moments(features[part::parts]) for part in range(parts)]
            sizes.append(len(features) / parts)
            distances.append(np.mean([fid(each, reference) for each in dealt]))
        return np.polyfit(1 / np.array(sizes), distances, 1)[1]

    parts = np.arange(len(features)) % 20
    without = [extrapolate(features[parts != part]) for part in range(20)]
    return float(extrapolate(features)), float(np.sqrt(19 * np.var(without)))


def kid(a, b, parts=10, most=10_000):
    """KID of features (N, dim) and (M, dim), unbiased: (value, error).

    The maximum mean discrepancy of Gretton et al. 2012 with the kernel (x y / dim + 1)^3 of
    Bińkowski et al. 2018, over all pairs of at most `most` digits of each set, chosen at random but
    always the same. `error` is its standard error, by a jackknife over `parts` parts of both sets,
    which near 0 is up to twice too large. The value may fall below 0.
    """
    require(min(len(a), len(b)), 20 * parts, "KID")
    random = np.random.Generator(np.random.Philox(key=[0, 0]))

    def deal(features):
        num = min(len(features), most) // parts * parts
        chosen = features[random.permutation(len(features))[:num]]
        return np.asarray(chosen, np.float32).reshape(parts, -1, features.shape[1])

    def kernel_sums(x, y):
        """The sum of the kernel over the pairs of each two parts, without pairs of a digit."""
        sums = np.empty((parts, parts))
        for i, part in enumerate(x):
            kernel = (part @ y.reshape(-1, y.shape[2]).T / y.shape[2] + 1) ** 3
            sums[i] = kernel.reshape(len(part), parts, -1).sum((0, 2), np.float64)
            if x is y:
                sums[i, i] -= ((np.einsum("nd,nd->n", part, part) / y.shape[2] + 1) ** 3).sum()
        return sums

    def distance(kept):
        n, m = len(kept) * x.shape[1], len(kept) * y.shape[1]
        within_x, within_y, across = (each[np.ix_(kept, kept)].sum() for each in sums)
        return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * across / (n * m)

    x, y = deal(a), deal(b)
    sums = kernel_sums(x, x), kernel_sums(y, y), kernel_sums(x, y)
    without = [distance(np.delete(np.arange(parts), part)) for part in range(parts)]
    return float(distance(np.arange(parts))), float(np.sqrt((parts - 1) * np.var(without)))


def squared_distances(a, b):
    """Squared distances between rows of (N, dim) and (M, dim), a chunk of a's rows at a time.

    Yields (slice of rows, float32 (rows, M)).
    """
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    lengths = np.einsum("nd,nd->n", b, b)
    size = max(1, CHUNK_BYTES // (4 * len(b)))
    for first in range(0, len(a), size):
        rows = slice(first, first + size)
        table = a[rows] @ b.T
        table *= -2
        table += lengths
        table += np.einsum("nd,nd->n", a[rows], a[rows])[:, None]
        yield rows, np.maximum(table, 0, out=table)


def nearest(a, b):
    """For each row of a (N, dim) the nearest of b (M, dim): (distances, indices), both (N,)."""
    distances, indices = np.empty(len(a), np.float32), np.empty(len(a), np.int64)
    for rows, table in squared_distances(a, b):
        indices[rows] = table.argmin(1)
        distances[rows] = np.sqrt(table.min(1))
    return distances, indices


def squared_radii(features, k):
    """Squared distance from each digit to its k-th nearest other: float32 (N,)."""
    radii = np.empty(len(features), np.float32)
    for rows, table in squared_distances(features, features):
        table.partition(k, axis=1)  # place 0 is the digit itself
        radii[rows] = table[:, k]
    return radii


def prdc(features, reference, k=5):
    """How digits and reference digits, (N, dim) and (M, dim), lie among each other.

    A digit's ball reaches to its k-th nearest neighbour in its own set. Precision: digits within
    any reference ball; recall: reference digits within any ball of ours (Kynkäänniemi et al.
    2019). Density: in how many reference balls a digit lies, over k; coverage: reference balls
    that hold a digit (Naeem et al. 2020). All from 0 to 1, except the density. Returns them by
    name, and the density of each digit, float (N,).
    """
    require(min(len(features), len(reference)), k + 1, "precision and recall")
    own_radii, reference_radii = squared_radii(features, k), squared_radii(reference, k)
    densities = np.empty(len(features))
    recalled, covered = np.zeros(len(reference), bool), np.zeros(len(reference), bool)
    for rows, table in squared_distances(features, reference):
        inside = table < reference_radii
        densities[rows] = inside.sum(1) / k
        covered |= inside.any(0)
        recalled |= (table < own_radii[rows, None]).any(0)
    scores = {
        "precision": float((densities > 0).mean()),
        "recall": float(recalled.mean()),
        "density": float(densities.mean()),
        "coverage": float(covered.mean()),
    }
    return scores, densities


def inception_score(probabilities):
    """exp of the mean KL(p(digit | image) || p(digit)), from 1 to 10 (Salimans et al. 2016).

    `probabilities` is float (N, 10), each row's sum 1.
    """
    p = np.asarray(probabilities, np.float64)
    tiny = np.finfo(np.float64).tiny
    divergences = p * (np.log(p + tiny) - np.log(p.mean(0) + tiny))
    return float(np.exp(divergences.sum(1).mean()))


def confidence(probabilities):
    """Mean probability of the likeliest digit, 0.1 to 1; probabilities (N, 10)."""
    return float(np.max(probabilities, 1).mean(dtype=np.float64))


def digit_shares(probabilities):
    """Share of images that are likeliest each digit, float (10,); probabilities (N, 10)."""
    return np.bincount(np.argmax(probabilities, 1), minlength=10) / len(probabilities)


def rank_z(a, b):
    """Mann & Whitney's U of numbers (N,) against (M,), standardised: below 0 if a's are smaller."""
    ordered = np.sort(b)
    below = (np.searchsorted(ordered, a, "left") + np.searchsorted(ordered, a, "right")) / 2
    n, m = len(a), len(b)
    return float((below.sum() - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def copying_z(distances, held_out_distances, cells, held_out_cells, fewest=20):
    """Data-copying test C_T (Meehan et al. 2020): below about -3 the digits copy training digits.

    Compares how far generated and held-out digits, (N,) and (M,), are from their nearest training
    digit, within each cell of the space, whole numbers (N,) and (M,): here the digit that each
    looks like. The mean of the cells' z, weighted by held-out digits, over cells with at least
    `fewest` of both. About 0 where generated digits are held-out ones; above 0 they are farther.
    """
    scores, weights = [], []
    for cell in np.unique(held_out_cells):
        ours, theirs = distances[cells == cell], held_out_distances[held_out_cells == cell]
        if min(len(ours), len(theirs)) >= fewest:
            scores.append(rank_z(ours, theirs))
            weights.append(len(theirs))
    if not scores:
        raise UserError(f"the copying test needs {fewest} digits of one kind in both sets")
    return float(np.average(scores, weights=weights))
