"""What the discrete codes of a generator draw."""

import keras
import numpy as np
import pytest

from models import build_generator
from sampling import codes
from sampling.randomness import codes_of
from sampling.sampler import Sampler
from storage import images


@pytest.fixture(scope="module")
def sampler():
    """A Sampler of a generator with three codes, whose images differ."""
    keras.utils.set_random_seed(0)
    generator = build_generator(9, 3)
    generator.set_weights([30 * weight for weight in generator.get_weights()])
    return Sampler(generator)


def test_the_picture_has_a_row_for_each_code(sampler, tmp_path):
    codes.save_picture(tmp_path / "codes.png", sampler, 0)
    picture = images.load_png(tmp_path / "codes.png")[-(3 * 30) :, 2:]
    cells = picture.reshape(3, 30, codes.COLUMNS, 30).swapaxes(1, 2)[:, :, :28, :28]
    for code in range(3):
        expected = next(Sampler(sampler.generator, code=code).sample(codes.COLUMNS, 0))
        np.testing.assert_array_equal(cells[code], expected)


def test_digits_are_counted_by_the_code_that_drew_them(sampler):
    drawn = codes_of(sampler.noise(5, range(250)), 3)
    labels = np.where(drawn == 1, 4, np.arange(250) % 2)
    counts = codes.count_digits(sampler, 5, labels)
    assert counts.shape == (3, 10) and counts.sum() == 250
    np.testing.assert_array_equal(counts.sum(1), np.bincount(drawn))
    assert counts[1, 4] == counts[1].sum() and not counts[[0, 2], 4].any()


def test_purity_is_the_mean_share_of_the_commonest_digit():
    counts = np.zeros((4, 10), int)
    counts[0, 3] = 7
    counts[1, [2, 5]] = 1, 3
    counts[2, :] = 2
    assert codes.mean_purity(counts) == pytest.approx((1 + 0.75 + 0.1) / 3)  # one was not drawn
