"""Devices and workers: how they share a step, agree and fail."""

import pytest
import tensorflow as tf

from cli import UserError
from config import TrainSettings
from helpers import one_line, run_script, train
from training import distributed
from training.step import Trainer


@pytest.mark.slow
def test_two_replicas_train_the_same_run_as_one():
    """Same global batch, noise, dropout and statistics; in a process of its own for its devices."""
    finished = run_script("tests/two_replicas.py")
    assert finished.returncode == 0, finished.stderr


def test_mirrored_on_one_device_says_so_and_goes_on(capsys):
    strategy = distributed.connect(TrainSettings(strategy="mirrored"))
    assert strategy.num_replicas_in_sync == 1
    assert "only one device" in capsys.readouterr().out


@pytest.mark.parametrize(("compile", "expected"), [("auto", False), ("on", True), ("off", False)])
def test_xla_is_left_out_on_a_cpu_unless_asked_for(compile, expected):
    settings = TrainSettings(compile=compile)
    assert distributed.use_xla(settings, tf.distribute.get_strategy()) == expected


def test_a_cpu_is_described_by_its_cores():
    assert distributed.describe(tf.distribute.get_strategy()).startswith("the CPU, ")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, True),
        ({"tf32": "on"}, True),
        ({"tf32": "off"}, False),
        ({"deterministic": True}, False),
    ],
)
def test_tf32_is_on_unless_it_is_switched_off_or_bits_must_repeat(monkeypatch, options, expected):
    experimental = tf.config.experimental
    monkeypatch.setattr(experimental, "enable_op_determinism", lambda: None)  # it cannot be undone
    monkeypatch.setattr(tf.config.optimizer, "set_experimental_options", lambda _: None)
    before = experimental.tensor_float_32_execution_enabled()
    try:
        distributed.connect(TrainSettings(**options))
        assert experimental.tensor_float_32_execution_enabled() == expected
    finally:
        experimental.enable_tensor_float_32_execution(before)


@pytest.mark.parametrize(
    ("capabilities", "is_on", "expected"),
    [
        ([(9, 0)], True, "H100, TF32 on"),
        ([(9, 0)], False, "H100, TF32 off"),
        ([(7, 0)], True, "H100"),
        ([None], True, "H100"),
        ([(9, 0), (7, 0)], True, "H100, H100"),
    ],
)
def test_the_start_of_a_run_says_whether_tf32_is_used(monkeypatch, capabilities, is_on, expected):
    def details(capability):
        known = {"compute_capability": capability} if capability else {}
        return known | {"device_name": "H100"}

    experimental = tf.config.experimental
    monkeypatch.setattr(experimental, "tensor_float_32_execution_enabled", lambda: is_on)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda _: capabilities)
    monkeypatch.setattr(experimental, "get_device_details", details)
    assert distributed.describe(tf.distribute.get_strategy()) == expected


def test_too_little_memory_is_said_in_one_line(tmp_path, data_path, capsys, monkeypatch):
    def run_out(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor")

    monkeypatch.setattr(Trainer, "take_steps", run_out)
    assert train(tmp_path, data_path, "--epochs", 1) == 2
    assert "--batch_size" in one_line(capsys.readouterr().err)


def test_a_lost_worker_is_said_in_one_line_and_our_own_fault_keeps_its_traceback():
    class Cluster:
        cluster_resolver = object()

    lost = tf.errors.UnavailableError(None, None, "the connection\nwas reset")
    with (
        pytest.raises(UserError, match=r"another worker was lost.*the connection was reset"),
        distributed.errors_explained(Cluster()),
    ):
        raise lost
    with (
        pytest.raises(tf.errors.UnavailableError),
        distributed.errors_explained(tf.distribute.get_strategy()),
    ):
        raise lost


GRAPH_ERROR = """Graph execution error:

Detected at node dense/FusedBatchNormV3 defined at (most recent call last):
  File "train_dcgan.py", line 1, in <module>

2 root error(s) found.
  (0) INTERNAL:  No DNN support for stream
\t [[{{node dense/FusedBatchNormV3}}]]
\t [[while/body/_1/while/NoOp/_51]]
0 derived errors ignored. [Op:__inference_interpreted_steps_5243]"""


@pytest.mark.parametrize(
    "text", [GRAPH_ERROR, "{{function_node __wrapped__Add}} No DNN support for stream [Op:Add]"]
)
def test_an_error_of_the_gpu_is_one_line(text):
    with (
        pytest.raises(
            UserError, match=r"GPU failed \(InternalError: .*No DNN support for stream\)"
        ),
        distributed.errors_explained(tf.distribute.get_strategy()),
    ):
        raise tf.errors.InternalError(None, None, text)
