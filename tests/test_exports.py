"""A network in the files of other runtimes."""

import sys

import keras
import numpy as np
import pytest

import layers
from cli import UserError
from exporting import FORMATS, near_ties
from storage import exports

# .keras files are of our layers alone: test_keras_export.py.
ANY_NETWORK = ["saved_model", *FORMATS[2:]]


@pytest.fixture(scope="module")
def network():
    """A small network that takes five numbers."""
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, "tanh")])


@pytest.mark.parametrize("name", ANY_NETWORK)
def test_the_other_runtime_computes_the_same_at_any_batch_size(network, tmp_path, name):
    path = tmp_path / f"a{exports.FORMATS[name].suffix}"
    assert exports.export(network, "numbers", "outputs", name, path) < 1e-5
    call = exports.FORMATS[name].load(path)
    for batch_size in (1, 2, 65):
        inputs = np.random.default_rng(batch_size).standard_normal((batch_size, 5), np.float32)
        outputs = call({"numbers": inputs})["outputs"]
        assert outputs.dtype == np.float32
        np.testing.assert_allclose(outputs, network(inputs), atol=1e-5)


@pytest.mark.parametrize("name", ANY_NETWORK)
def test_a_code_is_the_same_on_both_sides_of_a_tie(tmp_path, name):
    network = keras.Sequential([keras.Input((20,)), layers.DiscreteCode(8), layers.Dense(5)])
    path = tmp_path / f"a{exports.FORMATS[name].suffix}"
    exports.export(network, "noise", "outputs", name, path)
    z = near_ties(20)
    outputs = exports.FORMATS[name].load(path)({"noise": z})["outputs"]
    np.testing.assert_allclose(outputs, network(z), atol=1e-5)
    codes = layers.DiscreteCode(8)(z).numpy()[:, :8].argmax(1)
    assert codes.tolist() == [0 if i % 3 < 2 else 1 for i in range(32)]


@pytest.mark.parametrize("name", ANY_NETWORK)
@pytest.mark.parametrize("offset", [0.01, np.nan])
def test_what_differs_from_keras_is_not_written(network, tmp_path, monkeypatch, name, offset):
    kind = exports.FORMATS[name]

    def load(path):
        call = kind.load(path)

        def call_wrongly(arrays):
            outputs = call(arrays)["outputs"]
            return {"outputs": outputs + offset * (len(outputs) > 1)}

        return call_wrongly

    monkeypatch.setitem(exports.FORMATS, name, kind._replace(load=load))
    with pytest.raises(UserError, match="differ"):
        exports.export(network, "numbers", "outputs", name, tmp_path / f"a{kind.suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "package", "wanted"),
    [
        ("onnx", "tf2onnx", "pip install --upgrade tf2onnx onnxruntime"),
        ("onnx", "onnxruntime", "pip install --upgrade tf2onnx onnxruntime"),
        ("tflite", "ai_edge_litert", "pip install --upgrade ai-edge-litert"),
    ],
)
def test_a_missing_package_is_named(monkeypatch, name, package, wanted):
    for each in exports.FORMATS[name].packages:  # those before it are there
        monkeypatch.setitem(sys.modules, each, None if each == package else exports)
    with pytest.raises(UserError, match=wanted):
        exports.check_packages(name)


def test_another_shape_is_a_difference(network):
    exported = exports.Exported(network, "numbers", ("outputs",), None, {})
    call = lambda arrays: {"outputs": np.zeros((2, 4))}  # noqa: E731
    assert exports.largest_difference(exported, call, 2) == np.inf


@pytest.mark.parametrize("name", ANY_NETWORK)
def test_a_batch_size_may_be_fixed_and_several_outputs_named(network, tmp_path, name):
    both = keras.Model(network.inputs, [network.outputs[0], -network.outputs[0]])
    path = tmp_path / f"a{exports.FORMATS[name].suffix}"
    assert exports.export(both, "numbers", ("plus", "minus"), name, path, batch=3) < 1e-5
    inputs = np.ones((3, 5), np.float32)
    outputs = exports.FORMATS[name].load(path)({"numbers": inputs})
    np.testing.assert_allclose(outputs["plus"], -outputs["minus"])
    np.testing.assert_allclose(outputs["plus"], network(inputs), atol=1e-5)
