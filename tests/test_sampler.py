"""A seed names images: sample i is the same alone, in a batch, tomorrow."""

import keras
import numpy as np
import pytest

import data
from models import build_generator
from sampling.noise import BLOCK, sample_noise
from sampling.sampler import Sampler


@pytest.fixture(scope="module")
def generator():
    """A generator with weights large enough that no two of its images are alike."""
    keras.utils.set_random_seed(0)
    generator = build_generator(6)
    generator.set_weights([30 * weight for weight in generator.get_weights()])
    return generator


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
    z = sample_noise(0, [203, 7, 100], 6)
    decoded = np.concatenate([*sampler.decode(z)])
    np.testing.assert_array_equal(decoded, draw(sampler, 250, 0)[[203, 7, 100]])
    assert [len(block) for block in sampler.decode(np.zeros((250, 6), np.float32))] == [
        100,
        100,
        50,
    ]


def test_images_are_the_generators_in_pixels(sampler, generator):
    z = sample_noise(0, range(BLOCK), 6)
    expected = data.to_pixels(generator(z, training=False)[..., 0]).astype(int)
    found = next(sampler.sample(BLOCK, 0)).astype(int)
    assert np.abs(found - expected).max() <= 1  # compiled, the last bit may differ


def test_the_noise_scale_multiplies_the_noise(sampler, generator):
    z = sample_noise(0, range(BLOCK), 6)
    (expected,) = sampler.decode(np.float32(0.5) * z)
    half = Sampler(generator, noise_scale=0.5)
    for (found,) in (half.sample(BLOCK, 0), half.decode(z)):
        np.testing.assert_array_equal(found, expected)


def test_sampling_does_not_change_the_generator(sampler, generator):
    before = generator.get_weights()
    draw(sampler, 3, 5)
    for old, new in zip(before, generator.get_weights()):
        np.testing.assert_array_equal(old, new)
