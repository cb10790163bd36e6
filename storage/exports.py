"""A network in the files of other runtimes, each asked whether it computes what Keras does."""

import importlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cli import UserError
from startup import hidden_messages
from storage import files

BATCH_SIZES = (1, 7)  # any two show that the batch is free
ROUNDING = 1e-4
GREY_LEVEL = 1 / 127.5


def build_module(network, takes, gives):
    """A tf.Module whose `serve` is the network in use: {gives: network(takes)}, batch free.

    Each runtime gets this one function, so no converter has to know the network's layers.
    """
    import tensorflow as tf

    inputs = tf.TensorSpec(network.input_shape, tf.float32, takes)
    module = tf.Module()
    module.variables_served = [variable.value for variable in network.variables]
    module.serve = tf.function(lambda x: {gives: network(x, training=False)}, [inputs])
    return module


def save_saved_model(module, path):
    """Write a folder that TensorFlow serves without this code."""
    import tensorflow as tf

    tf.saved_model.save(module, path, signatures=module.serve)


def load_saved_model(path):
    """Its function: {name: array} to {name: array}."""
    import tensorflow as tf

    serve = tf.saved_model.load(path).signatures["serving_default"]
    return lambda arrays: {name: value.numpy() for name, value in serve(**arrays).items()}


def save_onnx(module, path):
    """Write an ONNX file."""
    import tf2onnx

    model, _ = tf2onnx.convert.from_function(module.serve, module.serve.input_signature)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    path.write_bytes(model.SerializeToString())


def load_onnx(path):
    """Its function: {name: array} to {name: array}."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return lambda arrays: dict(zip(names, session.run(names, arrays)))


def save_tflite(module, path):
    """Write a LiteRT (TensorFlow Lite) file."""
    import tensorflow as tf

    functions = [module.serve.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, module)
    path.write_bytes(converter.convert())


def load_tflite(path):
    """Its function: {name: array} to {name: array}."""
    from ai_edge_litert.interpreter import Interpreter

    serve = Interpreter(str(path)).get_signature_runner()
    return lambda arrays: serve(**arrays)


class Format(NamedTuple):
    """A file format, how it is written and read, and what it may differ from Keras."""

    suffix: str
    packages: tuple  # beside TensorFlow, as they are imported
    save: Callable
    load: Callable
    tolerance: float


FORMATS = {
    "saved_model": Format(".saved_model", (), save_saved_model, load_saved_model, ROUNDING),
    "onnx": Format(".onnx", ("tf2onnx", "onnxruntime"), save_onnx, load_onnx, ROUNDING),
    "tflite": Format(".tflite", ("ai_edge_litert",), save_tflite, load_tflite, GREY_LEVEL),
}


def check_packages(name):
    """Raise UserError, with the command that mends it, unless this format can be written."""
    packages = FORMATS[name].packages
    for package in packages:
        try:
            importlib.import_module(package)
        except Exception as error:  # protobuf's TypeError, where versions do not fit
            reason = " ".join(str(error).split())[:200]
            wanted = " ".join(packages).replace("_", "-")
            raise UserError(
                f"{name} needs more packages, or other versions ({reason}): "
                f"pip install --upgrade {wanted}"
            ) from error


def export(network, takes, gives, name, path):
    """Write a network to `path` in the format of this name; how far it is from Keras.

    It takes float32 (batch, ...) called `takes` and gives one called `gives`. Raises UserError, and
    leaves what was there, when it cannot be written or does not compute what the network does.
    """
    import tensorflow as tf

    kind = FORMATS[name]
    with files.taking_place(path) as partial, hidden_messages():
        try:
            kind.save(build_module(network, takes, gives), partial)
        except tf.errors.OpError as error:
            reason = error.message.rpartition("; ")[2]
            raise UserError(f"{path}: cannot be written ({reason})") from error
        call = kind.load(partial)
        differences = [
            largest_difference(network, lambda x: call({takes: x})[gives], batch_size)
            for batch_size in BATCH_SIZES
        ]
        difference = np.max(differences)  # NaN if one is
        if not difference <= kind.tolerance:
            raise UserError(
                f"{path}: not written: it differs from Keras by {difference:.2g}, and up "
                f"to {kind.tolerance:.1g} is rounding; try the versions in requirements-dev.txt"
            )
    return difference


def largest_difference(network, call, batch_size):
    """How far two networks are apart on the same noise; infinite if their shapes are."""
    noise = np.random.default_rng(0).standard_normal((batch_size, *network.input_shape[1:]))
    noise = noise.astype(np.float32)
    expected, found = network(noise, training=False).numpy(), call(noise)
    return np.max(np.abs(expected - found)) if expected.shape == found.shape else np.inf
