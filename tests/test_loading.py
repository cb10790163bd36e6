"""Loading TensorFlow: only once it is needed, and quietly."""

import os
import subprocess
import sys

import pytest

from cli import UserError
from config import REPOSITORY
from machine.loading import hidden_messages


@pytest.mark.parametrize("script", ["train_dcgan.py", "generate_digits.py"])
@pytest.mark.parametrize("words", [["--help"], ["--seed", "x"]])
def test_help_and_mistakes_are_answered_without_tensorflow(script, words):
    command = [sys.executable, "-X", "importtime", REPOSITORY / script, *words]
    loaded = subprocess.run(command, capture_output=True, text=True).stderr
    assert "numpy" in loaded and "tensorflow" not in loaded


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
    subprocess.run(command, cwd=REPOSITORY, check=True)


def test_native_messages_are_hidden_unless_an_error_needs_them_or_a_person_asks(capfd, monkeypatch):
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
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    with hidden_messages():
        os.write(2, b"chatter\n")
    assert capfd.readouterr().err == "chatter\n"
