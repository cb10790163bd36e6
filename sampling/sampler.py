"""Images from noise: sample i of a seed is the same image whatever the batch size."""

import numpy as np
import tensorflow as tf

import data
from sampling.noise import BLOCK, SAMPLING, normal_noise


class Sampler:
    """Draws with a generator; all noise is multiplied by `noise_scale`.

    Images are always computed in batches of BLOCK, so that the bits of one do not depend on how
    many are asked for.
    """

    def __init__(self, generator, noise_scale=1.0):
        self.generator, self.noise_scale = generator, noise_scale
        self.noise_dim = generator.input_shape[1]

    def sample(self, num_samples, seed):
        """Yield the first samples of the seed, uint8 (at most BLOCK, 28, 28) a time."""
        for first in range(0, num_samples, BLOCK):
            images = self.draw_block(*tf.constant([seed, first // BLOCK], tf.int64)).numpy()
            yield data.to_pixels(images[: num_samples - first])

    def decode(self, z):
        """Yield the images of noise (N, noise_dim), uint8 (at most BLOCK, 28, 28) a time."""
        for first in range(0, len(z), BLOCK):
            rows = z[first : first + BLOCK]
            padded = np.pad(rows, ((0, BLOCK - len(rows)), (0, 0)))
            yield data.to_pixels(self.generate(tf.constant(padded)).numpy()[: len(rows)])

    @tf.function
    def draw_block(self, seed, block):
        """Block number `block` of a seed, float32 (BLOCK, 28, 28) in [-1, 1]."""
        return self.generate(normal_noise(SAMPLING, seed, block, [BLOCK, self.noise_dim]))

    @tf.function
    def generate(self, z):
        """Images of noise (BLOCK, noise_dim), float32 (BLOCK, 28, 28) in [-1, 1]."""
        return self.generator(z * self.noise_scale, training=False)[..., 0]
