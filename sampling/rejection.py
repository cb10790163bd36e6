"""Rejection sampling: samples are drawn in their seed's order, and those that fit are kept."""

from typing import NamedTuple

import numpy as np

from cli import UserError
from sampling.randomness import BLOCK, acceptance_noise

MIN_DRAWS = 20_000  # draws before giving up,
DRAWS_EACH = 100  # and more draws for each sample that is wanted


class Accepted(NamedTuple):
    """Accepted samples."""

    images: np.ndarray  # uint8 (N, 28, 28)
    labels: np.ndarray  # uint8 (N,), as the classifier reads them
    confidence: np.ndarray  # float32 (N,), its probability of that label
    index: np.ndarray  # int64 (N,): this is draw `index` of the seed


def max_draws(num):
    """The most draws made to find `num` samples, a multiple of BLOCK."""
    return MIN_DRAWS + DRAWS_EACH * num


class RejectionSampler:
    """Draws the samples of a seed and keeps those that are accepted.

    `sampler` is a Sampler, `classifier` a DigitClassifier, `acceptance` an Acceptance, or None to
    accept all. Whether a draw is accepted is a function of the seed and the draw alone, because
    all is computed in batches of BLOCK.
    """

    def __init__(self, sampler, classifier, acceptance, seed):
        self.sampler, self.classifier = sampler, classifier
        self.acceptance, self.seed = acceptance, seed

    def blocks(self, num_draws):
        """Yield an Accepted for each block of the first draws of the seed."""
        for number, images in enumerate(self.sampler.sample(num_draws, self.seed)):
            predictions = self.classifier.predict(images)
            labels = np.argmax(predictions.probabilities, 1).astype(np.uint8)
            confidence = np.max(predictions.probabilities, 1)
            kept = np.arange(len(images))
            if self.acceptance:
                uniform = acceptance_noise(self.seed, number)[: len(images)]
                kept = np.flatnonzero(uniform < self.acceptance.probability(predictions))
            yield Accepted(images[kept], labels[kept], confidence[kept], number * BLOCK + kept)

    def take(self, num):
        """Yield the first `num` accepted samples, one Accepted per block.

        Raises UserError when they are not found among max_draws(num).
        """
        missing = num
        for block in self.blocks(max_draws(num)):
            yield Accepted(*(array[:missing] for array in block))
            missing -= len(block.images)
            if missing <= 0:
                return
        raise not_found(num, missing, "draw with --raw")

    def take_labelled(self, wanted, min_confidence, report):
        """For each digit of `wanted`, uint8 (N,), the next sample read as it: an Accepted.

        The k-th seven wanted is the k-th confident seven drawn, so asking for more never changes
        those before. `report(n)` is called with the number found in each block. Raises UserError
        when they are not found among max_draws(N).
        """
        num = missing = len(wanted)
        found = Accepted(
            np.empty((num, 28, 28), np.uint8),
            wanted,
            np.empty(num, np.float32),
            np.empty(num, np.int64),
        )
        places = [np.flatnonzero(wanted == digit) for digit in range(10)]  # still to be filled
        for block in self.blocks(max_draws(num)):
            for digit in range(10):
                fit = (block.labels == digit) & (block.confidence >= min_confidence)
                fit = np.flatnonzero(fit)[: len(places[digit])]
                here, places[digit] = np.split(places[digit], [len(fit)])
                found.images[here], found.index[here] = block.images[fit], block.index[fit]
                found.confidence[here] = block.confidence[fit]
            report(missing - sum(map(len, places)))
            missing = sum(map(len, places))
            if not missing:
                return found
        rare = ", ".join(str(digit) for digit in range(10) if len(places[digit]))
        advice = f"too rare: {rare}; try a --min_confidence below {min_confidence:g}"
        raise not_found(num, missing, advice)


def not_found(num, missing, advice):
    drawn = max_draws(num)
    return UserError(f"found {num - missing:,} of {num:,} digits among {drawn:,} drawn; {advice}")
