"""Export a network, and verify each file in its own runtime."""

import importlib
import json
import zipfile
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cli import UserError, say
from machine import files
from machine.command import pip_command
from machine.loading import hidden_messages

BATCH_SIZES = (1, 7)  # any two show that a batch is free
ROUNDING = 1e-4
GREY_LEVEL = 1 / 127.5
MEMBER = "digitgen.json"  # the description's name in an archive or a folder


class Exported(NamedTuple):
    """A network with what its file says of it."""

    network: object  # a Keras model
    input: str  # the name of its input, float32 (batch, ...),
    outputs: tuple  # and those of its outputs
    batch: int | None = None  # a fixed batch size, or None for any
    description: dict = {}  # noqa: RUF012 - for JSON

    def compute(self, x):
        """The network's outputs for x, outside training: {name: tensor}."""
        outputs = self.network(x, training=False)
        return dict(zip(self.outputs, outputs if isinstance(outputs, list) else [outputs]))

    def to_module(self):
        """A tf.Module whose `serve` computes {input: array} to {name: array}.

        TensorFlow's converters take this one function and need not know the network's layers.
        """
        import tensorflow as tf

        shape = (self.batch, *self.network.input_shape[1:])
        inputs = tf.TensorSpec(shape, tf.float32, self.input)
        module = tf.Module()
        module.variables_served = [variable.value for variable in self.network.variables]
        module.serve = tf.function(self.compute, [inputs])
        return module


# Each `save_` writes an Exported to a path. Each `load_` returns the file's function in its own
# runtime: {input: array} to {name: array}.


def save_saved_model(exported, path):
    """Write a folder that TensorFlow serves without this code."""
    import tensorflow as tf

    module = exported.to_module()
    tf.saved_model.save(module, path, signatures=module.serve)
    (path / MEMBER).write_text(json.dumps(exported.description, indent=2))


def load_saved_model(path):
    import tensorflow as tf

    serve = tf.saved_model.load(path).signatures["serving_default"]
    return lambda arrays: {name: value.numpy() for name, value in serve(**arrays).items()}


def save_onnx(exported, path):
    """Write an ONNX file."""
    import tf2onnx

    serve = exported.to_module().serve
    model, _ = tf2onnx.convert.from_function(serve, serve.input_signature)
    if exported.batch is None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for key, value in exported.description.items():
        text = value if isinstance(value, str) else json.dumps(value)
        model.metadata_props.add(key=key, value=text)
    path.write_bytes(model.SerializeToString())


def load_onnx(path):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    return lambda arrays: dict(zip(names, session.run(names, arrays)))


def save_tflite(exported, path):
    """Write a LiteRT (TensorFlow Lite) file."""
    import tensorflow as tf

    module = exported.to_module()
    functions = [module.serve.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, module)
    path.write_bytes(converter.convert())
    add_description(path, exported.description)


def load_tflite(path):
    from ai_edge_litert.interpreter import Interpreter

    serve = Interpreter(str(path)).get_signature_runner()
    return lambda arrays: serve(**arrays)


def save_keras(exported, path):
    """Write a .keras file of stock layers, for Keras 3 on any backend."""
    from storage import folding

    folding.fold(*exported[:4]).save(path)
    add_description(path, exported.description)


def load_keras(path):
    import keras

    network = keras.models.load_model(path, safe_mode=True)

    def call(arrays):
        outputs = network(arrays[network.inputs[0].name], training=False)
        outputs = outputs if isinstance(outputs, dict) else {network.output_names[0]: outputs}
        return {name: keras.ops.convert_to_numpy(output) for name, output in outputs.items()}

    return call


def add_description(path, description):
    """Put a description into a zip archive, or behind a file of another kind.

    TensorFlow Lite's own metadata is appended to the model in this way: programs that read the
    model from its beginning do not see it, programs that read the archive from its end do.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(MEMBER), json.dumps(description, indent=2))


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
    """Raise UserError, with the command that installs them, unless a format's packages load."""
    packages = FORMATS[name].packages
    for package in packages:
        try:
            importlib.import_module(package)
        except Exception as error:  # protobuf raises TypeError when versions do not fit
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            wanted = [each.replace("_", "-") for each in packages]
            raise UserError(
                f"{name} needs packages that are missing or do not fit ({reason}): "
                f"{pip_command('install', '--upgrade', *wanted)}"
            ) from error


def export(exported, name, path):
    """Write an Exported in the format of this name, and say how close to Keras its outputs are.

    Raises UserError, and leaves what was there, when the file cannot be written or does not
    compute what the network does.
    """
    import tensorflow as tf

    kind, sizes = FORMATS[name], (exported.batch,) if exported.batch else BATCH_SIZES
    with files.atomic_path(path) as partial, hidden_messages():
        try:
            kind.save(exported, partial)
        except tf.errors.OpError as error:
            reason = error.message.rpartition("; ")[2]
            raise UserError(f"{path}: cannot be written ({reason})") from error
        call = kind.load(partial)
        difference = np.max([largest_difference(exported, call, size) for size in sizes])
        if not difference <= kind.tolerance:  # NaN is not
            raise UserError(
                f"{path}: not written, because it differs from Keras by {difference:.2g}, more "
                f"than rounding ({kind.tolerance:.1g}); try the versions in requirements-dev.txt"
            )
    words = " and ".join(map(str, sizes))
    say(f"Checked in its own runtime: within {difference:.1g} of Keras at batch size {words}")


def largest_difference(exported, call, batch_size):
    """How much the outputs of two networks differ on the same noise."""
    shape = (batch_size, *exported.network.input_shape[1:])
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found, expected = call({exported.input: noise}), exported.compute(noise)
    return np.max([np.max(np.abs(found[name] - expected[name])) for name in expected])
