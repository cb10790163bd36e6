"""What a run keeps: how often, whole, and never with numbers that are no longer finite."""

import itertools

import numpy as np
import pytest
from training.checkpointer import Checkpointer, NotFinite, check_finite

from config import TrainSettings
from helpers import one_line, state_paths, steps_saved, train
from machine.files import is_whole
from readers import read_npz
from storage.runs import Run
from training import checkpointer
from training.progress import Progress
from training.step import Trainer

STATE = {"step": np.array(15), "generator_ema/dense/kernel": np.ones(3), "generator/x": np.ones(2)}


@pytest.fixture
def run(tmp_path):
    """A run that has just begun."""
    folders = {"checkpoints_dir": f"{tmp_path}/c", "samples_dir": f"{tmp_path}/s"}
    with Run(TrainSettings(**folders)) as run:
        yield run


def test_a_state_and_its_generator_are_written(run):
    Checkpointer(run, None, steps_per_epoch=10).save(STATE)
    assert is_whole(run.folder / "state-000000015.npz")
    snapshot = read_npz(run.folder / "generator.npz")
    assert snapshot.keys() == {"dense/kernel", "epoch", "num_codes"}
    assert (snapshot["epoch"], snapshot["num_codes"]) == (1.5, 32)


class OneLayer:
    """In place of a Trainer: a thing with a state."""

    def num_bytes(self):
        return 100

    def state(self):
        return dict(STATE)

    def load_state(self, arrays):
        self.loaded = arrays


def test_what_was_saved_comes_back_with_the_generator(run):
    progress = Progress()
    progress.add(np.ones((3, 4)), 1.0)
    saved = Checkpointer(run, OneLayer(), steps_per_epoch=10)
    saved.save(saved.copy(progress))
    (run.folder / "generator.npz").unlink()  # killed before it was written
    resumed = Checkpointer(run, OneLayer(), steps_per_epoch=10)
    again = resumed.resume()
    assert again.steps == 3 and resumed.gan.loaded.keys() == STATE.keys()
    assert (run.folder / "generator.npz").exists()


def test_a_new_run_begins_with_an_empty_history(run):
    assert Checkpointer(run, OneLayer(), 10).resume().history == []


def test_saving_comes_every_so_many_epochs(run):
    keeper = Checkpointer(run, OneLayer(), 10)
    keeper.interval = "2"
    assert [keeper.is_due(epoch) for epoch in (1, 2, 3, 4)] == [False, True, False, True]
    assert not keeper.is_due()  # within an epoch


def test_saving_comes_every_so_many_minutes(run, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(checkpointer.time, "monotonic", lambda: clock[0])
    keeper = Checkpointer(run, OneLayer(), 10)
    keeper.interval = "10m"
    for clock[0], due in ((1599.0, False), (1600.0, True)):
        assert keeper.is_due() == keeper.is_due(7) == due
    keeper.copy(Progress())
    assert not keeper.is_due()


@pytest.mark.slow
def test_minutes_may_pass_within_an_epoch(tmp_path, data_path, monkeypatch):
    minutes = itertools.count(0, 120)
    monkeypatch.setattr(checkpointer.time, "monotonic", lambda: next(minutes))
    assert train(tmp_path, data_path, "--epochs", 1, "--save_every", "1m") == 0
    *within, last = steps_saved(tmp_path)  # which, depends on how long a save takes
    assert within and last == 5


@pytest.mark.slow
def test_the_end_is_always_saved(tmp_path, data_path):
    assert train(tmp_path / "minutes", data_path, "--epochs", 2, "--save_every", "10m") == 0
    assert steps_saved(tmp_path / "minutes") == [10]
    assert train(tmp_path / "epochs", data_path, "--epochs", 3, "--save_every", 2) == 0
    assert steps_saved(tmp_path / "epochs") == [10, 15]


def test_all_but_the_history_must_be_finite():
    check_finite({"history": np.array([np.nan]), "weights": np.ones(3)}, "step 5")
    with pytest.raises(NotFinite, match=r"^step 5: no longer finite: weights; .*--learning_rate"):
        check_finite({"weights": np.array([1, np.inf])}, "step 5")


@pytest.mark.parametrize("which", ["latest", "best"])
def test_a_generator_that_is_not_finite_is_not_written(run, which):
    bad = STATE | {"generator_ema/dense/kernel": np.array([np.nan])}
    with pytest.raises(NotFinite):
        Checkpointer(run, None, 10).save_generator(bad, which)
    assert not [*run.folder.glob("generator*")]


@pytest.mark.parametrize(
    "owner",
    [
        pytest.param("generator", marks=pytest.mark.slow),
        "generator_ema",
        pytest.param("discriminator_optimizer", marks=pytest.mark.slow),
    ],
)
def test_a_state_gone_bad_stops_the_run_and_is_not_saved(begun_run, data_path, capsys, owner):
    folders = {"checkpoints_dir": f"{begun_run}/checkpoints", "samples_dir": f"{begun_run}/s"}
    with Run(TrainSettings(run="small", **folders)) as run:
        state = run.load_state()
        name = next(name for name in state if name.startswith(owner + "/") and state[name].ndim)
        state[name].flat[0] = np.nan
        run.save_state(10, state)
    snapshot = (run.folder / "generator.npz").read_bytes()
    assert train(begun_run, data_path, "--epochs", 3) == 2
    message = one_line(capsys.readouterr().err)
    assert "no longer finite" in message and "--learning_rate" in message
    assert (run.folder / "generator.npz").read_bytes() == snapshot
    assert len(run.states()) == 2


def test_losses_gone_bad_stop_the_run(tmp_path, data_path, capsys, monkeypatch):
    take_steps = Trainer.take_steps

    def go_bad(gan, order, count):
        metrics = take_steps.__get__(gan, Trainer)(order, count)
        return metrics * np.nan if gan.steps_done > 5 else metrics

    monkeypatch.setattr(Trainer, "take_steps", go_bad)
    assert train(tmp_path, data_path, "--epochs", 3) == 2
    assert "the losses" in one_line(capsys.readouterr().err)
    (newest,) = state_paths(tmp_path)
    assert newest.name == "state-000000005.npz" and is_whole(newest)


@pytest.mark.slow
def test_a_weight_gone_bad_is_not_saved(tmp_path, data_path, capsys, monkeypatch):
    take_steps = Trainer.take_steps

    def go_bad(gan, order, count):  # where no loss shows it
        metrics = take_steps.__get__(gan, Trainer)(order, count)
        if gan.steps_done > 5:
            gan.generator_ema.variables[0].assign(gan.generator_ema.variables[0] * np.nan)
        return metrics

    monkeypatch.setattr(Trainer, "take_steps", go_bad)
    assert train(tmp_path, data_path, "--epochs", 3) == 2
    assert "generator_ema/dense/kernel" in one_line(capsys.readouterr().err)
    assert steps_saved(tmp_path) == [5]
    for array in read_npz(tmp_path / "checkpoints" / "small" / "generator.npz").values():
        assert np.isfinite(array).all()
