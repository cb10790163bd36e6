"""Clusters of the training images, found without labels: what the discrete codes should draw."""

import numpy as np

COMPONENTS = 32  # principal components in which images are compared
SAMPLE = 20_000  # images that the first centres are fitted to
CHUNK = 10_000  # images whose distances to all centres are computed at once


def find_clusters(images, num_clusters, seed):
    """The cluster of each of the images, uint8 (N, 28, 28): int64 (N,), a function of the seed.

    Balanced k-means: a price on each cluster, added to squared distances, is raised while the
    cluster has more than its share of the images, and lowered while it has less. Needs at least
    as many images as clusters.
    """
    features = features_of(images)
    random = np.random.default_rng(seed)
    sample = features[random.permutation(len(features))[:SAMPLE]]
    centres = sample[:num_clusters]
    for _ in range(12):  # plain k-means, to begin with
        centres = means(sample, nearest(sample, centres), centres)
    prices = np.zeros(num_clusters, np.float32)
    scale = np.median(((features - centres[nearest(features, centres)]) ** 2).sum(1))
    for turn in range(10):
        for adjustment in range(40):
            clusters = nearest(features, centres, prices)
            sizes = np.bincount(clusters, minlength=num_clusters)
            excess = np.clip(sizes * (num_clusters / len(features)) - 1, -0.5, 0.5)
            step = scale * (0.1 if turn else 0.2) / (1 + 0.1 * adjustment)
            prices += (step * excess).astype(np.float32)
        centres = means(features, clusters, centres)
    return clusters.astype(np.int64)


def nearest(features, centres, prices=0.0):
    """Which of the centres (K, d) is nearest to each of the features (N, d), prices included."""
    offsets = (centres**2).sum(1) + prices
    chunks = (features[i : i + CHUNK] for i in range(0, len(features), CHUNK))
    return np.concatenate([(offsets - 2 * chunk @ centres.T).argmin(1) for chunk in chunks])


def means(features, clusters, centres):
    """The mean feature of each cluster; an empty one keeps its centre."""
    members = np.eye(len(centres), dtype=np.float32)[clusters]
    sizes = members.sum(0)[:, None]
    return np.where(sizes, members.T @ features / np.maximum(sizes, 1), centres)


def features_of(images):
    """The first 32 principal components of images, uint8 (N, 28, 28): float32 (N, 32).

    Images are deskewed first if the components then explain more of their variance, as those of
    handwriting do.
    """
    plain = images / np.float32(255)
    parts = [deskew(plain[i : i + CHUNK]) for i in range(0, len(plain), CHUNK)]
    candidates = [principal_components(each) for each in (plain, np.concatenate(parts))]
    features, _ = max(candidates, key=lambda candidate: candidate[1])
    return features


def principal_components(images):
    """Images (N, 28, 28) in their principal components, and the share of variance in these."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(0)
    variances, directions = np.linalg.eigh(flat.T @ flat)
    share = variances[-COMPONENTS:].sum() / max(variances.sum(), 1e-9)
    return flat @ directions[:, -COMPONENTS:], share


def deskew(images):
    """Images, float32 (N, 28, 28) with 0 as background, sheared until they stand upright.

    Each row moves sideways so that the horizontal and the vertical position of the ink are
    uncorrelated, and its centre of mass is that of the image.
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
