"""What the chief does at the end of an epoch: score, draw, warn, keep the best, save."""

import math

import keras
import numpy as np
import pytest

import generate_digits
from config import TrainSettings
from evaluation.scores import TrainingScore
from helpers import one_line, read_history, roots, state_paths, steps_saved, train
from layers import DiscreteCode
from readers import read_npz
from storage import images, runs
from training.chief import Chief
from training.progress import UNSCORED, EpochScore, Progress
from training.writer import BackgroundWriter

IMAGES = np.zeros((50, 28, 28), np.uint8)


class TinyGAN:
    """In place of a Trainer: a generator of one layer, and a state."""

    def __init__(self):
        layers = [DiscreteCode(2, name="code"), keras.layers.Dense(784, "tanh")]
        layers = [keras.Input((6,)), *layers, keras.layers.Reshape((28, 28, 1))]
        self.generator_ema = keras.Sequential(layers)

    def state(self):
        return {"step": np.array(5), "generator_ema/dense/kernel": np.ones(3)}


@pytest.fixture
def chief(tmp_path, monkeypatch):
    """The chief of a run of three epochs, with a grid for every second, and without curves."""
    monkeypatch.setattr(images, "save_curves", lambda *_: None)
    folders = {"checkpoints_dir": f"{tmp_path}/c", "samples_dir": f"{tmp_path}/s"}
    settings = TrainSettings(
        epochs=3, batch_size=10, evaluate_every=2, sample_every=2, save_every="2", **folders
    )
    with runs.Run(settings) as run:
        chief = Chief(run, TinyGAN(), IMAGES, BackgroundWriter())
        yield chief
        chief.close()


def end_epochs(chief, *fids, rarest_digit=1.0, best=()):
    """Have the chief end an epoch for each FID; those of the numbers in `best` are the best."""
    progress = Progress()
    for epoch, fid in enumerate(fids, 1):
        progress.add(np.full((5, 4), 0.5), 1.0)
        progress.end_epoch(10, fid, rarest_digit)
        chief.warn(progress.history)
        chief.log_and_save(epoch, progress, epoch in best)
    chief.writer.wait()


def test_grids_come_as_often_as_asked_and_at_the_end(chief):
    end_epochs(chief, 9.0, 9.0, 9.0)
    grids = sorted(path.name for path in chief.logger.run.samples.glob("epoch-*.png"))
    assert grids == ["epoch-0002.png", "epoch-0003.png"]


def test_states_come_as_often_as_asked_and_at_the_end(chief):
    end_epochs(chief, 9.0)
    assert not chief.logger.run.states()
    end_epochs(chief, 9.0, 9.0, 9.0)
    assert chief.logger.run.states()


def test_only_the_best_generator_is_kept_as_that(chief):
    best = chief.logger.run.folder / "generator-best.npz"
    end_epochs(chief, 9.0)
    assert not best.exists()
    end_epochs(chief, 9.0, best=[1])
    assert read_npz(best)["epoch"] == 1


def test_a_warning_is_given_once(chief, capsys):
    end_epochs(chief, 9.0, 9.0, 9.0, rarest_digit=0.0)
    assert "digits have vanished" in one_line(capsys.readouterr().err)


def test_epochs_are_scored_as_often_as_asked(chief, monkeypatch):
    monkeypatch.setattr(chief.scorer, "num_samples", 5)
    monkeypatch.setattr(chief.scorer, "score", lambda pixels: (len(pixels), 0.5))
    assert chief.score(1) is UNSCORED and chief.score(3) is UNSCORED
    assert chief.score(2) == EpochScore(fid=5, rarest_digit=0.5)


@pytest.fixture
def fids(monkeypatch):
    """Give the epochs these FIDs, in place of those of their digits."""

    def give(*values):
        left = iter(values)
        monkeypatch.setattr(Chief, "score", lambda chief, epoch: EpochScore(next(left), 1.0))

    return give


def test_a_run_is_scored_and_its_best_generator_draws(tmp_path, data_path, capsys, monkeypatch):
    monkeypatch.setattr(TrainingScore, "num_samples", 300)
    assert train(tmp_path, data_path, "--epochs", 3, "--evaluate_every", 2) == 0
    fids = [float(row["fid"]) for row in read_history(tmp_path)]
    assert [math.isfinite(fid) for fid in fids] == [False, True, False]
    assert 0 <= float(read_history(tmp_path)[1]["rarest_digit"]) <= 10
    for which, epoch in (("best", 2), ("latest", 3)):
        words = ["--run", "small", "--snapshot", which, "--output", f"{tmp_path}/{which}.npz"]
        assert generate_digits.main([*words, *roots(tmp_path)]) == 0
        assert f"{runs.SNAPSHOTS[which]}, epoch {epoch}," in capsys.readouterr().out


def test_a_worse_generator_does_not_replace_the_best(tmp_path, data_path, fids):
    fids(3.0, 4.0)
    words = ["--evaluate_every", 1, "--epochs"]
    assert train(tmp_path, data_path, *words, 1) == 0
    best = tmp_path / "checkpoints" / "small" / "generator-best.npz"
    content = best.read_bytes()
    assert read_npz(best)["epoch"] == 1
    assert train(tmp_path, data_path, *words, 2) == 0  # it is still known after a pause
    assert best.read_bytes() == content


def test_pictures_that_cannot_be_written_cost_no_epoch(tmp_path, data_path, capsys, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images, "save_curves", fail)
    assert train(tmp_path, data_path, "--epochs", 9, "--save_every", 9) == 2
    assert "curves.png" in one_line(capsys.readouterr().err)
    assert steps_saved(tmp_path)[-1] == 10  # both epochs that were trained
    assert runs.is_whole(state_paths(tmp_path)[-1])
