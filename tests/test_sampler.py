"""A seed names images: sample i is the same alone, in a batch, tomorrow."""

import keras
import numpy as np
import pytest

import data
from layers import Dense, DiscreteCode
from models import build_generator
from sampling.randomness import BLOCK, codes_of, sample_noise
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


def draw(sampler, num, seed):
    """The first samples of a seed, uint8 (num, 28, 28)."""
    return np.concatenate([*sampler.sample(num, seed)])


def test_a_sample_does_not_depend_on_its_neighbours(sampler):
    few, many = draw(sampler, 3, 5), draw(sampler, 2 * BLOCK + 7, 5)
    assert few.shape == (3, 28, 28) and many.shape == (2 * BLOCK + 7, 28, 28)
    assert few.dtype == np.uint8
    np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_array_equal(many, draw(sampler, 2 * BLOCK + 7, 5))
    assert len(np.unique(many, axis=0)) == len(many)
    assert (few != draw(sampler, 3, 6)).any()


def test_the_noise_of_a_sample_draws_it(sampler):
    latents = sampler.latents(sampler.noise(0, [203, 7, 100]))
    decoded = np.concatenate([*sampler.decode(latents)])
    np.testing.assert_array_equal(decoded, draw(sampler, 250, 0)[[203, 7, 100]])
    assert [len(block) for block in sampler.decode(np.zeros((250, 9), np.float32))] == [
        100,
        100,
        50,
    ]


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


def test_latents_are_what_the_generator_makes_of_noise(sampler):
    z = sample_noise(0, range(50), 9)
    latents = sampler.latents(z)
    np.testing.assert_array_equal(latents[:, 3:], z[:, 3:])
    assert (np.sort(latents[:, :3], 1) == [0, 0, 6]).all()
    np.testing.assert_array_equal(latents[:, :3].argmax(1), codes_of(z, 3))


def test_a_sampler_of_one_code_keeps_the_rest_of_the_noise(sampler, generator):
    for code in range(3):
        chosen = Sampler(generator, code=code)
        z = chosen.noise(0, range(300))
        assert (codes_of(z, 3) == code).all()
        np.testing.assert_array_equal(z[:, 3:], sampler.noise(0, range(300))[:, 3:])
        own = codes_of(sampler.noise(0, range(300)), 3) == code
        assert 60 < own.sum() < 140
        np.testing.assert_array_equal(draw(chosen, 300, 0)[own], draw(sampler, 300, 0)[own])


def test_sampling_does_not_change_the_generator(sampler, generator):
    before = generator.get_weights()
    draw(sampler, 3, 5)
    for old, new in zip(before, generator.get_weights()):
        np.testing.assert_array_equal(old, new)
