"""Paths and grids through the latent space."""

import numpy as np

from sampling import latent

random = np.random.default_rng(0)


def test_a_path_passes_smoothly_through_its_digits_and_closes():
    anchors = random.normal(size=(5, 200))
    path = latent.closed_path(anchors, 20)
    assert path.shape == (100, 200) and path.dtype == np.float32
    np.testing.assert_allclose(path[::20], anchors, rtol=1e-5)
    lengths = np.linalg.norm(path, axis=1)
    assert lengths.min() > 12 and lengths.max() < 16.5  # near 14.1, the root of 200
    steps = np.roll(path, -1, 0) - path  # the last one leads back to the first
    turns = np.linalg.norm(np.roll(steps, -1, 0) - steps, axis=1)
    assert (turns < 0.5 * np.linalg.norm(steps, axis=1)).all()  # no corners, at the digits neither


def test_a_grid_has_its_four_digits_in_the_corners():
    corners = random.normal(size=(4, 200)).astype(np.float32)
    grid = latent.grid(corners, 10).reshape(10, 10, 200)
    for found, corner in zip((grid[0, 0], grid[0, -1], grid[-1, 0], grid[-1, -1]), corners):
        np.testing.assert_allclose(found, corner, atol=1e-5)
    assert np.linalg.norm(grid, axis=2).min() > 12
