"""What the main process does at the end of an epoch, and what it keeps: often, and intact."""

import itertools
import math

import numpy as np
import pytest

import data
import generate_digits
import models
from cli import UserError
from config import TrainSettings
from evaluation.classifier import check_weights
from evaluation.scores import TrainingScore
from helpers import (
    TinyNetworks,
    one_line,
    read_history,
    roots,
    state_paths,
    steps_saved,
    train,
)
from machine.files import is_intact
from readers import read_npz
from storage import images, runs
from storage.runs import Run
from training import main_process
from training.main_process import MainProcess
from training.progress import Progress
from training.step import Trainer

IMAGES = np.zeros((50, 28, 28), np.uint8)


@pytest.fixture
def clock(monkeypatch):
    """A list with the time of the main process, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(main_process.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def main(tmp_path, clock, monkeypatch):
    """The main process of a new run of MNIST; curves are not drawn."""
    monkeypatch.setattr(images, "save_curves", lambda *_: None)
    folders = {"checkpoints_dir": f"{tmp_path}/c", "samples_dir": f"{tmp_path}/s"}
    settings = TrainSettings(
        epochs=9, batch_size=10, num_codes=5, evaluate_every=2, sample_every=2, **folders
    )
    with Run(settings) as run:
        main = MainProcess(run, {"images": data.MNIST_DIGEST}, "a device")
        assert main.resume(Trainer(settings, IMAGES, networks=TinyNetworks)).history == []
        main.score = lambda epoch: (9.0, 1.0)
        yield main
        main.close()


def end_epochs(main, count, progress=None):
    """Have the main process end so many epochs of five steps; return the Progress."""
    progress = progress or Progress()
    for _ in range(count):
        progress.add(np.full((5, 4), 0.5), 1.0)
        main.trainer.step.assign_add(5)
        main.end_epoch(progress)
    main.writer.wait()
    return progress


def settings_of(main, **changes):
    """Give the main process other settings."""
    for name, value in changes.items():
        object.__setattr__(main.settings, name, value)


def written(main, pattern):
    """Names of the run's files that match a pattern."""
    folders = main.run.folder, main.run.samples
    return sorted(path.name for folder in folders for path in folder.glob(pattern))


def test_each_grid_is_written_and_the_rest_once_ten_seconds_have_passed(main, clock):
    progress = end_epochs(main, 4)
    assert written(main, "epoch-*.png") == ["epoch-0002.png", "epoch-0004.png"]
    assert not written(main, "state-*.npz") + written(main, "history.csv")
    clock[0] += 10
    end_epochs(main, 1, progress)
    assert written(main, "state-*.npz") == ["state-000000025.npz"]
    assert "5,25," in (main.run.samples / "history.csv").read_text()
    end_epochs(main, 4, progress)  # the last epoch is written in any case
    assert written(main, "epoch-*.png")[-1] == "epoch-0009.png"
    assert written(main, "state-*.npz")[-1] == "state-000000045.npz"
    assert is_intact(main.run.states()[-1])


def test_each_save_that_was_asked_for_is_made(main):
    settings_of(main, save_every="2")
    end_epochs(main, 6)
    assert [int(name[6:15]) for name in written(main, "state-*.npz")] == [10, 20, 30]
    assert not main.is_due()  # within an epoch


def test_saving_comes_every_so_many_minutes(main, clock):
    settings_of(main, save_every="10m")
    for seconds, due in ((599, False), (600, True)):
        clock[0] = 1000.0 + seconds
        assert main.is_due() == main.is_due(7) == due
    main.save(Progress())
    assert not main.is_due()


@pytest.mark.slow
def test_minutes_may_pass_within_an_epoch(tmp_path, data_path, monkeypatch):
    minutes = itertools.count(0, 120)
    monkeypatch.setattr(main_process.time, "monotonic", lambda: next(minutes))
    assert train(tmp_path, data_path, "--epochs", 1, "--save_every", "1m") == 0
    *within, last = steps_saved(tmp_path)  # which, depends on how long a save takes
    assert within and last == 5


def test_what_was_saved_comes_back_with_the_generator(main):
    progress = Progress()
    progress.add(np.ones((3, 4)), 1.0)
    main.trainer.step.assign(3)
    main.stop(progress)
    snapshot = main.run.folder / "generator.npz"
    arrays = read_npz(snapshot)
    assert {"dense/kernel", "epoch", "num_codes"} <= arrays.keys()
    assert (arrays["epoch"], arrays["num_codes"]) == (0.6, 5)
    snapshot.unlink()  # killed before it was written
    main.trainer.step.assign(9)
    assert main.resume(main.trainer).steps == 3 and main.trainer.steps_done == 3
    assert snapshot.exists()


def test_the_best_generator_is_kept(main):
    fids = iter([5.0, 3.0, 4.0])
    main.score = lambda epoch: (next(fids), 1.0)
    end_epochs(main, 3)
    assert read_npz(main.run.folder / "generator-best.npz")["epoch"] == 2


def test_a_warning_is_given_once(main, capsys):
    main.score = lambda epoch: (9.0, 0.0)
    end_epochs(main, 3)
    assert "digits have vanished" in one_line(capsys.readouterr().err)


def test_a_run_of_mnist_is_scored_and_its_best_generator_draws(
    tmp_path, data_path, digits, capsys, monkeypatch
):
    monkeypatch.setattr(data, "MNIST_DIGEST", data.digest(digits[:40]))
    monkeypatch.setattr(TrainingScore, "num_samples", 300)
    monkeypatch.setattr("sampling.acceptance.load_or_calibrate", lambda *_: None)
    words = ["--epochs", 3, "--evaluate_every", 2]
    assert train(tmp_path, data_path, *words, networks=models) == 0
    assert "  scores  none" not in capsys.readouterr().out
    fids = [float(row["fid"]) for row in read_history(tmp_path)]
    assert [math.isfinite(fid) for fid in fids] == [False, True, False]
    assert 0 <= float(read_history(tmp_path)[1]["rarest_digit"]) <= 10
    monkeypatch.undo()
    for which, epoch in (("best", 2), ("latest", 3)):
        words = ["--run", "small", "--snapshot", which, "--output", f"{tmp_path}/{which}.npz"]
        assert generate_digits.main([*words, *roots(tmp_path)]) == 0
        assert f"{runs.SNAPSHOTS[which]}, epoch {epoch}," in capsys.readouterr().out


def test_other_images_get_no_scores_of_digits(tmp_path, data_path, capsys):
    assert train(tmp_path, data_path, "--epochs", 1, "--evaluate_every", 1) == 0
    assert "  scores  none" in capsys.readouterr().out
    assert math.isnan(float(read_history(tmp_path)[0]["fid"]))


def test_pictures_that_cannot_be_written_cost_no_epoch(tmp_path, data_path, capsys, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images, "add_title", fail)
    monkeypatch.setattr(images, "save_curves", fail)
    assert train(tmp_path, data_path, "--epochs", 9, "--save_every", 9) == 2
    assert "No space left" in one_line(capsys.readouterr().err)
    assert steps_saved(tmp_path)[-1] >= 5  # the epochs that were trained
    assert is_intact(state_paths(tmp_path)[-1])


def test_an_epoch_whose_score_failed_is_ended_on_resume(tmp_path, data_path, monkeypatch):
    def fail(main, epoch):
        if epoch == 2:
            raise UserError("no classifier")
        return ()

    with monkeypatch.context() as patch:
        patch.setattr(MainProcess, "score", fail)
        assert train(tmp_path, data_path, "--epochs", 3) == 2
    assert steps_saved(tmp_path)[-1] == 10
    assert train(tmp_path, data_path, "--epochs", 3) == 0
    assert [int(row["step"]) for row in read_history(tmp_path)] == [5, 10, 15]
    assert steps_saved(tmp_path)[-1] == 15


def test_a_run_that_will_be_scored_needs_the_classifier_at_once(
    tmp_path, data_path, digits, capsys, monkeypatch
):
    monkeypatch.setattr(data, "MNIST_DIGEST", data.digest(digits[:40]))
    monkeypatch.setattr(main_process, "check_weights", lambda: check_weights(tmp_path / "none"))
    assert train(tmp_path, data_path, "--epochs", 1) == 2
    assert "none: the digit classifier is missing" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("owner", ["generator", "generator_ema", "discriminator_optimizer"])
def test_a_state_gone_bad_stops_the_run_and_is_not_saved(begun_run, data_path, capsys, owner):
    folders = {"checkpoints_dir": f"{begun_run}/checkpoints", "samples_dir": f"{begun_run}/s"}
    with Run(TrainSettings(run="small", **folders)) as run:
        state = run.load_state()
        name = next(
            name
            for name in state
            if name.startswith(owner + "/") and state[name].ndim and state[name].dtype.kind == "f"
        )
        state[name].flat[0] = np.nan
        run.save_state(10, state)
    snapshot, settings = (
        (run.folder / name).read_bytes() for name in ("generator.npz", "settings.json")
    )
    assert train(begun_run, data_path, "--epochs", 3) == 2
    message = one_line(capsys.readouterr().err)
    assert "state-000000010.npz: has numbers that are not finite" in message
    assert (run.folder / "generator.npz").read_bytes() == snapshot
    assert (run.folder / "settings.json").read_bytes() == settings
    assert len(run.states()) == 2


@pytest.mark.parametrize("what", ["losses", "weights"])
def test_numbers_gone_bad_stop_the_run_and_are_not_saved(
    tmp_path, data_path, capsys, monkeypatch, what
):
    take_steps = Trainer.take_steps

    def go_bad(trainer, order, count):
        metrics = take_steps(trainer, order, count)
        if trainer.steps_done > 5 and what == "losses":
            return metrics * np.nan
        if trainer.steps_done > 5:  # where no loss shows it
            weights = trainer.generator_ema.get_layer("dense").kernel
            weights.assign(weights * np.nan)
        return metrics

    monkeypatch.setattr(Trainer, "take_steps", go_bad)
    assert train(tmp_path, data_path, "--epochs", 3) == 2
    assert {"losses": "the losses", "weights": "generator_ema/dense/kernel"}[what] in one_line(
        capsys.readouterr().err
    )
    assert steps_saved(tmp_path) == [5] and is_intact(*state_paths(tmp_path))
    for array in read_npz(tmp_path / "checkpoints" / "small" / "generator.npz").values():
        assert np.isfinite(array).all()
