"""Rejection sampling: the first samples of the seed that the classifier reads as asked."""

import numpy as np
import pytest

from cli import UserError
from evaluation.classifier import Predictions
from sampling import rejection


def stream(num_blocks, size=100):
    """Blocks of images whose first pixel says what they show and whose second how surely."""
    source = np.random.default_rng(1)
    for _ in range(num_blocks):
        block = np.zeros((size, 28, 28), np.uint8)
        block[:, 0, :2] = source.integers(0, [10, 101], (size, 2))
        yield block


def predict(pixels):
    """What a classifier would make of the images of `stream`."""
    probabilities = np.zeros((len(pixels), 10), np.float32)
    probabilities[np.arange(len(pixels)), pixels[:, 0, 0]] = np.maximum(pixels[:, 0, 1], 11) / 100
    return Predictions(pixels, None, probabilities)


def accept(wanted, num_blocks=150, min_confidence=0.9, report=lambda _: None):
    """Accepted samples of `stream`, and how many were drawn."""
    wanted = np.array(wanted, np.uint8)
    return rejection.accept(wanted, stream(num_blocks), predict, min_confidence, report)


def test_accepted_samples_are_those_asked_for_in_the_order_of_the_seed():
    wanted = [7, 1, 7, 0, 7] * 40
    accepted, drawn = accept(wanted)
    every = np.concatenate([*stream(150)])
    np.testing.assert_array_equal(accepted.images[:, 0, 0], wanted)
    np.testing.assert_array_equal(accepted.labels, wanted)
    np.testing.assert_array_equal(accepted.images, every[accepted.index])
    assert accepted.confidence.min() >= 0.9 and drawn % 100 == 0
    fit = np.flatnonzero((every[:, 0, 0] == 7) & (every[:, 0, 1] >= 90))
    np.testing.assert_array_equal(accepted.index[accepted.labels == 7], fit[:120])


def test_asking_for_more_does_not_change_the_first():
    few, many = (accept([3, 4] * num)[0] for num in (5, 50))
    np.testing.assert_array_equal(few.images, many.images[:10])


def test_progress_is_reported_until_all_are_found():
    found = []
    accept([3, 4] * 50, report=found.append)
    assert sum(found) == 100 and len(found) > 1


def test_a_search_ends_and_says_how_many_were_found():
    with pytest.raises(UserError, match=r"found 0 of 2 digits among 500 drawn; too rare: 3, 5"):
        accept([3, 5], num_blocks=5, min_confidence=1.1)


def test_more_may_be_drawn_for_more_digits():
    assert rejection.max_draws(1) >= 20_000
    assert rejection.max_draws(1000) - rejection.max_draws(0) == 100_000
