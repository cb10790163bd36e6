"""Around the latent space: the noise behind digits, paths and planes through it, and back to it.

Normal noise of many dimensions lies near a sphere of radius sqrt(dim), and so does all noise here.
"""

import keras
import numpy as np
import tensorflow as tf

import data
import models

CANDIDATES = 2000  # digits of the seed that `find_noise` looks through first
STARTS = 16  # of them that it begins with


def digit_noise(seed, indices, dim):
    """The noise of digits `indices`, int (N,), of a seed: float32 (N, dim)."""
    numbers, places = np.divmod(np.asarray(indices), models.BLOCK)
    blocks = {
        number: models.noise(models.DRAWING, seed, number, [models.BLOCK, dim]).numpy()
        for number in np.unique(numbers)
    }
    return np.stack([blocks[number][place] for number, place in zip(numbers, places)])


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


def loop(anchors, frames):
    """A smooth closed path through noise (N, dim), N at least 2: float32 (N frames, dim).

    A closed Catmull-Rom spline (1974), brought back to the sphere; step i frames is anchor i.
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


def plane(corners, size):
    """Noise between four digits, (4, dim), row by row: float32 (size^2, dim)."""
    t = np.linspace(0, 1, size)
    left, right = (slerp(*pair, t) for pair in (corners[[0, 2]], corners[[1, 3]]))
    rows = [slerp(a, b, t) for a, b in zip(left, right)]
    return np.concatenate(rows).astype(np.float32)


def find_noise(generator, target, seed, steps):
    """Search for the noise that draws what is nearest to `target`, uint8 (28, 28).

    Gradient descent on the mean squared difference, on the sphere, from the nearest digits of the
    seed. Yields after each step (noise (1, dim), root mean square difference in grey levels).
    """
    dim = generator.input_shape[1]
    digits = np.concatenate([*models.build_drawing(generator)(CANDIDATES, seed)])
    goal = tf.constant(data.to_model_range(target), tf.float32)
    nearest = np.argsort(((digits - goal.numpy()) ** 2).mean((1, 2)))[:STARTS]
    z = tf.Variable(digit_noise(seed, nearest, dim))
    adam = keras.optimizers.Adam(0.1)
    adam.build([z])

    @tf.function
    def step():
        here = z * (dim**0.5 / tf.norm(z, axis=1, keepdims=True))
        with tf.GradientTape() as tape:
            tape.watch(here)
            wrong = tf.square(generator(here, training=False)[..., 0] - goal)
            errors = tf.reduce_mean(wrong, [1, 2])
        z.assign(here)
        adam.apply([tape.gradient(errors, here)], [z])
        best = tf.argmin(errors)
        return here[best][None], tf.sqrt(errors[best]) * 127.5

    best, smallest = None, np.inf
    for _ in range(steps):
        found, difference = (each.numpy() for each in step())
        if difference < smallest:
            best, smallest = found, float(difference)
        yield best, smallest
