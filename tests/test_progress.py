"""The history and the sums over the epoch so far."""

import math

import numpy as np
import pytest

from storage.runs import EpochRecord
from training.progress import Progress

METRICS = np.random.default_rng(0).random((5, 4), np.float32)


def trained(calls=(5,), epochs=1):
    """A Progress of epochs of five steps, taken so many a call."""
    progress = Progress()
    for _ in range(epochs):
        first = 0
        for count in calls:
            progress.add(METRICS[first : first + count], seconds=0.25 * count)
            first += count
        progress.end_epoch(40)
    return progress


def test_an_epoch_is_the_mean_of_its_steps():
    progress = Progress()
    progress.add(METRICS[:3], seconds=0.5)
    progress.add(METRICS[3:], seconds=0.3)
    np.testing.assert_allclose(progress.means(), METRICS.mean(0), rtol=1e-6)
    progress.end_epoch(40, 7.0, 0.9, 1.2, 1.1)
    (record,) = progress.history
    assert record[:2] == (1, 5) and record.seconds == pytest.approx(0.8)
    assert record.images_per_second == pytest.approx(5 * 40 / 0.8)
    assert record[2:6] == pytest.approx(METRICS.mean(0))
    assert record[8:] == (7.0, 0.9, 1.2, 1.1)


def test_each_epoch_begins_anew():
    progress = trained(epochs=2)
    first, second = progress.history
    assert (second.epoch, second.step) == (2, 10)
    assert second[2:6] == first[2:6] and second.seconds == first.seconds
    assert math.isnan(second.fid)


def test_how_many_steps_a_call_took_does_not_change_a_bit():
    """So that a resumed run, whose calls are others, has the history of an uninterrupted one."""
    assert trained((5,)).history[0][:6] == trained((1, 2, 2)).history[0][:6]


def test_the_best_fid_leaves_out_epochs_without_one():
    progress = Progress()
    assert progress.best_fid() == math.inf
    for fid in (math.nan, 5.0, 3.0, math.nan, 4.0):
        progress.add(METRICS, 1.0)
        progress.end_epoch(40, fid)
    assert progress.best_fid() == 3.0


@pytest.mark.parametrize("epochs", [0, 2])
def test_a_checkpoint_brings_it_back(epochs):
    progress = trained(epochs=epochs)
    progress.add(METRICS[:3], seconds=0.5)
    arrays = progress.arrays() | {"step": np.array(13)}
    again = Progress()
    again.load(arrays)
    assert arrays.keys() == {"step"}  # the rest is the networks'
    for each in (progress, again):
        each.add(METRICS[3:], seconds=0.5)
        each.end_epoch(40, 5.0, 0.9)
    np.testing.assert_array_equal(again.history, progress.history)
    assert all(isinstance(record, EpochRecord) for record in again.history)
    assert isinstance(again.history[-1].epoch, int)


def test_a_copy_does_not_change_with_the_next_step():
    progress = Progress()
    progress.add(METRICS, 1.0)
    arrays = progress.arrays()
    before = arrays["metric_sums"].copy()
    progress.add(METRICS, 1.0)
    np.testing.assert_array_equal(arrays["metric_sums"], before)


def test_a_checkpoint_of_before_ink_was_measured_goes_on():
    arrays = trained().arrays()
    again = Progress()
    again.load(arrays | {"history": arrays["history"][:, :-2]})
    assert again.history[0][:6] == trained().history[0][:6]
    assert math.isnan(again.history[0].pale_ink) and math.isnan(again.history[0].smear)
