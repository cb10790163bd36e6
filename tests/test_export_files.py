"""What an exported file says about itself, the classifier beside it, and what is refused."""

import json
import sys
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import data
import export_generator
from config import REPOSITORY
from evaluation.classifier import DigitClassifier
from exporting import FORMATS, export, make_run, noise
from readers import read_npz
from sampling.acceptance import Acceptance
from storage import exports

PRETRAINED = REPOSITORY / "checkpoints" / "pretrained"


@pytest.fixture
def run(tmp_path):
    """The folder of a run."""
    return make_run(tmp_path)[0]


def one_line(capsys):
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def description_of(path):
    """What an exported file says about itself, as its format's users would read it."""
    if path.is_dir():
        return json.loads((path / "digitgen.json").read_text())
    if path.suffix == ".onnx":
        import onnxruntime

        return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("digitgen.json"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_says_what_it_is(run, name):
    scores = {"generator": "there/generator.npz, epoch 3", "num_samples": 9, "classifier": "c"}
    (run / "scores.json").write_text(json.dumps(scores | {"scores": {"fid_test": 4.5}}))
    assert export(run, "--format", name, "--with_classifier") == 0
    suffix = exports.FORMATS[name].suffix
    found = description_of(run / f"generator{suffix}")
    assert found["input"] == "noise, float32 (batch, 200): standard normal"
    assert "-1 is black" in found["output"] and "MIT" in found["licence"]
    values = {key: found[key] for key in ("epoch", "num_codes", "scores")}
    if name == "onnx":  # which knows texts only
        values = {key: json.loads(value) for key, value in values.items()}
    assert found["run"] == "own" and values["epoch"] == 3 and values["num_codes"] == 32
    assert values["scores"]["scores"] == {"fid_test": 4.5}
    about_classifier = description_of(run / f"generator-classifier{suffix}")
    assert about_classifier["weights_sha256"] == DigitClassifier().sha256
    assert about_classifier["output"].startswith("probabilities, float32 (batch, 10)")


@pytest.mark.parametrize(
    "text",
    [
        '{"generator": "generator.npz, epoch 2", "scores": {}}',
        *(pytest.param(text, marks=pytest.mark.slow) for text in ("[]", "broken", "{}")),
    ],
)
def test_scores_of_another_epoch_are_left_out(run, text):
    (run / "scores.json").write_text(text)
    assert export(run, "--format", "keras") == 0
    assert description_of(run / "generator.keras")["scores"] is None


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
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
@pytest.mark.parametrize("name", FORMATS)
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


def test_a_classifier_in_the_way_is_named_before_anything_is_written(run, capsys):
    (run / "generator-classifier.keras").write_text("mine")
    assert export(run, "--format", "keras", "--with_classifier") == 2
    assert "generator-classifier.keras" in one_line(capsys)
    assert not (run / "generator.keras").exists()
    assert (run / "generator-classifier.keras").read_text() == "mine"


@pytest.mark.parametrize("name", FORMATS)
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
