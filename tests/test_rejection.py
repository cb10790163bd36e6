"""Rejection sampling: the first draws of a seed that are accepted, and read as asked."""

import numpy as np
import pytest

from cli import UserError
from evaluation.classifier import Predictions
from sampling import rejection
from sampling.randomness import BLOCK, acceptance_noise
from sampling.rejection import RejectionSampler


class Stream:
    """In place of a Sampler: images whose first pixel says what they show, the second how surely.

    They differ in their next two pixels. There are only `num_blocks` blocks of them.
    """

    def __init__(self, num_blocks=200):
        self.num_blocks = num_blocks

    def sample(self, num, seed):
        source = np.random.default_rng(seed)
        for _ in range(min(self.num_blocks, num // BLOCK)):
            block = np.zeros((BLOCK, 28, 28), np.uint8)
            block[:, 0, :4] = source.integers(0, [10, 101, 256, 256], (BLOCK, 4))
            yield block


class Reader:
    """In place of a DigitClassifier: it reads the images of a Stream."""

    def predict(self, pixels):
        probabilities = np.zeros((len(pixels), 10), np.float32)
        surely = np.maximum(pixels[:, 0, 1], 11) / 100
        probabilities[np.arange(len(pixels)), pixels[:, 0, 0]] = surely
        return Predictions(pixels, None, probabilities)


class HalfOfAll:
    """In place of an Acceptance: every draw has the probability 1/2."""

    def probability(self, predictions):
        return np.full(len(predictions.pixels), 0.5)


def draws(acceptance=None, seed=1):
    """A RejectionSampler of such a stream."""
    return RejectionSampler(Stream(), Reader(), acceptance, seed)


def take(num, acceptance=None):
    """The first accepted samples, an Accepted."""
    blocks = draws(acceptance).take(num)
    return rejection.Accepted(*map(np.concatenate, zip(*blocks)))


def labelled(wanted, least=0.9, acceptance=None, report=lambda _: None):
    """The first accepted samples that are read as wanted, an Accepted."""
    return draws(acceptance).take_labelled(np.array(wanted, np.uint8), least, report)


EVERY = np.concatenate([*Stream().sample(200 * BLOCK, 1)])


def test_without_an_acceptance_every_draw_is_kept():
    accepted = take(250)
    np.testing.assert_array_equal(accepted.index, np.arange(250))
    np.testing.assert_array_equal(accepted.images, EVERY[:250])
    np.testing.assert_array_equal(accepted.labels, EVERY[:250, 0, 0])


def test_a_draw_is_accepted_with_its_probability():
    accepted = take(500, HalfOfAll())
    np.testing.assert_array_equal(accepted.images, EVERY[accepted.index])
    assert 850 < accepted.index[-1] < 1150 and (np.diff(accepted.index) > 0).all()
    uniform = np.concatenate([acceptance_noise(1, block) for block in range(12)])
    np.testing.assert_array_equal(accepted.index, np.flatnonzero(uniform < 0.5)[:500])


@pytest.mark.parametrize("acceptance", [None, HalfOfAll()], ids=["all", "half"])
def test_accepted_samples_are_those_asked_for_in_the_order_of_the_seed(acceptance):
    wanted = [7, 1, 7, 0, 7] * 8
    accepted = labelled(wanted, acceptance=acceptance)
    np.testing.assert_array_equal(accepted.images[:, 0, 0], wanted)
    np.testing.assert_array_equal(accepted.labels, wanted)
    np.testing.assert_array_equal(accepted.images, EVERY[accepted.index])
    assert accepted.confidence.min() >= 0.9
    fit = (EVERY[:, 0, 0] == 7) & (EVERY[:, 0, 1] >= 90)
    if acceptance:
        uniform = np.concatenate([acceptance_noise(1, block) for block in range(200)])
        fit &= uniform < 0.5
    np.testing.assert_array_equal(accepted.index[accepted.labels == 7], np.flatnonzero(fit)[:24])


def test_asking_for_more_does_not_change_the_first():
    few, many = (labelled([3, 4] * num, acceptance=HalfOfAll()) for num in (5, 50))
    np.testing.assert_array_equal(few.images, many.images[:10])
    few, many = (take(num, HalfOfAll()) for num in (5, 205))
    np.testing.assert_array_equal(few.images, many.images[:5])


def test_progress_is_reported_until_all_are_found():
    found = []
    labelled([3, 4] * 50, report=found.append)
    assert sum(found) == 100 and len(found) > 1


def test_a_search_ends_and_says_how_many_were_found(monkeypatch):
    monkeypatch.setattr(rejection, "max_draws", lambda num: 500)
    with pytest.raises(UserError, match=r"found 0 of 2 digits among 500 drawn; too rare: 3, 5"):
        labelled([3, 5], least=1.1)
    with pytest.raises(UserError, match=r"found 500 of 501 digits among 500 drawn; .*--raw"):
        take(501)


def test_more_may_be_drawn_for_more_digits():
    assert rejection.max_draws(1) >= 20_000
    assert rejection.max_draws(1000) - rejection.max_draws(0) == 100_000
    assert rejection.max_draws(123) % BLOCK == 0
