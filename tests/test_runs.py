"""A run's folder: whole after any crash or damage, locked, and found again."""

import os
import random
import shutil
import sys

import numpy as np
import pytest

from cli import UserError
from config import TrainSettings
from helpers import damaged, one_line, open_run
from readers import read_npz
from storage import runs
from storage.runs import EpochRecord

FIXED = TrainSettings().fixed_on_resume() | {"losses": [0.5, 0.25]}


def save_three_times(folder, begin=0):
    """Write what training writes, without the training; return the run."""
    with open_run(folder) as run:
        run.check_settings(FIXED)
        run.save_settings(FIXED, {"command": f"from step {begin}"})
        run.load_state()
        for step in range(begin + 1, begin + 4):
            run.save_state(step, {"weights": np.full(300, step)})
            run.save_generator({"weights": np.full(50, step)})
            run.save_history([[step] * len(EpochRecord._fields)])
    return run


WATCHED = ("open", "os.rename", "os.remove", "os.mkdir", "os.listdir", "os.truncate")


def die_at_operation(number, folder):
    """Save three times in a process that dies at its number-th file operation; its exit status."""
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    operations = 0

    def count(event, arguments):
        nonlocal operations
        if event in WATCHED and str(folder) in str(arguments[0]):
            operations += 1
            if operations == number:
                os._exit(9)

    try:
        sys.addaudithook(count)
        save_three_times(folder, begin=10)
        os._exit(0)
    finally:
        os._exit(1)  # an error must not go on as a second pytest


@pytest.mark.parametrize("distance", [pytest.param(1, marks=pytest.mark.slow), 13])
def test_every_crash_point_leaves_a_whole_state(tmp_path, distance):
    number, status = 1 - distance, 9
    while status == 9:
        number += distance
        folder = tmp_path / str(number)
        folder.mkdir()
        save_three_times(folder)
        status = die_at_operation(number, folder)
        with open_run(folder) as run:  # the lock is free
            run.check_settings(FIXED)
            step = run.load_state()["weights"][0]
            assert step in (3, 11, 12, 13)
            drawn_with = read_npz(run.folder / "generator.npz")["weights"][0]
            assert drawn_with in (step, step - 1, 3)
            assert not list(folder.rglob("*.partial"))
        run = save_three_times(folder, begin=20)
        assert run.load_state()["weights"][0] == 23 and len(run.states()) == 3
        assert len(list(run.folder.glob("*.sha256"))) <= 4
    assert status == 0 and number > 30


def test_any_damage_to_a_checkpoint_is_survived_or_refused(tmp_path, capsys):
    whole = save_three_times(tmp_path).folder
    survived = refused = 0
    dice = random.Random(0)
    for path in sorted(whole.iterdir()):
        for _ in range(20):
            content = damaged(path.read_bytes() or b"lock", dice)
            copy = shutil.copytree(tmp_path, tmp_path.with_name("damaged"))
            (copy / "c" / "digits" / path.name).write_bytes(content)
            try:
                with open_run(copy) as run:
                    run.check_settings(FIXED)
                    step = run.load_state()["weights"][0]
                warning = capsys.readouterr().err
                if step == 2:  # the newest state was damaged
                    name = "state-000000003.npz"
                    assert f"{name} is damaged" in one_line(warning)
                    assert (run.folder / f"{name}.damaged").exists()
                else:
                    assert step == 3 and not warning
                survived += 1
            except UserError as error:
                assert "\n" not in str(error) and path.name == "settings.json"
                refused += 1
            shutil.rmtree(copy)
    assert survived > 100 and refused > 5


def test_settings_without_a_list_of_invocations_are_refused(tmp_path):
    (tmp_path / "settings.json").write_text('{"run": {}, "invocations": null}')
    with pytest.raises(UserError, match="its invocations are no list"):
        runs.load_settings(tmp_path)


def test_what_an_old_run_did_not_record_had_its_default_and_no_codes():
    old = {name: value for name, value in FIXED.items() if name not in runs.FORMERLY}
    del old["ema_decay"]
    assert runs.differences(old, FIXED | {"ema_decay": 0.99}) == [
        "codes (was 'free', now 'clusters')",
        "early_penalty (was 1.0, now 0.3)",
        "ema_decay (was 0.999, now 0.99)",
        "ink_channel (was 'off', now 'on')",
        "losses (was [0.8832, 2.2664], now [0.5, 0.25])",
        "num_codes (was 0, now 64)",
    ]
    assert runs.differences(old, FIXED | runs.FORMERLY) == []
    (line,) = runs.differences(FIXED | {"spectral_norm": True}, FIXED)
    assert "spectral_norm" in line and "does not know" in line


def test_a_run_is_open_once(tmp_path):
    message = f"another process .*{os.getpid()} on"
    with open_run(tmp_path), pytest.raises(UserError, match=message):
        open_run(tmp_path).__enter__()
    save_three_times(tmp_path)
    with open_run(tmp_path, fresh=True) as run:  # which sets the old lock aside
        assert (tmp_path / "c" / "digits.old-1" / "generator.npz").exists()
        assert not run.is_begun()
        with pytest.raises(UserError, match=message):
            open_run(tmp_path).__enter__()


def test_three_states_are_kept_and_what_someone_put_beside_them(tmp_path):
    folder = save_three_times(tmp_path).folder
    kept = ("state-best.npz", "state-000000003-copy.npz", "state-3.npz")
    for name in kept:
        (folder / name).write_bytes(b"mine")
    run = save_three_times(tmp_path, begin=3)
    assert [path.name for path in run.states()] == [f"state-{n:09d}.npz" for n in (4, 5, 6)]
    assert len([*run.folder.glob("*.sha256")]) == 3
    assert run.load_state()["weights"][0] == run.steps_saved() == 6
    assert all((folder / name).read_bytes() == b"mine" for name in kept)


def test_pictures_of_a_run_without_checkpoints_are_set_aside(tmp_path):
    shutil.rmtree(save_three_times(tmp_path).folder)
    with open_run(tmp_path) as run:
        assert not [*run.samples.iterdir()]
    assert (tmp_path / "s" / "digits.old-1" / "history.csv").exists()
