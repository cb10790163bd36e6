"""A seed names images: sample i is the same alone, in a batch, tomorrow."""

import keras
import numpy as np
import pytest

import data
from layers import Dense, DiscreteCode
from models import build_generator
from sampling.randomness import BLOCK, sample_noise
from sampling.sampler import Sampler


@pytest.fixture(scope="module")
def generator():
    """A generator with weights large enough that no two of its images are alike."""
    keras.utils.set_random_seed(0)
    generator = build_generator(9, 3)
    generator.set_weights([30 * weight for weight in generator.get_weights()])
    return generator


def with_skip(noise_dim, num_codes):
    """A generator whose second dense layer leads past the first from the code to the image."""
    z = keras.Input((noise_dim,))
    code = DiscreteCode(num_codes, name="code")(z)
    hidden = Dense(30, name="dense")(code)
    both = keras.layers.Concatenate()([hidden, Dense(20, name="skip")(code)])
    pixels = Dense(28 * 28, activation="tanh", name="pixels")(both)
    return keras.Model(z, keras.layers.Reshape((28, 28, 1))(pixels))


@pytest.fixture(scope="module")
def sampler(generator):
    """A Sampler of that generator."""
    return Sampler(generator)


def test_the_noise_of_a_sample_draws_it(sampler):
    every = np.concatenate([*sampler.sample(250, 0)])
    latents = sampler.latents(sampler.noise(0, [203, 7, 100]))
    decoded = np.concatenate([*sampler.decode(latents)])
    np.testing.assert_array_equal(decoded, every[[203, 7, 100]])
    assert len(np.unique(every, axis=0)) == 250


@pytest.mark.parametrize(
    "make_generator", [build_generator, with_skip, lambda dim, _: build_generator(dim, 0)]
)
def test_images_are_the_generators_in_pixels(make_generator):
    generator, z = make_generator(9, 3), sample_noise(0, range(BLOCK), 9)
    generator.set_weights([10 * weight for weight in generator.get_weights()])
    expected = data.to_pixels(generator(z, training=False)[..., 0]).astype(int)
    found = next(Sampler(generator).sample(BLOCK, 0)).astype(int)
    assert np.ptp(found) > 50
    assert np.abs(found - expected).max() <= 1  # compiled, the last bit may differ


def test_the_noise_scale_multiplies_the_noise(sampler, generator):
    z = sample_noise(0, range(BLOCK), 9)
    (expected,) = sampler.decode(sampler.latents(np.float32(0.5) * z))
    (found,) = Sampler(generator, noise_scale=0.5).sample(BLOCK, 0)
    np.testing.assert_array_equal(found, expected)
