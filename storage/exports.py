"""Export a network, and verify each file in its own runtime."""

import importlib
import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cli import UserError
from machine import files
from machine.loading import hidden_messages
from storage import metadata

BATCH_SIZES = (1, 7)  # any two show that a batch is free
ROUNDING = 1e-4
GREY_LEVEL = 1 / 127.5


class Exported(NamedTuple):
    """A network with the input and output names used in the export."""

    network: object  # a Keras model
    takes: str  # the name of its input, float32 (batch, ...),
    gives: tuple  # and those of its outputs
    batch: int | None  # a fixed batch size, or None for any
    description: dict  # what its file says about itself


def build_module(exported):
    """A tf.Module whose `serve` is the network in use: {takes: array} to {name: array}.

    Most runtimes get this one function, so no converter has to know the network's layers.
    """
    import tensorflow as tf

    shape = (exported.batch, *exported.network.input_shape[1:])
    inputs = tf.TensorSpec(shape, tf.float32, exported.takes)
    module = tf.Module()
    module.variables_served = [variable.value for variable in exported.network.variables]
    module.serve = tf.function(lambda x: compute(exported, x), [inputs])
    return module


def compute(exported, x):
    """What the network gives for x, outside training: {name: tensor}."""
    outputs = exported.network(x, training=False)
    return dict(zip(exported.gives, outputs if isinstance(outputs, list) else [outputs]))


def save_saved_model(exported, path):
    """Write a folder that TensorFlow serves without this code."""
    import tensorflow as tf

    module = build_module(exported)
    tf.saved_model.save(module, path, signatures=module.serve)
    (path / metadata.MEMBER).write_text(metadata.as_json(exported.description))


def load_saved_model(path):
    """Its function: {name: array} to {name: array}."""
    import tensorflow as tf

    serve = tf.saved_model.load(path).signatures["serving_default"]
    return lambda arrays: {name: value.numpy() for name, value in serve(**arrays).items()}


def save_onnx(exported, path):
    """Write an ONNX file."""
    import tf2onnx

    serve = build_module(exported).serve
    model, _ = tf2onnx.convert.from_function(serve, serve.input_signature)
    if exported.batch is None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for key, value in exported.description.items():
        text = value if isinstance(value, str) else json.dumps(value)
        model.metadata_props.add(key=key, value=text)
    path.write_bytes(model.SerializeToString())


def load_onnx(path):
    """Its function: {name: array} to {name: array}."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return lambda arrays: dict(zip(names, session.run(names, arrays)))


def save_tflite(exported, path):
    """Write a LiteRT (TensorFlow Lite) file."""
    import tensorflow as tf

    module = build_module(exported)
    functions = [module.serve.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, module)
    path.write_bytes(converter.convert())
    metadata.add_member(path, exported.description)


def load_tflite(path):
    """Its function: {name: array} to {name: array}."""
    from ai_edge_litert.interpreter import Interpreter

    serve = Interpreter(str(path)).get_signature_runner()
    return lambda arrays: serve(**arrays)


def save_keras(exported, path):
    """Write a .keras file of stock layers, for Keras 3 on any backend."""
    from storage import folding

    network, takes, gives, batch, _ = exported
    folding.fold(network, takes, gives, batch).save(path)
    metadata.add_member(path, exported.description)


def load_keras(path):
    """Its function: {name: array} to {name: array}."""
    import keras

    network = keras.models.load_model(path, safe_mode=True)
    takes, names = network.inputs[0].name, network.output_names

    def call(arrays):
        outputs = network(arrays[takes], training=False)
        outputs = outputs if isinstance(outputs, dict) else {names[0]: outputs}
        return {name: keras.ops.convert_to_numpy(output) for name, output in outputs.items()}

    return call


class Format(NamedTuple):
    """A file format, how it is written and read, and the allowed difference from Keras."""

    suffix: str
    packages: tuple  # beside TensorFlow, as they are imported
    save: Callable
    load: Callable
    tolerance: float


FORMATS = {
    "keras": Format(".keras", (), save_keras, load_keras, ROUNDING),
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
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            wanted = " ".join(packages).replace("_", "-")
            raise UserError(
                f"{name} needs more packages, or other versions ({reason}): "
                f"pip install --upgrade {wanted}"
            ) from error


def export(network, takes, gives, name, path, batch=None, description=None):
    """Export a network in the format of this name; return the largest difference from Keras.

    It takes float32 (batch, ...) called `takes`, for any batch unless one is given, and gives what
    `gives` names, a string or a tuple of them. The description is a dictionary for JSON. Raises
    UserError, and leaves what was there, when it cannot be written or does not compute what the
    network does.
    """
    import tensorflow as tf

    kind, gives = FORMATS[name], (gives,) if isinstance(gives, str) else gives
    exported = Exported(network, takes, gives, batch, description or {})
    with files.taking_place(path) as partial, hidden_messages():
        try:
            kind.save(exported, partial)
        except tf.errors.OpError as error:
            reason = error.message.rpartition("; ")[2]
            raise UserError(f"{path}: cannot be written ({reason})") from error
        call = kind.load(partial)
        differences = [largest_difference(exported, call, each) for each in batch_sizes(batch)]
        difference = np.max(differences)  # NaN if one is
        if not difference <= kind.tolerance:
            raise UserError(
                f"{path}: not written: it differs from Keras by {difference:.2g}, and up "
                f"to {kind.tolerance:.1g} is rounding; try the versions in requirements-dev.txt"
            )
    return difference


def batch_sizes(batch):
    """The batch sizes at which a file is checked."""
    return BATCH_SIZES if batch is None else (batch,)


def largest_difference(exported, call, batch_size):
    """How far two networks are apart on the same noise; infinite if their shapes are."""
    shape = (batch_size, *exported.network.input_shape[1:])
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found, differences = call({exported.takes: noise}), []
    for name, expected in compute(exported, noise).items():
        same_shape = found[name].shape == expected.shape
        differences.append(np.max(np.abs(found[name] - expected)) if same_shape else np.inf)
    return np.max(differences)
