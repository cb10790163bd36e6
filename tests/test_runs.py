"""A run's folder: whole after any crash or damage, locked, and found again."""

import os
import shutil
import sys

import numpy as np
import pytest

from cli import UserError
from config import TrainSettings
from helpers import damaged_copies, one_line
from readers import read_npz
from storage import runs
from storage.runs import EpochRecord, Run

FIXED = TrainSettings().fixed_on_resume()


def open_run(folder, **settings):
    """The run `digits` inside `folder`."""
    return Run(TrainSettings(checkpoints_dir=f"{folder}/c", samples_dir=f"{folder}/s", **settings))


def save_three_times(folder, begin=0):
    """Write what training writes, without the training."""
    with open_run(folder) as run:
        run.check_settings(FIXED)
        run.save_settings(FIXED, {"command": f"from step {begin}"})
        run.load_state()
        for step in range(begin + 1, begin + 4):
            run.save_state(step, {"weights": np.full(300, step)})
            run.save_generator({"weights": np.full(50, step)})
            run.save_history([[step] * len(EpochRecord._fields)])


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

    flush = os.fsync

    def flush_or_die(descriptor):
        count("os.remove", [folder])
        flush(descriptor)

    os.fsync = flush_or_die
    sys.addaudithook(count)
    save_three_times(folder, begin=10)
    os._exit(0)


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
            assert len(run.states()) in (3, 4)
        save_three_times(folder, begin=20)
        with open_run(folder) as run:
            assert run.load_state()["weights"][0] == 23
            assert len(run.states()) == 3
            assert len(list(run.folder.glob("*.sha256"))) <= 4
    assert status == 0 and number > 30


def test_any_damage_to_a_checkpoint_is_survived_or_refused(tmp_path):
    save_three_times(tmp_path)
    whole = tmp_path / "c" / "digits"
    survived = refused = 0
    for path in sorted(whole.iterdir()):
        for content in damaged_copies(path.read_bytes() or b"lock", path.name):
            copy = shutil.copytree(tmp_path, tmp_path.with_name("damaged"))
            (copy / "c" / "digits" / path.name).write_bytes(content)
            try:
                with open_run(copy) as run:
                    run.check_settings(FIXED)
                    assert run.load_state()["weights"][0] in (2, 3)
                    survived += 1
            except UserError as error:
                assert "\n" not in str(error) and path.name == "settings.json"
                refused += 1
            shutil.rmtree(copy)
    assert survived > 100 and refused > 5


def test_settings_json_keeps_the_first_settings_and_adds_invocations(tmp_path):
    for begin in (0, 3):
        save_three_times(tmp_path, begin)
    document = runs.load_settings(tmp_path / "c" / "digits")
    assert document["run"] == FIXED
    assert [each["command"] for each in document["invocations"]] == ["from step 0", "from step 3"]


def test_changed_settings_are_refused_once_the_run_has_begun(tmp_path):
    with open_run(tmp_path) as run:
        run.save_settings(FIXED, {})
        run.check_settings(FIXED | {"seed": 4})  # nothing has been trained yet
    save_three_times(tmp_path)
    with open_run(tmp_path) as run:
        run.check_settings(FIXED)
        with pytest.raises(UserError, match=r"seed \(was 0, now 4\)"):
            run.check_settings(FIXED | {"seed": 4})


def test_what_an_old_run_did_not_record_had_its_default():
    old = {name: value for name, value in FIXED.items() if name != "ema_decay"}
    assert runs.differences(old, FIXED) == []
    changed = FIXED | {"ema_decay": 0.99}
    assert runs.differences(old, changed) == ["ema_decay (was 0.999, now 0.99)"]
    assert runs.differences(changed, old) == ["ema_decay (was 0.99, now 0.999)"]
    assert runs.differences(FIXED | {"images": "a"}, FIXED | {"images": "b"}) == [
        "images (was 'a', now 'b')"
    ]


def test_a_run_from_before_there_were_codes_has_none():
    old = {name: value for name, value in FIXED.items() if name not in runs.FORMERLY}
    assert runs.differences(old, FIXED) == [
        "early_penalty (was 1.0, now 0.3)",
        "num_codes (was 0, now 32)",
    ]
    assert runs.differences(old, FIXED | {"num_codes": 0, "early_penalty": 1.0}) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"run": 3}', "{}"])
def test_settings_that_cannot_be_read_are_refused(tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(UserError, match=r"settings\.json: .*--fresh"):
        runs.load_settings(tmp_path)


def test_a_run_is_open_once(tmp_path):
    with open_run(tmp_path), pytest.raises(UserError, match="another process"):
        open_run(tmp_path).__enter__()
    with open_run(tmp_path):
        pass


def test_the_lock_moves_with_a_run_set_aside(tmp_path):
    save_three_times(tmp_path)
    with open_run(tmp_path, fresh=True) as run:
        assert (tmp_path / "c" / "digits.old-1" / "generator.npz").exists()
        assert (tmp_path / "s" / "digits.old-1" / "history.csv").exists()
        assert not run.is_begun()
        with pytest.raises(UserError, match="another process"):
            open_run(tmp_path).__enter__()


def test_the_step_of_the_newest_state_is_known_without_reading_it(tmp_path):
    assert open_run(tmp_path).steps_saved() == 0
    save_three_times(tmp_path, begin=7)
    assert open_run(tmp_path).steps_saved() == 10


def test_the_last_three_states_are_kept_with_their_checksums(tmp_path):
    for begin in (0, 3):
        save_three_times(tmp_path, begin)
    run = open_run(tmp_path)
    assert [path.name for path in run.states()] == [f"state-{n:09d}.npz" for n in (4, 5, 6)]
    assert len(list(run.folder.glob("*.sha256"))) == 3


def test_what_someone_put_beside_the_states_is_left_alone(tmp_path):
    save_three_times(tmp_path)
    folder = tmp_path / "c" / "digits"
    kept = ("state-best.npz", "state-000000003-copy.npz", "state-3.npz")
    for name in kept:
        (folder / name).write_bytes(b"mine")
    save_three_times(tmp_path, begin=3)
    with open_run(tmp_path) as run:
        assert run.load_state()["weights"][0] == 6 and run.steps_saved() == 6
        assert len(run.states()) == 3
    assert all((folder / name).read_bytes() == b"mine" for name in kept)


def test_a_damaged_newest_state_is_set_aside_with_a_warning(tmp_path, capsys):
    save_three_times(tmp_path)
    with open_run(tmp_path) as run:
        newest = run.states()[-1]
        newest.write_bytes(newest.read_bytes()[:-1])
        assert run.load_state()["weights"][0] == 2
        assert not newest.exists() and newest.with_name(newest.name + ".damaged").exists()
    assert f"{newest.name} is damaged" in one_line(capsys.readouterr().err)


def test_pictures_of_a_run_without_checkpoints_are_set_aside(tmp_path):
    save_three_times(tmp_path)
    shutil.rmtree(tmp_path / "c" / "digits")
    with open_run(tmp_path) as run:
        assert not [*run.samples.iterdir()]
    assert (tmp_path / "s" / "digits.old-1" / "history.csv").exists()


def test_too_little_room_is_refused(tmp_path):
    with open_run(tmp_path) as run:
        run.check_room(1000)
        with pytest.raises(UserError, match=r"MB free.*make room"):
            run.check_room(1 << 60)
