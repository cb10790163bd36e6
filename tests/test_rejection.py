"""Rejection sampling: the first draws of a seed that are accepted, and read as asked."""

import numpy as np
import pytest

from cli import UserError
from evaluation.classifier import Predictions
from sampling import rejection
from sampling.randomness import BLOCK, acceptance_noise
from sampling.rejection import RejectionSampler


class Stream:
    """In place of a Sampler, of its DigitClassifier, and of an Acceptance that accepts half.

    The first pixel of an image says what it shows, the second how surely; the next two differ.
    """

    def sample(self, num, seed):
        source = np.random.default_rng(seed)
        for _ in range(num // BLOCK):
            block = np.zeros((BLOCK, 28, 28), np.uint8)
            block[:, 0, :4] = source.integers(0, [10, 101, 256, 256], (BLOCK, 4))
            yield block

    def predict(self, pixels):
        probabilities = np.zeros((len(pixels), 10), np.float32)
        surely = np.maximum(pixels[:, 0, 1], 11) / 100
        probabilities[np.arange(len(pixels)), pixels[:, 0, 0]] = surely
        return Predictions(pixels, None, probabilities)

    def probability(self, predictions):
        return np.full(len(predictions.pixels), 0.5)


STREAM, SEED = Stream(), 1
EVERY = np.concatenate([*STREAM.sample(200 * BLOCK, SEED)])
UNIFORM = np.concatenate([acceptance_noise(SEED, block) for block in range(200)])


def take(num, acceptance=None):
    """The first accepted samples, an Accepted."""
    blocks = RejectionSampler(STREAM, STREAM, acceptance, SEED).take(num)
    return rejection.Accepted(*map(np.concatenate, zip(*blocks)))


def labelled(wanted, least=0.9, acceptance=None):
    """The first accepted samples that are read as wanted, an Accepted."""
    draws = RejectionSampler(STREAM, STREAM, acceptance, SEED)
    return draws.take_labelled(np.array(wanted, np.uint8), least, lambda _: None)


def test_a_draw_is_accepted_with_its_probability():
    np.testing.assert_array_equal(take(250).images, EVERY[:250])
    accepted = take(500, STREAM)
    np.testing.assert_array_equal(accepted.images, EVERY[accepted.index])
    np.testing.assert_array_equal(accepted.index, np.flatnonzero(UNIFORM < 0.5)[:500])
    assert 850 < accepted.index[-1] < 1150


@pytest.mark.parametrize("acceptance", [None, STREAM], ids=["all", "half"])
def test_accepted_samples_are_those_asked_for_in_the_order_of_the_seed(acceptance):
    wanted = [7, 1, 7, 0, 7] * 8
    accepted = labelled(wanted, acceptance=acceptance)
    np.testing.assert_array_equal(accepted.images[:, 0, 0], wanted)
    np.testing.assert_array_equal(accepted.labels, wanted)
    np.testing.assert_array_equal(accepted.images, EVERY[accepted.index])
    assert accepted.confidence.min() >= 0.9
    fit = (EVERY[:, 0, 0] == 7) & (EVERY[:, 0, 1] >= 90)
    if acceptance:
        fit &= UNIFORM < 0.5
    np.testing.assert_array_equal(accepted.index[accepted.labels == 7], np.flatnonzero(fit)[:24])


def test_a_search_ends_and_says_how_many_were_found(monkeypatch):
    assert [*map(rejection.max_draws, (0, 1000))] == [20_000, 120_000]
    monkeypatch.setattr(rejection, "max_draws", lambda num: 500)
    with pytest.raises(UserError, match=r"found 0 of 2 digits among 500 drawn; too rare: 3, 5"):
        labelled([3, 5], least=1.1)
    with pytest.raises(UserError, match=r"found 500 of 501 digits among 500 drawn; .*--raw"):
        take(501)
