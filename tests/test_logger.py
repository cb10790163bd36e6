"""What a run shows: grids, curves, history, TensorBoard logs and warnings."""

import math

import numpy as np
import pytest
import tensorflow as tf

from cli import UserError
from config import TrainSettings
from storage import images
from storage.runs import EpochRecord, Run
from training import logger
from training.logger import Logger, find_troubles

DIGITS = np.random.default_rng(0).integers(0, 256, (100, 28, 28), np.uint8)


def history_of(**columns):
    """A list of EpochRecord in which all is well, except in these columns."""
    num = len(next(iter(columns.values())))
    well = {"epoch": range(1, num + 1), "d_real": [0.6] * num, "d_fake": [0.4] * num}
    well |= {"fid": [5.0] * num, "rarest_digit": [0.9] * num}
    return [
        EpochRecord(*[(well | columns).get(name, [1.0] * num)[i] for name in EpochRecord._fields])
        for i in range(num)
    ]


@pytest.fixture
def run(tmp_path):
    """A run that has just begun."""
    folders = {"checkpoints_dir": f"{tmp_path}/c", "samples_dir": f"{tmp_path}/s"}
    with Run(TrainSettings(**folders)) as run:
        yield run


def test_the_animation_ends_with_the_last_grid(run, monkeypatch):
    monkeypatch.setattr(logger, "GIF_FRAMES", 2)
    logged = Logger(run)
    logged.save_gif(history_of(fid=[5.0]))  # without a grid there is nothing to show
    assert not (run.samples / "training.gif").exists()
    shown = []
    monkeypatch.setattr(images, "save_gif", lambda file, frames: shown.extend(frames))
    for epoch, level in ((1, 10), (2, 20), (4, 40), (5, 50)):  # epoch 3 has no grid
        images.save_png(logged.grid_path(epoch), np.full((60, 60), level, np.uint8))
    logged.save_gif(history_of(fid=[5.0] * 5))
    assert [int(frame[0, 0]) for frame in shown] == [20, 50]


def test_without_tensorboard_the_rest_is_logged(run, monkeypatch):
    monkeypatch.setattr(logger.importlib.util, "find_spec", lambda name: None)
    Logger(run).save_grid(1, DIGITS)
    Logger(run).log(history_of(fid=[math.nan]))
    assert not (run.samples / "logs").exists()
    assert (run.samples / "curves.png").exists()


def test_tensorboard_gets_each_epoch_once_whatever_was_logged_before_a_kill(run):
    pytest.importorskip("tensorboard")
    history = history_of(fid=[5.0] * 4)
    for resumed, logged in ((0, 1), (2, 3), (1, 4)):  # saved later than logged, then earlier
        each = Logger(run, epochs_resumed=resumed)
        each.log(history[:logged])
        each.close()
    steps = [
        event.step
        for path in (run.samples / "logs").iterdir()
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        for event in [tf.compat.v1.Event.FromString(record)]
        for value in event.summary.value
        if value.tag == "d_real"
    ]
    assert sorted(steps) == [1, 2, 3, 4]


def test_logs_that_cannot_be_written_are_one_error(run):
    (run.samples / "logs").write_text("a file in the way")
    with pytest.raises(UserError, match="logs for TensorBoard cannot be written"):
        Logger(run).log(history_of(fid=[5.0]))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (dict(d_real=[0.6] * 9), set()),
        (dict(rarest_digit=[0.05, 0.5, 0.05]), set()),
        (dict(rarest_digit=[0.9, math.nan, 0.05, math.nan, 0.0]), {"mode collapse"}),
        (dict(d_real=[0.99] * 3, d_fake=[0.01] * 3), {"discriminator"}),
        (dict(d_real=[0.99] * 2, d_fake=[0.01] * 2), set()),
        (dict(fid=[9, 5, 5.3, 6, 6, 6, 6]), {"getting worse"}),
        (dict(fid=[9, 5, 6, 6, 6, 5.1]), set()),
        (dict(fid=[9, 8, 7, 6, 5, 4]), set()),
        (dict(fid=[math.nan] * 6), set()),
    ],
)
def test_what_calls_for_a_warning(columns, expected):
    assert find_troubles(history_of(**columns)).keys() == expected
