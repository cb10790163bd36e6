"""What the chief does at the end of an epoch: score, draw, warn, keep the best, save."""

import math

import pytest

import generate_digits
from evaluation.scores import TrainingScore
from helpers import one_line, read_history, roots, state_paths, steps_saved, train
from readers import read_npz
from storage import images, runs
from training.chief import Chief
from training.progress import EpochScore


@pytest.fixture
def fids(monkeypatch):
    """Give the epochs these FIDs, in place of those of their digits."""

    def give(*values, rarest_digit=1.0):
        left = iter(values)
        score = lambda chief, epoch: EpochScore(next(left), rarest_digit)  # noqa: E731
        monkeypatch.setattr(Chief, "score", score)

    return give


def test_epochs_are_scored_as_often_as_asked_and_the_best_is_kept(
    tmp_path, data_path, capsys, monkeypatch
):
    monkeypatch.setattr(TrainingScore, "num_samples", 300)
    assert train(tmp_path, data_path, "--epochs", 3, "--evaluate_every", 2) == 0
    fids = [float(row["fid"]) for row in read_history(tmp_path)]
    assert [math.isfinite(fid) for fid in fids] == [False, True, False]
    assert 0 <= float(read_history(tmp_path)[1]["rarest_digit"]) <= 10
    for which, epoch in (("best", 2), ("latest", 3)):
        words = ["--run", "small", "--generator", which, "--output", f"{tmp_path}/{which}.npz"]
        assert generate_digits.main([*words, *roots(tmp_path)]) == 0
        assert f"{runs.SNAPSHOTS[which]}, epoch {epoch}," in capsys.readouterr().out


def test_a_worse_generator_does_not_replace_the_best(tmp_path, data_path, fids):
    fids(5.0, 3.0, 4.0)
    words = ["--evaluate_every", 1, "--epochs"]
    assert train(tmp_path, data_path, *words, 2) == 0
    best = tmp_path / "checkpoints" / "small" / "generator-best.npz"
    content = best.read_bytes()
    assert read_npz(best)["epoch"] == 2
    assert train(tmp_path, data_path, *words, 3) == 0  # and it is still known after a pause
    assert best.read_bytes() == content


def test_a_warning_is_given_once(tmp_path, data_path, fids, capsys):
    fids(5.0, 5.0, 5.0, rarest_digit=0.0)
    assert train(tmp_path, data_path, "--epochs", 3, "--evaluate_every", 1) == 0
    assert "digits have vanished" in one_line(capsys.readouterr().err)


@pytest.mark.slow
def test_grids_come_as_often_as_asked_and_at_the_end(tmp_path, data_path):
    assert train(tmp_path, data_path, "--epochs", 3, "--sample_every", 2) == 0
    grids = sorted(path.name for path in (tmp_path / "samples" / "small").glob("epoch-*.png"))
    assert grids == ["epoch-0002.png", "epoch-0003.png"]


def test_pictures_that_cannot_be_written_cost_no_epoch(tmp_path, data_path, capsys, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(images, "save_curves", fail)
    assert train(tmp_path, data_path, "--epochs", 9, "--save_every", 9) == 2
    assert "curves.png" in one_line(capsys.readouterr().err)
    assert steps_saved(tmp_path)[-1] == 10  # both epochs that were trained
    assert runs.is_whole(state_paths(tmp_path)[-1])
