"""Signals: the first is noted, to be obeyed between steps; a second ends at once."""

import os
import signal

import numpy as np
import pytest

from helpers import read_history, steps_saved, train
from machine import signals
from machine.signals import Interruption
from training.step import Trainer


def test_a_second_signal_is_not_caught():
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert interruption.number == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGTERM) == signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.parametrize("is_file", [True, False])
def test_a_terminal_that_closes_after_ctrl_c_does_not_end_the_save(is_file, monkeypatch):
    dropped = []
    monkeypatch.setattr(signals, "drop_output", dropped.append)
    monkeypatch.setattr(signals.stat, "S_ISREG", lambda mode: is_file)
    with Interruption() as interruption:
        for each in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.raise_signal(each)
        assert interruption.number == signal.SIGINT
    assert dropped == ([] if is_file else [1, 2])


def test_a_hangup_under_nohup_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGHUP)
        assert interruption.number == 0


def test_a_signal_saves_and_the_same_command_trains_the_run_of_one_go(
    tiny_run, tmp_path, data_path, capsys, monkeypatch
):
    """Stopped in the middle of its second epoch, here in this process."""
    take_steps = Trainer.take_steps

    def take_one_step(trainer, order, count):
        if trainer.steps_done == 6:
            signal.raise_signal(signal.SIGTERM)
        return take_steps(trainer, order, 1)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "take_steps", take_one_step)
        assert train(tmp_path, data_path, "--epochs", 2) == 143
    printed = capsys.readouterr()
    assert "saved at step 7" in printed.out and "run the same command again" in printed.out
    assert printed.err == "" and steps_saved(tmp_path) == [5, 7]  # not a step was lost
    assert train(tmp_path, data_path, "--epochs", 2) == 0
    assert "resumed after epoch 1.4" in capsys.readouterr().out
    found, expected = map(read_history, (tmp_path, tiny_run))
    assert len(found) == len(expected) == 2
    for name in ("epoch", "step", "generator_loss", "discriminator_loss", "d_real", "d_fake"):
        columns = [[float(row[name]) for row in rows] for rows in (found, expected)]
        np.testing.assert_allclose(*columns, rtol=0.01)
