"""--precision auto: measured for a new run, kept for one that is resumed."""

import json

import pytest
import tensorflow as tf

from cli import UserError
from config import TrainSettings
from training import precision


@pytest.fixture
def settings(tmp_path):
    return TrainSettings(
        precision="auto", checkpoints_dir=f"{tmp_path}/c", samples_dir=f"{tmp_path}/s"
    )


def resolve(settings):
    return precision.resolve(settings, tf.distribute.get_strategy()).precision


@pytest.mark.parametrize(
    ("ratio", "chosen"), [(0.6, "bfloat16"), (0.95, "float32"), (1.5, "float32")]
)
def test_the_faster_arithmetic_is_chosen(settings, monkeypatch, capsys, ratio, chosen):
    monkeypatch.setattr(precision, "time_convolution", {"float32": 1.0, "bfloat16": ratio}.get)
    assert resolve(settings) == chosen
    assert f"{chosen} (a convolution in bfloat16 takes {ratio:.2f}" in capsys.readouterr().out


def begin(settings, value):
    folder = precision.runs.Run(settings).folder
    folder.mkdir(parents=True)
    (folder / "generator.npz").touch()
    (folder / "settings.json").write_text(json.dumps({"run": {"precision": value}}))


def test_a_resumed_run_keeps_what_it_began_with(settings, monkeypatch):
    monkeypatch.setattr(precision, "time_convolution", {"float32": 1.0, "bfloat16": 2.0}.get)
    begin(settings, "bfloat16")
    assert resolve(settings) == "bfloat16"


def test_a_precision_that_nobody_knows_is_refused(settings):
    begin(settings, "float8")
    with pytest.raises(UserError, match="float8"):
        resolve(settings)


@pytest.mark.slow
def test_both_arithmetics_are_timed():
    for name in ("float32", "bfloat16"):
        assert 0 < precision.time_convolution(name) < 60


def test_a_given_precision_is_left_alone():
    assert resolve(TrainSettings(precision="bfloat16")) == "bfloat16"
