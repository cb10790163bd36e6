"""The generator as stock Keras, for any backend."""

import json
import zipfile

import keras
import numpy as np
import pytest

import export_generator
import layers
from cli import UserError
from exporting import BACKENDS, draw_elsewhere, export, make_run, near_ties, noise, shake
from storage import exports, folding


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_keras_alone_draws_the_same_on_any_backend(tmp_path, backend):
    run, generator = make_run(tmp_path)
    assert export(run, "--format", "keras") == 0
    drawn = draw_elsewhere(run / "generator.keras", noise(5), backend, tmp_path)
    expected = generator(noise(5), training=False)
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(drawn, expected, atol=1e-4)


def test_every_layer_in_the_file_is_keras_own(tmp_path):
    run, _ = make_run(tmp_path)
    assert export(run, "--format", "keras") == 0
    with zipfile.ZipFile(run / "generator.keras") as archive:
        config = json.loads(archive.read("config.json"))
        assert json.loads(archive.read("metadata.json"))["keras_version"] == keras.__version__
    layers_in_file = config["config"]["layers"]
    modules = {layer["module"] for layer in layers_in_file}
    assert "keras.layers" in modules
    assert all(module.startswith(("keras.layers", "keras.src.ops")) for module in modules)
    assert (config["config"]["name"], layers_in_file[0]["name"]) == ("generator", "noise")


def test_multipliers_are_folded_into_kernels_and_biases():
    network = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(4, 5, 2, lr_multiplier=10, bias_lr_multiplier=3, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2DTranspose(3, 4, 2, lr_multiplier=5, use_bias=False),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            layers.Dense(6, lr_multiplier=7, activation="tanh"),
        ]
    )
    shake(network)
    images = np.random.default_rng(0).uniform(-1, 1, (3, 28, 28, 1)).astype(np.float32)
    folded = folding.fold(network, "images", ("numbers",))
    assert folded.output_names == ["numbers"]
    np.testing.assert_allclose(folded(images), network(images, training=False), atol=1e-5)


class Odd(keras.layers.Layer):
    """A layer that stock Keras does not have."""

    def call(self, x):
        return -x


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_discrete_code_becomes_plain_operations(tmp_path, backend):
    network = shake(keras.Sequential([keras.Input((20,)), layers.DiscreteCode(8), layers.Dense(5)]))
    exports.export(network, "noise", "numbers", "keras", tmp_path / "a.keras")
    drawn = draw_elsewhere(tmp_path / "a.keras", near_ties(20), backend, tmp_path)
    np.testing.assert_allclose(drawn, network(near_ties(20)), atol=1e-5)


@pytest.mark.parametrize("layer", [Odd(name="odd"), keras.layers.Lambda(abs, name="odd")])
def test_a_layer_without_a_counterpart_is_refused(tmp_path, layer):
    network = keras.Sequential([keras.Input((20,)), layer, keras.layers.Dense(5)])
    with pytest.raises(UserError, match=r"'odd' .*FOLDINGS in storage/folding\.py"):
        exports.export(network, "noise", "numbers", "keras", tmp_path / "a.keras")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_acceptance_is_the_same_on_any_backend(tmp_path, backend):
    words = ["--run", "pretrained", "--format", "keras", "--with_classifier"]
    assert export_generator.main([*words, "--output", str(tmp_path / "a.keras")]) == 0
    digits = exports.load_keras(tmp_path / "a.keras")({"noise": noise(100)})["digits"]
    path = tmp_path / "a-classifier.keras"
    expected = exports.load_keras(path)({"digits": digits})["acceptance"]
    found = draw_elsewhere(path, digits, backend, tmp_path, '["acceptance"]')
    np.testing.assert_allclose(found, expected, atol=1e-4)
