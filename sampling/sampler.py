"""Images from noise: sample i of a seed is the same image whatever the batch size."""

import keras
import numpy as np
import tensorflow as tf

import data
from cli import UserError
from sampling.randomness import BLOCK, sample_noise, with_code


class Sampler:
    """Draws with a generator.

    The noise of `sample` and `noise`, except the numbers that choose the code, is multiplied by
    `noise_scale`; if `code` is given, it has that code. Images are always computed in batches of
    BLOCK, so that the bits of one do not depend on how many are requested. Raises UserError if the
    generator bypasses its layer `code`.
    """

    def __init__(self, generator, noise_scale=1.0, code=None):
        self.generator, self.noise_scale, self.code = generator, noise_scale, code
        self.noise_dim = generator.input_shape[1]
        self.code_layer = generator.get_layer("code")
        self.num_codes = self.code_layer.num_codes
        self.code_bias = self.code_layer.bias.numpy() if self.num_codes else np.zeros(0)
        # The generator from the code on; it may have branches.
        try:
            self.decoder = keras.Model(self.code_layer.output, generator.outputs[0])
        except ValueError as error:
            raise UserError(
                "models.py: build_generator bypasses its layer `code`; connect to the output of "
                "`code`, not to the noise"
            ) from error

    def sample(self, num_samples, seed):
        """Yield the first samples of the seed, uint8 (at most BLOCK, 28, 28) at a time."""
        for first in range(0, num_samples, BLOCK):
            z = self.noise(seed, range(first, min(first + BLOCK, num_samples)))
            yield from self.decode(self.latents(z))

    def noise(self, seed, indices):
        """The noise of samples `indices`, int (N,), of a seed: float32 (N, noise_dim)."""
        z = sample_noise(seed, indices, self.noise_dim)
        z[:, self.num_codes :] *= np.float32(self.noise_scale)
        return z if self.code is None else with_code(z, self.code, self.code_bias)

    def latents(self, z):
        """Noise (N, noise_dim) with the code in place of its first numbers, float32 (N, dim)."""
        return self.code_layer(z).numpy()

    def decode(self, latents):
        """Yield the images of latents (N, dim), uint8 (at most BLOCK, 28, 28) at a time."""
        for first in range(0, len(latents), BLOCK):
            rows = latents[first : first + BLOCK]
            padded = np.pad(rows, ((0, BLOCK - len(rows)), (0, 0)))
            yield data.to_pixels(self.decode_block(tf.constant(padded)).numpy()[: len(rows)])

    @tf.function
    def decode_block(self, latents):
        """Images of latents (BLOCK, dim), float32 (BLOCK, 28, 28) in [-1, 1]."""
        return self.decoder(latents, training=False)[..., 0]
