"""Clusters: alike within, of similar sizes, a function of the images and the seed."""

import numpy as np

from training.clusters import deskew, find_clusters


def test_clusters_are_mostly_of_one_digit_and_none_is_small(mnist):
    images, labels = mnist["x_train"][:5000], mnist["y_train"][:5000]
    clusters = find_clusters(images, 20, seed=0)
    sizes = np.bincount(clusters, minlength=20)
    assert clusters.dtype == np.int64 and sizes.min() > 80 and sizes.max() < 600
    commonest = [np.bincount(labels[clusters == number]).max() for number in range(20)]
    assert sum(commonest) > 0.85 * len(images)  # by chance about 0.13


def test_clusters_are_a_function_of_the_images_and_the_seed(digits):
    first = find_clusters(digits, 8, seed=0)
    np.testing.assert_array_equal(find_clusters(digits, 8, seed=0), first)
    assert (find_clusters(digits, 8, seed=1) != first).any()
    assert (find_clusters(digits[::-1], 8, seed=0) != first).any()


def test_any_images_have_clusters():
    """Blank ones, equal ones, as many as clusters."""
    images = np.zeros((6, 28, 28), np.uint8)
    images[3:] = 255
    clusters = find_clusters(images, 6, seed=0)
    assert ((clusters >= 0) & (clusters < 6)).all()


def test_a_slanted_stroke_is_put_upright():
    upright, slanted = np.zeros((2, 28, 28), np.float32)
    upright[4:24, 13:15] = 1
    for row in range(4, 24):
        slanted[row, 13 + (14 - row) // 2 : 15 + (14 - row) // 2] = 1
    found = deskew(np.stack([upright, slanted]))
    np.testing.assert_allclose(found[0], upright, atol=1e-5)
    ink = found[1, 4:24]
    assert (ink[:, 12:16].sum(1) > 1.9).all()  # slanted it spans eleven columns
