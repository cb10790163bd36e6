"""Loading TensorFlow: only once it is needed, and quietly."""

import os
import resource
import subprocess
import sys

import pytest

from cli import UserError
from config import REPOSITORY
from helpers import one_line, run_script
from machine.loading import hidden_messages


@pytest.mark.parametrize("script", ["train_dcgan.py", "generate_digits.py"])
def test_help_and_mistakes_answer_at_once(script):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    finished = run_script(script, "--help")
    seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert finished.returncode == 0 and "--seed" in finished.stdout
    mistaken = run_script(script, "--seed", "x")
    assert mistaken.returncode == 2 and "--seed" in one_line(mistaken.stderr)
    # Of the processor, because the machine may be busy. TensorFlow's import alone takes longer.
    assert seconds < 2.5
    command = [sys.executable, "-X", "importtime", REPOSITORY / script, "--help"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "numpy" in loaded.stderr and "tensorflow" not in loaded.stderr


def test_packages_that_only_keras_would_use_are_left_out_and_can_be_loaded_later():
    code = """
import sys
from machine.loading import importing_tensorflow
with importing_tensorflow():
    import keras
assert "tensorflow" in sys.modules
assert not {"jax", "matplotlib", "sklearn"} & set(sys.modules)
import matplotlib.figure
"""
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=120)


def test_native_messages_are_hidden_unless_an_error_ends_the_block(capfd):
    with hidden_messages():
        os.write(2, b"chatter\n")
    with pytest.raises(UserError), hidden_messages():
        os.write(2, b"chatter\n")
        raise UserError("a mistake explains itself")
    assert capfd.readouterr().err == ""
    with pytest.raises(ImportError), hidden_messages():
        os.write(2, b"the reason\n")
        raise ImportError
    assert capfd.readouterr().err == "the reason\n"


def test_native_messages_are_shown_to_those_who_ask(capfd, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with hidden_messages():
        os.write(2, b"chatter\n")
    assert capfd.readouterr().err == "chatter\n"
