"""The generator as stock Keras, and what every exported file says about itself."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import data
import export_generator
import layers
import models
from cli import UserError
from config import REPOSITORY
from evaluation.classifier import DigitClassifier
from readers import read_npz
from sampling.acceptance import Acceptance
from storage import exports, folding
from storage.weights import named_variables

PRETRAINED = REPOSITORY / "checkpoints" / "pretrained"
BACKENDS = [
    "tensorflow",
    pytest.param("jax", marks=pytest.mark.slow),
    pytest.param("torch", marks=pytest.mark.slow),
]
# What somebody with Keras alone would run.
DRAW = """
import sys, keras, numpy as np
network = keras.models.load_model(sys.argv[1])
outputs = network(np.load(sys.argv[2]), training=False)OUTPUT
np.save(sys.argv[3], keras.ops.convert_to_numpy(outputs))
assert not {"layers", "models", "config"} & set(sys.modules)
assert keras.backend.backend() == sys.argv[4]
"""


def shake(network, seed=0):
    """Give every weight a value of its own, as training would, and variances positive ones."""
    generator = np.random.default_rng(seed)
    for name, variable in named_variables(network).items():
        values = generator.normal(0, 0.1, variable.shape)
        variable.assign(np.abs(values) + 0.1 if "variance" in name else values)
    return network


def noise(batch_size, dim=200):
    return np.random.default_rng(1).standard_normal((batch_size, dim), np.float32)


@pytest.fixture(scope="module")
def generator():
    return shake(models.build_generator())


@pytest.fixture
def run(generator, tmp_path):
    """The folder of a run that has a generator, epoch 3, and nothing else."""
    folder = tmp_path / "checkpoints" / "own"
    folder.mkdir(parents=True)
    arrays = {name: variable.numpy() for name, variable in named_variables(generator).items()}
    np.savez(folder / "generator.npz", **arrays, epoch=3.0)
    return folder


def export(run, *words):
    return export_generator.main(["--checkpoints_dir", str(run.parent), *map(str, words)])


def one_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def draw_elsewhere(path, z, backend, folder, output=""):
    """What a process with Keras on that backend, and without this repository, draws."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    np.save(folder / "z.npy", z)
    words = [path, folder / "z.npy", folder / "drawn.npy", backend]
    subprocess.run(
        [sys.executable, "-I", "-c", DRAW.replace("OUTPUT", output), *words],
        env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=folder,
        check=True,
        timeout=300,
    )
    return np.load(folder / "drawn.npy")


def description_of(path):
    """What an exported file says about itself, as its format's users would read it."""
    if path.is_dir():
        return json.loads((path / "digitgen.json").read_text())
    if path.suffix == ".onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("digitgen.json"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_keras_alone_draws_the_same_on_any_backend(run, generator, tmp_path, backend):
    assert export(run, "--format", "keras") == 0
    drawn = draw_elsewhere(run / "generator.keras", noise(5), backend, tmp_path)
    expected = generator(noise(5), training=False)
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(drawn, expected, atol=1e-4)


def test_every_layer_in_the_file_is_keras_own(run):
    assert export(run, "--format", "keras") == 0
    with zipfile.ZipFile(run / "generator.keras") as archive:
        config = json.loads(archive.read("config.json"))
        assert json.loads(archive.read("metadata.json"))["keras_version"] == keras.__version__
    layers_in_file = config["config"]["layers"]
    assert {layer["module"] for layer in layers_in_file} == {"keras.layers"}
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


class Code(keras.layers.Layer):
    """The largest of the first 8 inputs becomes 1, the others 0: a layer of no stock Keras."""

    def call(self, x):
        return tf.concat([tf.one_hot(tf.argmax(x[:, :8], 1), 8), x[:, 8:]], 1)


def fold_code(layer, x):
    code = keras.ops.one_hot(keras.ops.argmax(x[:, :8], axis=1), 8)
    return keras.ops.concatenate([code, x[:, 8:]], axis=1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_discrete_code_becomes_plain_operations(tmp_path, monkeypatch, backend):
    network = shake(keras.Sequential([keras.Input((20,)), Code(), layers.Dense(5)]))
    monkeypatch.setitem(folding.FOLDINGS, Code, fold_code)
    exports.export(network, "noise", "numbers", "keras", tmp_path / "a.keras")
    drawn = draw_elsewhere(tmp_path / "a.keras", noise(9, 20), backend, tmp_path)
    np.testing.assert_allclose(drawn, network(noise(9, 20)), atol=1e-5)


@pytest.mark.parametrize("layer", [Code(name="odd"), keras.layers.Lambda(abs, name="odd")])
def test_a_layer_without_a_counterpart_is_refused(tmp_path, layer):
    network = keras.Sequential([keras.Input((20,)), layer, keras.layers.Dense(5)])
    with pytest.raises(UserError, match=r"'odd' .*FOLDINGS in storage/folding\.py"):
        exports.export(network, "noise", "numbers", "keras", tmp_path / "a.keras")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", exports.FORMATS)
def test_a_file_says_what_it_is(run, name):
    scores = {"generator": "there/generator.npz, epoch 3", "num_samples": 9, "classifier": "c"}
    (run / "scores.json").write_text(json.dumps(scores | {"scores": {"fid_test": 4.5}}))
    assert export(run, "--format", name, "--with_classifier") == 0
    suffix = exports.FORMATS[name].suffix
    found = description_of(run / f"generator{suffix}")
    assert found["input"] == "noise, float32 (batch, 200): standard normal numbers"
    assert "-1 is black" in found["output"] and "MIT" in found["licence"]
    values = {key: found[key] for key in ("epoch", "num_codes", "scores")}
    if name == "onnx":  # which knows texts only
        values = {key: json.loads(value) for key, value in values.items()}
    assert found["run"] == "own" and values["epoch"] == 3 and values["num_codes"] == 0
    assert values["scores"]["scores"] == {"fid_test": 4.5}
    about_classifier = description_of(run / f"generator-classifier{suffix}")
    assert about_classifier["weights_sha256"] == DigitClassifier().sha256
    assert about_classifier["output"].startswith("probabilities, float32 (batch, 10)")


@pytest.mark.parametrize(
    "text", ['{"generator": "generator.npz, epoch 2", "scores": {}}', "[]", "broken", "{}"]
)
def test_scores_of_another_epoch_are_left_out(run, text):
    (run / "scores.json").write_text(text)
    assert export(run, "--format", "keras") == 0
    assert description_of(run / "generator.keras")["scores"] is None


@pytest.mark.slow
@pytest.mark.parametrize("name", exports.FORMATS)
def test_the_classifier_goes_along(run, name):
    assert export(run, "--format", name, "--with_classifier") == 0
    kind = exports.FORMATS[name]
    draw, read = (
        kind.load(run / f"{stem}{kind.suffix}") for stem in ("generator", "generator-classifier")
    )
    digits = draw({"noise": noise(4)})["digits"]
    probabilities = read({"digits": digits})["probabilities"]
    _, expected = DigitClassifier().network(digits, training=False)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", exports.FORMATS)
def test_the_classifier_says_how_likely_to_accept(tmp_path, name):
    kind = exports.FORMATS[name]
    output = tmp_path / f"a{kind.suffix}"
    words = ["--run", "pretrained", "--format", name, "--with_classifier", "--output", str(output)]
    assert export_generator.main(words) == 0
    path = tmp_path / f"a-classifier{kind.suffix}"
    assert "uniform random number is below its acceptance" in description_of(path)["accept"]
    digits = kind.load(output)({"noise": noise(300)})["digits"]
    found = kind.load(path)({"digits": digits})
    predictions = DigitClassifier().predict(data.to_pixels(digits[..., 0]))
    calibration = Acceptance(**read_npz(PRETRAINED / "acceptance.npz", *Acceptance._fields))
    expected = calibration.probability(predictions)[:, None]
    assert 0.4 < expected.mean() < 0.9
    assert np.abs(found["acceptance"] - expected).max() < 0.05  # its images are not rounded
    assert abs(found["acceptance"].mean() - expected.mean()) < 0.005


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


def test_a_classifier_in_the_way_is_named_before_anything_is_written(run, capsys):
    (run / "generator-classifier.keras").write_text("mine")
    assert export(run, "--format", "keras", "--with_classifier") == 2
    assert "generator-classifier.keras" in one_line(capsys)
    assert not (run / "generator.keras").exists()
    assert (run / "generator-classifier.keras").read_text() == "mine"


@pytest.mark.parametrize("name", exports.FORMATS)
def test_a_batch_size_is_fixed_on_request(run, capsys, name):
    assert export(run, "--format", name, "--batch", "2", "--with_classifier") == 0
    assert "at batch size 2\n" in capsys.readouterr().out
    path = run / f"generator{exports.FORMATS[name].suffix}"
    assert "(2, 200)" in description_of(path)["input"]
    assert taken(path, name) == [2, 200]


def taken(path, name):
    """The shape that the file says it takes."""
    if name == "keras":
        return list(keras.models.load_model(path).input_shape)
    if name == "onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(path).get_inputs()[0].shape
    if name == "tflite":
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(str(path)).get_input_details()[0]["shape_signature"].tolist()
    serve = tf.saved_model.load(path).signatures["serving_default"]
    return serve.structured_input_signature[1]["noise"].shape.as_list()


@pytest.mark.slow
def test_a_fixed_batch_leaves_nothing_dynamic_for_a_phones_gpu(run, capfd):
    shapes = {}
    for batch in ("any", "1"):
        path = run / f"{batch}.tflite"
        assert export(run, "--format", "tflite", "--batch", batch, "--output", path) == 0
        capfd.readouterr()
        tf.lite.experimental.Analyzer.analyze(model_path=str(path), gpu_compatibility=True)
        report = capfd.readouterr().out
        shapes[batch] = report.count(" SHAPE(")
        assert "compatible with GPU delegate" in report
    assert shapes["any"] > 0 and shapes["1"] == 0


@pytest.mark.parametrize("batch", ["0", "-1", "1.5", "", "all"])
def test_a_batch_of_nothing_is_refused(run, capsys, batch):
    assert export(run, f"--batch={batch}") == 2
    assert "--batch" in one_line(capsys)
    assert [path.name for path in run.iterdir()] == ["generator.npz"]


@pytest.mark.parametrize(
    "name, package, line",
    [
        ("onnx", "tf2onnx", "raise TypeError('Descriptors cannot be created\\n\\nIf this')"),
        ("onnx", "onnxruntime", "raise AttributeError"),
        ("tflite", "ai_edge_litert", "import no_such_module.deep"),
    ],
)
def test_a_broken_package_is_named(run, tmp_path, monkeypatch, capsys, name, package, line):
    (tmp_path / f"{package}.py").write_text(line)
    for module in [each for each in sys.modules if each.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.syspath_prepend(tmp_path)
    assert export(run, "--format", name) == 2
    words = one_line(capsys)
    assert package.replace("_", "-") in words and "pip install" in words
    assert [path.name for path in run.iterdir()] == ["generator.npz"]
