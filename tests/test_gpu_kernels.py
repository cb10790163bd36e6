"""Without a GPU at hand: every operation of a step and of drawing has a kernel that runs on one.

TensorFlow's registry names the kernels of all devices, in the CPU package too. An operation
without one would run on the host, in silence, and copy its inputs there and back.
"""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from config import TrainSettings
from sampling.randomness import BLOCK
from sampling.sampler import Sampler
from training.step import Trainer

ON_GPU = ("GPU", "DEFAULT")  # DEFAULT kernels run on any device


def operations(function):
    """The operations in a concrete function and in the functions that it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    no_operation = {each.signature.name for each in graph.library.function} | {"Placeholder"}
    return [node for node in nodes if node.op not in no_operation]


def kernels_of(node):
    """The kernels that are registered for an operation, for any device."""
    return kernels.get_registered_kernels_for_op(node.op).kernel


def runs_on_gpu(node):
    """Whether a kernel for a GPU is registered for an operation with its types."""
    return any(
        kernel.device_type in ON_GPU
        and all(
            node.attr[constraint.name].type in constraint.allowed_values.list.type
            for constraint in kernel.constraint
            if node.attr[constraint.name].type
        )
        for kernel in kernels_of(node)
    )


def compiles_for_gpu(node):
    """Whether XLA has a kernel for an operation on a GPU."""
    return "XLA_GPU_JIT" in {kernel.device_type for kernel in kernels_of(node)}


def test_an_operation_without_a_kernel_is_noticed():
    function = tf.function(lambda x: tf.strings.length(tf.strings.as_string(x)))
    nodes = operations(function.get_concrete_function(tf.TensorSpec([3], tf.float32)))
    assert {node.op for node in nodes if not runs_on_gpu(node)} >= {"AsString"}
    assert {node.op for node in nodes if not compiles_for_gpu(node)} >= {"AsString"}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_operation_has_a_kernel_for_gpus(precision):
    settings = TrainSettings(batch_size=8, precision=precision)
    gan = Trainer(settings, np.zeros((16, 28, 28), np.uint8))
    step = gan.replica_step.get_concrete_function(
        tf.TensorSpec([8, 28, 28], tf.uint8),
        tf.TensorSpec([8, settings.noise_dim], tf.float32),
        tf.TensorSpec([], tf.int64),
    )
    noise = tf.TensorSpec([BLOCK, settings.noise_dim], tf.float32)
    sampler = Sampler(gan.generator_ema)
    drawing = sampler.decode_block.get_concrete_function(noise)
    assert len(operations(step)) > 500
    for node in [*operations(step), *operations(drawing)]:
        assert runs_on_gpu(node), node.op
    for node in operations(step):
        assert compiles_for_gpu(node), node.op
