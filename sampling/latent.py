"""The latent space: paths and grids through it, and the noise whose image is nearest to a picture.

Normal noise of many dimensions lies near a sphere of radius sqrt(dim), and all paths stay near it.
"""

import keras
import numpy as np
import tensorflow as tf

import data
from sampling.randomness import sample_noise
from sampling.sampler import Sampler

CANDIDATES = 2000  # samples of the seed among which `project` looks for a start
STARTS = 16  # the nearest of them, where the search starts


def slerp(a, b, t):
    """From noise a to b, (..., dim), for t (...) from 0 to 1, along a great circle.

    Shoemake 1985; the length changes evenly from that of a to that of b.
    """
    t = np.asarray(t, np.float64)[..., None]
    lengths = [np.linalg.norm(each, axis=-1, keepdims=True) for each in (a, b)]
    cosine = np.sum(a / lengths[0] * b / lengths[1], axis=-1, keepdims=True).clip(-1, 1)
    angle = np.maximum(np.arccos(cosine), 1e-6)
    way = np.sin((1 - t) * angle) * a / lengths[0] + np.sin(t * angle) * b / lengths[1]
    return way / np.sin(angle) * ((1 - t) * lengths[0] + t * lengths[1])


def path_by_parts(path, latents, num_codes, *arguments):
    """Apply `path` to the code and to the rest of latents (N, dim), so that each keeps its length.

    `path` is `closed_path` or `grid`; `arguments` are its frames or size.
    """
    parts = [part for part in np.split(latents, [num_codes], axis=1) if part.size]
    return np.concatenate([path(part, *arguments) for part in parts], axis=1)


def closed_path(anchors, frames):
    """A smooth closed path through noise (N, dim), N at least 2: float32 (N * frames, dim).

    A closed spline (Catmull & Rom 1974), brought back to the sphere; row i * frames is anchor i.
    """
    before, after, next_but_one = (np.roll(anchors, shift, 0) for shift in (1, -1, -2))
    t = np.arange(frames)[:, None] / frames
    weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
    around = (before, anchors, after, next_but_one)
    path = sum(w / 2 * points[:, None] for w, points in zip(weights, around))
    lengths = np.linalg.norm(anchors, axis=1)[:, None, None]
    lengths = (1 - t) * lengths + t * np.roll(lengths, -1, 0)
    path *= lengths / np.linalg.norm(path, axis=2, keepdims=True)
    return path.reshape(-1, anchors.shape[1]).astype(np.float32)


def grid(corners, size):
    """Noise between that of four corners, (4, dim), row by row: float32 (size^2, dim)."""
    t = np.linspace(0, 1, size)
    left, right = (slerp(*pair, t) for pair in (corners[[0, 2]], corners[[1, 3]]))
    rows = [slerp(a, b, t) for a, b in zip(left, right)]
    return np.concatenate(rows).astype(np.float32)


def project(generator, target, seed, steps):
    """Search for the noise whose image is nearest to `target`, uint8 (28, 28).

    Adam on the mean squared difference, from the nearest samples of the seed. Each keeps its
    discrete code, which has no gradient; its other numbers keep the length sqrt(dim - num_codes).
    Yields the best so far after each step: noise (1, dim), and its root mean square difference in
    grey levels.
    """
    dim, goal = generator.input_shape[1], tf.constant(data.to_model_range(target), tf.float32)
    num_codes = generator.get_layer("code").num_codes
    radius = (dim - num_codes) ** 0.5
    candidates = np.concatenate([*Sampler(generator).sample(CANDIDATES, seed)])
    distances = ((candidates.astype(np.float32) - target) ** 2).mean((1, 2))
    z = tf.Variable(sample_noise(seed, np.argsort(distances)[:STARTS], dim))
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build([z])

    @tf.function
    def step():
        code, rest = z[:, :num_codes], z[:, num_codes:]
        rest *= radius / tf.norm(rest, axis=1, keepdims=True)
        current = tf.concat([code, rest], 1)
        with tf.GradientTape() as tape:
            tape.watch(current)
            difference = generator(current, training=False)[..., 0] - goal
            errors = tf.reduce_mean(tf.square(difference), [1, 2])
        z.assign(current)
        optimizer.apply([tape.gradient(errors, current)], [z])
        best = tf.argmin(errors)
        return current[best][None], tf.sqrt(errors[best]) * 127.5

    best, smallest = None, np.inf
    for _ in range(steps):
        found, error = (each.numpy() for each in step())
        if error < smallest:
            best, smallest = found, float(error)
        yield best, smallest
