"""A network in the files of other runtimes, of which Keras' own has stock layers only."""

import sys

import keras
import numpy as np
import pytest

import layers
from cli import UserError
from exporting import FORMATS, draw_elsewhere, noise, shake
from storage import exports, folding
from storage.exports import Exported


@pytest.fixture(scope="module")
def network():
    """A small network with a discrete code."""
    stack = [keras.Input((20,)), layers.DiscreteCode(8), layers.Dense(5, lr_multiplier=3)]
    return shake(keras.Sequential(stack))


def near_ties():
    """Noise (32, 20) whose first two numbers, the largest, are equal or differ in the last bit."""
    z = np.minimum(noise(32, 20), 1)
    z[:, :2] = 2
    z[1::3, 0] = z[2::3, 1] = np.nextafter(np.float32(2), np.float32(3))
    return z


@pytest.mark.parametrize("name", FORMATS)
def test_every_runtime_computes_the_same_at_any_batch_size(network, tmp_path, name):
    path = tmp_path / f"a{exports.FORMATS[name].suffix}"
    exports.export(Exported(network, "numbers", ("outputs",)), name, path)
    call = exports.FORMATS[name].load(path)
    for x in (noise(1, 20), noise(65, 20), near_ties()):
        outputs = call({"numbers": x})["outputs"]
        assert outputs.dtype == np.float32
        np.testing.assert_allclose(outputs, network(x), atol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_a_batch_size_may_be_fixed_and_several_outputs_named(network, tmp_path, name):
    both = keras.Model(network.inputs, [network.outputs[0], -network.outputs[0]])
    path = tmp_path / f"a{exports.FORMATS[name].suffix}"
    exports.export(Exported(both, "numbers", ("plus", "minus"), batch=3), name, path)
    outputs = exports.FORMATS[name].load(path)({"numbers": noise(3, 20)})
    np.testing.assert_allclose(outputs["plus"], -outputs["minus"])
    np.testing.assert_allclose(outputs["plus"], network(noise(3, 20)), atol=1e-5)


@pytest.mark.parametrize("offset", [0.01, np.nan])
def test_what_differs_from_keras_is_not_written(network, tmp_path, monkeypatch, offset):
    kind = exports.FORMATS["keras"]

    def load(path):
        call = kind.load(path)
        return lambda arrays: {"outputs": call(arrays)["outputs"] + offset}

    monkeypatch.setitem(exports.FORMATS, "keras", kind._replace(load=load))
    with pytest.raises(UserError, match="differs from Keras"):
        exports.export(Exported(network, "numbers", ("outputs",)), "keras", tmp_path / "a.keras")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "package", "line"),
    [
        ("onnx", "tf2onnx", "raise TypeError('Descriptors cannot be created\\n\\nIf this')"),
        ("onnx", "onnxruntime", "raise AttributeError"),
        ("tflite", "ai_edge_litert", "import no_such_module.deep"),
    ],
)
def test_a_missing_or_broken_package_is_named(tmp_path, monkeypatch, name, package, line):
    packages = exports.FORMATS[name].packages
    for each in packages[: packages.index(package)]:  # those before it are there
        monkeypatch.setitem(sys.modules, each, exports)
    (tmp_path / f"{package}.py").write_text(line)
    for module in [each for each in sys.modules if each.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(tmp_path)
    command = f"pip install --upgrade {' '.join(packages).replace('_', '-')}"
    with pytest.raises(UserError, match=command):
        exports.check_packages(name)


def test_the_networks_fold_into_stock_layers():
    stack = [
        keras.Input((28, 28, 1)),
        layers.Conv2D(4, 5, 2, lr_multiplier=10, bias_lr_multiplier=3, activation="relu"),
        layers.BatchNormalization(),
        layers.Conv2DTranspose(3, 4, 2, lr_multiplier=5, use_bias=False),
        keras.layers.Dropout(0.5),
        keras.layers.Flatten(),
        layers.DiscreteCode(8),
        layers.Dense(6, lr_multiplier=7, activation="tanh"),
    ]
    network = shake(keras.Sequential(stack))
    images = np.random.default_rng(0).uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    folded = folding.fold(network, "images", ("numbers",))
    assert folded.output_names == ["numbers"] and folded.inputs[0].name == "images"
    assert all(type(layer).__module__.startswith("keras.") for layer in folded.layers)
    np.testing.assert_allclose(folded(images), network(images, training=False), atol=1e-5)


class Odd(keras.layers.Layer):
    """A layer that stock Keras does not have."""

    def call(self, x):
        return -x


@pytest.mark.parametrize("layer", [Odd(name="odd"), keras.layers.Lambda(abs, name="odd")])
def test_a_layer_without_a_counterpart_is_refused(tmp_path, layer):
    network = keras.Sequential([keras.Input((20,)), layer, keras.layers.Dense(5)])
    with pytest.raises(UserError, match=r"'odd' .*FOLDINGS in storage/folding\.py"):
        exports.export(Exported(network, "noise", ("numbers",)), "keras", tmp_path / "a.keras")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_keras_alone_computes_the_same_on_any_backend(network, tmp_path, backend):
    exports.export(Exported(network, "noise", ("numbers",)), "keras", tmp_path / "a.keras")
    drawn = draw_elsewhere(tmp_path / "a.keras", near_ties(), backend, tmp_path)
    np.testing.assert_allclose(drawn, network(near_ties()), atol=1e-5)
