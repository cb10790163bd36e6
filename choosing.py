"""Digits by what they look like: drawn in their seed's order, judged, and kept where they fit."""

from typing import NamedTuple

import numpy as np

from config import UserError

FEWEST_TRIES = 20_000  # digits drawn before giving up, and so many more for each one wanted:
TRIES_EACH = 100


class Chosen(NamedTuple):
    """Digits kept, in the order asked for."""

    images: np.ndarray  # uint8 (N, 28, 28)
    labels: np.ndarray  # uint8 (N,)
    confidence: np.ndarray  # float32 (N,), the classifier's, in that label
    index: np.ndarray  # int64 (N,): this is digit `index` of the seed


def most_tries(num):
    """How many digits may be drawn to find so many."""
    return FEWEST_TRIES + TRIES_EACH * num


def choose(wanted, blocks, look, min_confidence, report):
    """Keep the first digits of a stream that are read as `wanted`, uint8 (N,), in its order.

    `blocks` yields uint8 (some, 28, 28); `look` is a scores.Judge's. The k-th seven wanted
    is the stream's k-th confident seven, so more wanted never changes those before.
    Returns Chosen and how many were drawn; `report` is told how many a block brought. Raises
    UserError when the stream ends first.
    """
    num, missing, drawn = len(wanted), len(wanted), 0
    kept = Chosen(
        np.empty((num, 28, 28), np.uint8),
        wanted,
        np.empty(num, np.float32),
        np.empty(num, np.int64),
    )
    places = [np.flatnonzero(wanted == digit) for digit in range(10)]  # still to be filled
    for block in blocks:
        seen = look(block)
        likeliest, confidence = np.argmax(seen.probabilities, 1), np.max(seen.probabilities, 1)
        for digit in range(10):
            fit = np.flatnonzero((likeliest == digit) & (confidence >= min_confidence))
            here, places[digit] = np.split(places[digit], [len(fit)])
            fit = fit[: len(here)]
            kept.images[here], kept.confidence[here] = block[fit], confidence[fit]
            kept.index[here] = drawn + fit
        drawn += len(block)
        report(missing - sum(map(len, places)))
        missing = sum(map(len, places))
        if not missing:
            return kept, drawn
    rare = ", ".join(str(digit) for digit in range(10) if len(places[digit]))
    raise UserError(
        f"found {num - missing:,} of {num:,} digits among {drawn:,} drawn; too rare: {rare}; "
        f"--min_confidence below {min_confidence:g} finds more"
    )
