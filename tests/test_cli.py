"""The command line: a flag for each setting, one line for each mistake, exit statuses."""

import dataclasses
import errno

import pytest

import config
from cli import Settings, UserError, parse
from config import TrainSettings
from helpers import one_line
from machine.command import run_command


def settings_classes():
    """The settings classes of all commands."""
    return [
        each
        for each in vars(config).values()
        if isinstance(each, type) and issubclass(each, Settings) and each is not Settings
    ]


def test_each_command_has_settings():
    assert len(settings_classes()) == 5


@pytest.mark.parametrize("settings_class", settings_classes())
def test_each_field_is_a_flag_with_help(settings_class):
    for field in dataclasses.fields(settings_class):
        assert field.metadata["help"]
        if field.type is bool:
            assert getattr(parse(settings_class, [f"--{field.name}"]), field.name) is True
        elif field.type is tuple:
            words = [f"--{field.name}", "1", "23"]
            assert getattr(parse(settings_class, words), field.name) == ["1", "23"]
        else:
            value = 7 if field.default is None else field.default
            words = [f"--{field.name}", str(value)]
            assert getattr(parse(settings_class, words), field.name) == value


@pytest.mark.parametrize(
    "words",
    [
        ["--epochs", "0"],
        ["--epochs", "-3"],
        ["--epochs", "ten"],
        ["--epochs", "1.5"],
        ["--batch_size", "0"],
        ["--batch_size", "1"],
        ["--learning_rate", "nan"],
        ["--learning_rate", "inf"],
        ["--learning_rate", "0"],
        ["--learning_rate", "-1e-4"],
        ["--learning_rate", "fast"],
        ["--beta_1", "1"],
        ["--beta_1", "nan"],
        ["--dropout", "-0.1"],
        ["--dropout", "0.999"],
        ["--dropout", "nan"],
        ["--gradient_penalty", "-1"],
        ["--gradient_penalty", "inf"],
        ["--early_penalty", "-1"],
        ["--early_penalty", "nan"],
        ["--num_codes", "-1"],
        ["--num_codes", "201"],
        ["--noise_dim", "0"],
        ["--seed", "-1"],
        ["--seed", "99999999999"],
        ["--sample_every", "0"],
        ["--save_every", "0"],
        ["--save_every", "soon"],
        ["--precision", "float8"],
        ["--compile", "maybe"],
        ["--tf32", "maybe"],
        ["--strategy", "all"],
        ["--run", "../elsewhere"],
        ["--run", "/tmp/run"],
        ["--run", ".."],
        ["--run", ""],
        ["--data", ""],
        ["--epoch", "3"],
        ["stray"],
    ],
)
def test_bad_words_are_refused_by_name(words):
    with pytest.raises(UserError) as refusal:
        parse(TrainSettings, words)
    assert words[0].lstrip("-") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def raising(error):
    """A command that raises this error."""

    def function(settings):
        raise error

    return function


def test_the_exit_status_is_zero_or_what_the_command_returns():
    assert run_command(TrainSettings, lambda settings: None, []) == 0
    assert run_command(TrainSettings, lambda settings: settings.epochs, ["--epochs", "143"]) == 143


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("a.npz: is damaged; fetch it again"), "a.npz: is damaged; fetch it again"),
        (OSError(errno.EACCES, "Permission denied", "a.npz"), "a.npz: Permission denied"),
    ],
)
def test_a_persons_mistake_is_one_line_and_status_2(capsys, error, said):
    assert run_command(TrainSettings, raising(error), []) == 2
    assert one_line(capsys.readouterr().err).endswith(f": {said}")


def test_ctrl_c_is_status_130_without_a_traceback(capsys):
    assert run_command(TrainSettings, raising(KeyboardInterrupt()), []) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [ValueError("ours"), OSError(errno.EBADF, "Bad descriptor")])
def test_a_fault_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run_command(TrainSettings, raising(error), [])
