"""Random numbers as a function of (seed, purpose, index): nothing keeps a hidden random state."""

import math

import numpy as np
import tensorflow as tf

TRAINING, SAMPLING, DROPOUT, ACCEPTANCE = range(4)  # purposes
BLOCK = 100  # samples that share one draw of noise, and are computed together


def random_key(purpose, seed, index):
    """The Philox key, int64 (2,), of one draw of random numbers."""
    return tf.stack([tf.cast(seed, tf.int64) + (purpose << 32), tf.cast(index, tf.int64)])


def normal_noise(purpose, seed, index, shape):
    """Standard normal noise, float32 of the given shape."""
    return tf.random.stateless_normal(shape, random_key(purpose, seed, index), alg="philox")


def box_muller_noise(purpose, seed, index, shape):
    """normal_noise to within 1e-5, also under XLA, whose own normal numbers of a key are others.

    Applies TensorFlow's transform (Box & Muller 1958) to the same random words.
    """
    count, key = math.prod(shape), random_key(purpose, seed, index)
    words = tf.random.stateless_uniform(
        [count + count % 2], key, None, None, tf.int32, alg="philox"
    )
    from_1_to_2 = tf.bitcast((words & 0x7FFFFF) | (127 << 23), tf.float32)
    uniform = tf.reshape(from_1_to_2 - 1, [-1, 2])
    radius = tf.sqrt(-2 * tf.math.log(tf.maximum(uniform[:, 0], 1e-7)))
    angle = 2 * math.pi * uniform[:, 1]
    pairs = tf.stack([tf.sin(angle) * radius, tf.cos(angle) * radius], 1)
    return tf.reshape(tf.reshape(pairs, [-1])[:count], shape)


def acceptance_noise(seed, block):
    """Uniform numbers from 0 to 1, float32 (BLOCK,): one for each sample of a block of a seed."""
    key = random_key(ACCEPTANCE, seed, block)
    return tf.random.stateless_uniform([BLOCK], key, alg="philox").numpy()


@tf.function(input_signature=[tf.TensorSpec([], tf.int64)] * 3)  # 3 times as fast as without
def noise_of_block(seed, block, dim):
    """The noise of the samples of a block of a seed: float32 (BLOCK, dim)."""
    return normal_noise(SAMPLING, seed, block, [BLOCK, dim])


def sample_noise(seed, indices, dim):
    """The noise of samples `indices`, int (N,), of a seed: float32 (N, dim)."""
    blocks, places = np.divmod(np.asarray(indices), BLOCK)
    noise = {block: noise_of_block(seed, block, dim).numpy() for block in np.unique(blocks)}
    return np.stack([noise[block][place] for block, place in zip(blocks, places)])


def with_code(z, code, bias):
    """Noise (N, dim) with this code, as layers.DiscreteCode with this bias (K,) reads it.

    The largest of its first K numbers, plus the bias, is swapped into the place of the code.
    """
    rows, z = np.arange(len(z)), z.copy()
    numbers = z[:, : len(bias)] + bias
    largest = numbers.argmax(1)
    numbers[rows, largest], numbers[rows, code] = numbers[rows, code], numbers[rows, largest]
    z[:, : len(bias)] = numbers - bias
    return z
