"""Generator snapshots: which run is drawn with, and what its file says."""

import os

import numpy as np
import pytest

from cli import UserError
from config import GenerateSettings
from storage import snapshots


def make_run(root, name):
    """A folder that holds a generator of some kind."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "generator.npz").touch()
    return folder


def test_the_latest_run_is_found_unless_one_is_named(tmp_path):
    settings = {"checkpoints_dir": str(tmp_path)}
    assert snapshots.find_run(GenerateSettings(**settings)).name == "pretrained"
    for age, name in enumerate(("older", "newer", "newest.old-1", "pretrained")):
        os.utime(make_run(tmp_path, name) / "generator.npz", (age, age))
    assert snapshots.find_run(GenerateSettings(**settings)) == tmp_path / "newer"
    for name in ("older", "newest.old-1", "pretrained"):
        assert snapshots.find_run(GenerateSettings(run=name, **settings)) == tmp_path / name
    with pytest.raises(UserError, match="nobody: has no generator"):
        snapshots.find_run(GenerateSettings(run="nobody", **settings))


@pytest.mark.parametrize(
    ("epoch", "words"), [(12_345, "12345"), (100, "100"), (10.2564, "10.256"), (0, "0")]
)
def test_a_snapshot_says_which_it_is(tmp_path, epoch, words):
    path = tmp_path / "generator.npz"
    np.savez(path, weights=np.ones(3), epoch=np.array(epoch), num_codes=np.array(2))
    snapshot = snapshots.load_snapshot(tmp_path, "latest")
    assert (snapshot.path, snapshot.epoch, snapshot.num_codes) == (path, epoch, 2)
    assert snapshot.arrays.keys() == {"weights"}
    assert str(snapshot) == f"{path}, epoch {words}"


def test_a_snapshot_from_before_there_were_codes_has_none(tmp_path):
    np.savez(tmp_path / "generator.npz", weights=np.ones(3))
    snapshot = snapshots.load_snapshot(tmp_path, "latest")
    assert snapshot.num_codes == 0 and str(snapshot) == f"{tmp_path}/generator.npz"


@pytest.mark.parametrize("wrong", [-1, 1.5, [2], "two"])
def test_numbers_of_codes_that_cannot_be_are_refused(tmp_path, wrong):
    np.savez(tmp_path / "generator.npz", num_codes=np.array(wrong))
    with pytest.raises(UserError, match=r"generator\.npz: its num_codes"):
        snapshots.load_snapshot(tmp_path, "latest")
