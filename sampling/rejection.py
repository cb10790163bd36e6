"""Rejection sampling: samples are drawn in their seed's order, and those that fit are kept."""

from typing import NamedTuple

import numpy as np

from cli import UserError

MIN_DRAWS = 20_000  # samples drawn before giving up, and so many more for each one wanted:
DRAWS_EACH = 100


class Accepted(NamedTuple):
    """Samples that were kept, in the order asked for."""

    images: np.ndarray  # uint8 (N, 28, 28)
    labels: np.ndarray  # uint8 (N,)
    confidence: np.ndarray  # float32 (N,), the classifier's probability of that label
    index: np.ndarray  # int64 (N,): this is sample `index` of the seed


def max_draws(num):
    """How many samples may be drawn to find so many."""
    return MIN_DRAWS + DRAWS_EACH * num


def accept(wanted, blocks, predict, min_confidence, report):
    """Keep the first samples of a stream that are read as `wanted`, uint8 (N,), in its order.

    `blocks` yields uint8 (some, 28, 28); `predict` is DigitClassifier's. The k-th seven wanted is
    the stream's k-th confident seven, so asking for more never changes those before. Returns
    Accepted and how many were drawn; `report` is told how many a block brought. Raises UserError
    when the stream ends first.
    """
    num, missing, drawn = len(wanted), len(wanted), 0
    accepted = Accepted(
        np.empty((num, 28, 28), np.uint8),
        wanted,
        np.empty(num, np.float32),
        np.empty(num, np.int64),
    )
    places = [np.flatnonzero(wanted == digit) for digit in range(10)]  # still to be filled
    for block in blocks:
        probabilities = predict(block).probabilities
        labels, confidence = np.argmax(probabilities, 1), np.max(probabilities, 1)
        for digit in range(10):
            fit = np.flatnonzero((labels == digit) & (confidence >= min_confidence))
            here, places[digit] = np.split(places[digit], [len(fit)])
            fit = fit[: len(here)]
            accepted.images[here], accepted.confidence[here] = block[fit], confidence[fit]
            accepted.index[here] = drawn + fit
        drawn += len(block)
        report(missing - sum(map(len, places)))
        missing = sum(map(len, places))
        if not missing:
            return accepted, drawn
    rare = ", ".join(str(digit) for digit in range(10) if len(places[digit]))
    raise UserError(
        f"found {num - missing:,} of {num:,} digits among {drawn:,} drawn; too rare: {rare}; "
        f"--min_confidence below {min_confidence:g} finds more"
    )
