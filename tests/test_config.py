"""The command line: one name for each knob, one line for each mistake."""

import dataclasses
import subprocess
import sys
import time

import pytest
from conftest import REPOSITORY, one_line, run_script

from config import Settings, TrainSettings, UserError, parse


def test_defaults_are_the_published_ones():
    settings = TrainSettings()
    assert (settings.noise_dim, settings.batch_size, settings.epochs) == (200, 256, 100)
    assert settings.learning_rate == 1e-4


@pytest.mark.parametrize("settings_class", Settings.__subclasses__())
def test_each_field_is_a_flag_with_help(settings_class):
    for field in dataclasses.fields(settings_class):
        assert field.metadata["help"]
        if field.type is bool:
            assert getattr(parse(settings_class, [f"--{field.name}"]), field.name) is True
        elif field.type is tuple:
            words = [f"--{field.name}", "1", "23"]
            assert getattr(parse(settings_class, words), field.name) == ["1", "23"]
        else:
            words = [f"--{field.name}", str(field.default)]
            assert getattr(parse(settings_class, words), field.name) == field.default


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
        ["--noise_dim", "0"],
        ["--seed", "-1"],
        ["--seed", "99999999999"],
        ["--sample_every", "0"],
        ["--save_every", "0"],
        ["--save_every", "soon"],
        ["--precision", "float8"],
        ["--compile", "maybe"],
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


@pytest.mark.parametrize("script", ["train_dcgan.py", "generate_digits.py"])
def test_help_and_mistakes_answer_at_once(script):
    start = time.perf_counter()
    finished = run_script(script, "--help")
    seconds = time.perf_counter() - start
    assert finished.returncode == 0 and "--seed" in finished.stdout
    mistaken = run_script(script, "--seed", "x")
    assert mistaken.returncode == 2 and "--seed" in one_line(mistaken.stderr)
    # Without TensorFlow, whose import alone takes longer than this on a busy machine.
    assert seconds < 2.5
    command = [sys.executable, "-X", "importtime", REPOSITORY / script, "--help"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "numpy" in loaded.stderr and "tensorflow" not in loaded.stderr
