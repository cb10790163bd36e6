"""Random numbers are a function of (seed, purpose, index)."""

import numpy as np
import pytest

from helpers import codes_of
from sampling.randomness import (
    BLOCK,
    DROPOUT,
    SAMPLING,
    TRAINING,
    normal_noise,
    random_key,
    sample_noise,
    with_code,
)


def test_noise_is_a_function_of_its_name():
    one, again = (normal_noise(SAMPLING, 3, 7, [50, 6]) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert one.dtype == np.float32
    for other in ((TRAINING, 3, 7), (SAMPLING, 4, 7), (SAMPLING, 3, 8)):
        assert (normal_noise(*other, [50, 6]) != one).numpy().all()


def test_no_two_purposes_share_a_key_whatever_the_seed():
    names = [(p, s, 0) for p in (TRAINING, SAMPLING, DROPOUT) for s in (0, 1, 2**31 - 1)]
    assert len({tuple(random_key(*name).numpy()) for name in names}) == len(names)


def test_the_noise_of_a_sample_does_not_depend_on_the_others():
    many = sample_noise(5, range(2 * BLOCK + 7), 6)
    some = sample_noise(5, [203, 7, 7, 100], 6)
    assert many.shape == (207, 6) and many.dtype == np.float32
    np.testing.assert_array_equal(some, many[[203, 7, 7, 100]])
    np.testing.assert_array_equal(many[:BLOCK], normal_noise(SAMPLING, 5, 0, [BLOCK, 6]))


def test_noise_is_standard_normal_and_with_a_code_like_that_of_draws_with_it():
    noise = sample_noise(0, range(20_000), 8)
    assert noise.mean() == pytest.approx(0, abs=0.01) and noise.std() == pytest.approx(1, abs=0.01)
    equal = np.zeros(5)
    chosen = with_code(noise, 2, equal)
    assert (codes_of(chosen, equal) == 2).all()
    np.testing.assert_array_equal(chosen[:, 5:], noise[:, 5:])
    np.testing.assert_array_equal(np.sort(chosen[:, :5], 1), np.sort(noise[:, :5], 1))
    drawn = noise[codes_of(noise, equal) == 2]
    np.testing.assert_allclose(chosen.mean(0), drawn.mean(0), atol=0.06)
    np.testing.assert_allclose(np.cov(chosen.T), np.cov(drawn.T), atol=0.08)
    np.testing.assert_array_equal(with_code(drawn, 2, equal), drawn)
    bias = np.float32([0.3, -1, -2, 1, 0])
    assert (codes_of(with_code(noise, 2, bias), bias) == 2).all()
