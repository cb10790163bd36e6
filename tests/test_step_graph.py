"""The traced step, as a GPU would run it: counted on the CPU, because no test needs a GPU."""

import re

import numpy as np
import pytest
import tensorflow as tf

import data
from config import TrainSettings
from training.step import Trainer

HOST_CALLS = {"PyFunc", "PyFuncStateless", "EagerPyFunc", "PrintV2", "Print", "StringFormat"}
SETTINGS = TrainSettings(batch_size=8)
ORDER = data.epoch_order(40, 8, seed=0, epoch=0)


@pytest.fixture(scope="module")
def gan():
    """A Trainer whose step XLA compiles; it has been traced and has taken no step."""
    gan = Trainer(SETTINGS, np.zeros((40, 28, 28), np.uint8), compiled=True)
    gan.take_steps.get_concrete_function(ORDER, tf.TensorSpec([], tf.int32))
    return gan


@pytest.fixture(scope="module")
def loop(gan):
    """The operations of one turn of the loop over steps."""
    function = gan.take_steps.get_concrete_function(ORDER, tf.TensorSpec([], tf.int32))
    graph = function.graph.as_graph_def()
    [name] = [node.attr["body"].func.name for node in graph.node if "While" in node.op]
    [body] = [each for each in graph.library.function if each.signature.name == name]
    return body


def compiled_calls(nodes):
    """Those of some operations that XLA compiles."""
    return [node for node in nodes if node.attr["_XlaMustCompile"].b]


@pytest.mark.slow
def test_the_step_is_traced_once_for_any_number_of_steps_of_any_epoch(gan):
    for epoch, count in enumerate((1, 3, 5)):
        order = data.epoch_order(40, 8, seed=0, epoch=epoch)
        gan.take_steps(order, np.array(count, np.int32))
    assert gan.take_steps.experimental_get_tracing_count() == 1
    assert gan.replica_step.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_the_compiled_step_has_static_shapes_and_never_asks_the_host(gan):
    arguments = [np.zeros((8, 28, 28), np.uint8), np.zeros((8, 200), np.float32), np.int64(0)]
    program = gan.replica_step.experimental_get_compiler_ir(*map(tf.constant, arguments))("hlo")
    shapes = re.findall(r"[a-z0-9]+\[([0-9,<=]*)\]", program)
    assert len(shapes) > 1000 and "8,28,28" in shapes
    assert not [shape for shape in shapes if "<=" in shape]  # how HLO writes a dynamic size
    assert not re.search(r"\b(infeed|outfeed|send|recv|custom-call)\(", program)


@pytest.mark.slow
def test_a_turn_of_the_loop_hands_the_device_a_batch_and_waits_for_nothing(loop):
    """What is computed on the host in each turn, and what of it the compiled step takes."""
    [call] = compiled_calls(loop.node_def)
    nodes = {node.name: node for node in loop.node_def}
    taken = [name.partition(":")[0] for name in call.input]
    on_host = {name for name, node in nodes.items() if "CPU" in node.device}
    handed_over = [nodes[name].op for name in taken if name in on_host]
    assert sorted(handed_over) == ["GatherV2"]  # the batch, uint8
    assert not {node.op for node in loop.node_def} & HOST_CALLS
    noise = [node for node in loop.node_def if node.op == "StatelessRandomNormalV2"]
    assert noise and not on_host & {node.name for node in noise}  # drawn on the device
