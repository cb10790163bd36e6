"""Clusters of the training images, found without labels: what the discrete codes should draw."""

import numpy as np

from evaluation.metrics import nearest, squared_distances

COMPONENTS = 64  # principal components in which images are compared
SAMPLE = 10_000  # images that make the graph of neighbours, and that centres are first fitted to
NEIGHBOURS = 10  # of an image in the graph, itself included
KEPT = 0.1  # weight of an image's own features in the average with its neighbours'
CHUNK = 2000  # images that are deskewed or described at once


def find_clusters(images, num_clusters, seed):
    """The cluster of each of the images, uint8 (N, 28, 28): int64 (N,), a function of the seed.

    k-means. While one cluster has more than twice as many images as another, the centre of the
    smallest moves into the largest. Needs at least as many images as clusters.
    """
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(images))[:SAMPLE]
    features = features_of(images)
    features = smooth(features, features[chosen])
    sample = features[chosen]
    centres = sample[:num_clusters].copy()
    for turn in range(400):
        _, clusters = nearest(sample, centres)
        centres = means(sample, clusters, centres)
        sizes = np.bincount(clusters, minlength=num_clusters)
        if turn % 4 == 3 and turn < 380 and sizes.max() > 2 * sizes.min():
            centres[sizes.argmin()] = random.choice(sample[clusters == sizes.argmax()])
    for _ in range(5):
        _, clusters = nearest(features, centres)
        centres = means(features, clusters, centres)
    return clusters.astype(np.int64)


def biases_of(shares):
    """Biases, float32 (K,), that give each of K codes its share of the samples, float (K,).

    With them, number k is the largest of K normal numbers with probability shares[k]: an integral
    over the value t of the largest. The biases are found by fixed-point iteration. A share of 0
    becomes a very small one.
    """
    shares = np.maximum(shares, 1e-3 / len(shares))
    t, step = np.linspace(-10, 10, 1001, retstep=True)
    density = np.exp(-(t**2) / 2) / np.sqrt(2 * np.pi)
    distribution = np.cumsum(density) * step
    biases = np.zeros(len(shares))
    for _ in range(100):
        at = t[:, None] - biases
        below = np.log(np.maximum(np.interp(at, t, distribution), 1e-30))
        others_below = np.exp(below.sum(1, keepdims=True) - below)
        probabilities = (np.interp(at, t, density) * others_below).sum(0) * step
        biases += 0.4 * np.log(shares / probabilities)
    return (biases - biases.mean()).astype(np.float32)


def smooth(features, sample):
    """Features (N, d), drawn towards those of similar images in the sample (M, d): (N, d).

    Images of one kind are chains of neighbours, though the ends of a chain may be far apart. So
    features are averaged over a graph of nearest neighbours, while each image keeps a tenth of its
    own (personalised PageRank, Gasteiger et al. 2019).
    """
    num = min(NEIGHBOURS, len(sample))
    of_sample, of_all = (
        np.concatenate(
            [table.argpartition(num - 1)[:, :num] for _, table in squared_distances(x, sample)]
        )
        for x in (sample, features)
    )
    smoothed = sample
    for _ in range(20):
        smoothed = (1 - KEPT) * smoothed[of_sample].mean(1) + KEPT * sample
    return (1 - KEPT) * smoothed[of_all].mean(1) + KEPT * features


def means(features, clusters, centres):
    """The mean feature of each cluster; an empty one keeps its centre."""
    members = np.eye(len(centres), dtype=np.float32)[clusters]
    sizes = members.sum(0)[:, None]
    return np.where(sizes, members.T @ features / np.maximum(sizes, 1), centres)


def features_of(images):
    """Strengths of edges in images, uint8 (N, 28, 28), as principal components: float32 (N, 64).

    Images are deskewed first if the components then explain more of the variance, as they do for
    handwriting.
    """
    plain = images / np.float32(255)
    straight = in_chunks(deskew, plain)
    candidates = [principal_components(in_chunks(edges, each)) for each in (plain, straight)]
    features, _ = max(candidates, key=lambda candidate: candidate[1])
    return features


def in_chunks(function, images):
    """The function of all images, a chunk at a time."""
    parts = (function(images[i : i + CHUNK]) for i in range(0, len(images), CHUNK))
    return np.concatenate([*parts])


def principal_components(features):
    """Features (N, d) in their first principal components, and the share of variance in these."""
    centred = features - features.mean(0)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    share = variances[-COMPONENTS:].sum() / max(variances.sum(), 1e-9)
    return centred @ directions[:, -COMPONENTS:], share


def edges(images):
    """How strong edges in four directions are around 9x9 points of images (N, 28, 28): (N, 324).

    For each direction the squared slope over the steepness, blurred with a standard deviation of
    1.5 pixels; then the square root. Similar to histograms of oriented gradients (Dalal & Triggs
    2005).
    """
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    right = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    steepness = np.hypot(down, right) + 1e-9
    places, points = np.arange(28), np.arange(1, 28, 3)
    blur = np.exp(-((places - points[:, None]) ** 2) / (2 * 1.5**2)).astype(np.float32)  # (9, 28)
    strengths = [np.maximum(0, slope) ** 2 / steepness for slope in (down, -down, right, -right)]
    blurred = blur @ np.stack(strengths, 1) @ blur.T
    return np.sqrt(blurred).reshape(len(images), -1)


def deskew(images):
    """Images, float32 (N, 28, 28) with 0 as background, sheared until they stand upright.

    Each row moves sideways so that the horizontal and the vertical position of the ink are
    uncorrelated and its centre of mass lies midway between left and right.
    """
    places = np.arange(28, dtype=np.float32)
    mass = np.maximum(images.sum((1, 2)), 1e-9)
    row = images.sum(2) @ places / mass  # of the centre of mass
    column = images.sum(1) @ places / mass
    down, right = places - row[:, None], places - column[:, None]
    variance = (images.sum(2) * down**2).sum(1)
    covariance = np.einsum("nrc,nr,nc->n", images, down, right)
    slant = covariance / np.maximum(variance, 1e-9)
    source = (slant[:, None] * down + column[:, None] - 13.5)[..., None] + places
    left = np.floor(source)
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1)))
    before, after = (
        np.take_along_axis(padded, np.clip(left + step, 0, 29).astype(int), 2) for step in (1, 2)
    )
    return before + (source - left) * (after - before)
