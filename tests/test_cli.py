"""The command line: a flag for each setting, one line for each mistake, exit statuses."""

import dataclasses
import errno
from unittest.mock import Mock

import pytest
import tensorflow as tf

import config
from cli import Settings, UserError, parse
from config import ExportSettings, GenerateSettings, TrainSettings
from helpers import one_line
from machine.command import run_command

COMMANDS = [each for name, each in vars(config).items() if name.endswith("Settings")]
COMMANDS.remove(Settings)


@pytest.mark.parametrize("settings_class", COMMANDS)
def test_each_field_is_a_flag_with_help(settings_class, capsys):
    for field in dataclasses.fields(settings_class):
        if field.type is bool:
            words, expected = [f"--{field.name}"], True
        elif field.type is tuple:
            words, expected = [f"--{field.name}", "1", "23"], ["1", "23"]
        else:
            last_choice = (field.metadata["choices"] or ["7"])[-1]
            others = {int: (field.default or 0) + 7, float: 0.5} if field.type is not str else {}
            expected = others.get(field.type, last_choice)
            words = [f"--{field.name}", str(expected)]
        more = ["--output", "a.npz"] if field.name == "save_noise" else []
        assert getattr(parse(settings_class, words + more), field.name) == expected
    with pytest.raises(SystemExit):
        parse(settings_class, ["--help"])
    shown = capsys.readouterr().out
    assert all(f"--{field.name}" in shown for field in dataclasses.fields(settings_class))


def test_former_names_of_flags_still_work_and_are_not_shown(capsys):
    for settings_class in (GenerateSettings, ExportSettings, config.EvaluateSettings):
        assert parse(settings_class, ["--generator", "best"]).snapshot == "best"
        with pytest.raises(SystemExit):
            parse(settings_class, ["--help"])
        assert "--generator" not in capsys.readouterr().out
    assert parse(GenerateSettings, ["--save_latents", "--output", "a.npz"]).save_noise
    assert parse(GenerateSettings, ["--latents", "a.npz"]).redraw == "a.npz"


BAD = """\
--epochs 0, --epochs ten, --epochs 1.5, --epochs=--, --batch_size 1, --learning_rate nan
--learning_rate 0, --beta_1 1, --dropout 0.999, --gradient_penalty -1, --early_penalty inf
--num_codes -1, --num_codes 201, --seed 99999999999, --save_every 0, --save_every soon
--precision float8, --run ../elsewhere, --run .., --run=, --run=--, --run pretrained
--run small.old-1, --data=, --epoch 3, stray, --tf32 on --deterministic
"""


@pytest.mark.parametrize("words", BAD.replace("\n", ", ").split(", ")[:-1])
def test_bad_words_are_refused_by_name(words):
    with pytest.raises(UserError) as refusal:
        parse(TrainSettings, words.split())
    assert words.replace("=", " ").split()[0].lstrip("-") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def raising(error):
    """A command that raises this error."""
    return Mock(side_effect=error)


def test_the_exit_status_is_zero_or_what_the_command_returns():
    assert run_command(TrainSettings, lambda settings: None, []) == 0
    assert run_command(TrainSettings, lambda settings: settings.epochs, ["--epochs", "143"]) == 143


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("a.npz: is damaged; fetch it again"), "a.npz: is damaged; fetch it again"),
        (OSError(errno.EACCES, "Permission denied", "a.npz"), "a.npz: Permission denied"),
        (MemoryError(), "ask for fewer images at a time, or close other programs"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "or close other programs"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(capsys, error, said):
    assert run_command(TrainSettings, raising(error), []) == 2
    assert one_line(capsys.readouterr().err).endswith(said)


def test_ctrl_c_is_status_130_without_a_traceback(capsys):
    assert run_command(TrainSettings, raising(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [ValueError("ours"), OSError(errno.EBADF, "Bad descriptor")])
def test_a_fault_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run_command(TrainSettings, raising(error), [])
