"""The exporting command: the generator, and the classifier, in other runtimes."""

import importlib.util
import json
import zipfile

import numpy as np
import pytest

import data
import export_generator
from config import REPOSITORY
from evaluation.classifier import DigitClassifier
from exporting import FORMATS, draw_elsewhere, export, make_run, noise
from helpers import one_line
from readers import read_npz
from sampling.acceptance import Acceptance
from storage import exports

PRETRAINED = REPOSITORY / "checkpoints" / "pretrained"
SCORES = {"num_samples": 9, "classifier": "c", "scores": {"fid_test": 4.5}}


@pytest.fixture
def run(tmp_path):
    """The folder of a run."""
    return make_run(tmp_path)[0]


def description_of(path):
    """What an exported file says about itself, as its format's users would read it."""
    if path.is_dir():
        return json.loads((path / "digitgen.json").read_text())
    if path.suffix == ".onnx":
        import onnxruntime

        texts = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
        is_json = {"epoch", "num_codes", "scores"}  # ONNX holds texts only
        return {key: json.loads(text) if key in is_json else text for key, text in texts.items()}
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("digitgen.json"))


@pytest.mark.parametrize("name", FORMATS)
def test_the_generator_and_the_classifier_in_another_runtime(tmp_path, capsys, name):
    run, generator = make_run(tmp_path)
    scores = SCORES | {"generator": "there/generator.npz, epoch 3"}
    (run / "scores.json").write_text(json.dumps(scores))
    assert export(run, "--format", name, "--with_classifier") == 0
    kind = exports.FORMATS[name]
    paths = [run / f"generator{kind.suffix}", run / f"generator-classifier{kind.suffix}"]
    printed = capsys.readouterr().out
    assert all(f"Wrote {path}, " in printed for path in paths)
    draw, read = map(kind.load, paths)
    digits = draw({"noise": noise(65)})["digits"]
    np.testing.assert_allclose(digits, generator(noise(65), training=False), atol=1e-4)
    _, expected = DigitClassifier().network(digits, training=False)
    np.testing.assert_allclose(read({"digits": digits})["probabilities"], expected, atol=1e-4)
    generator, classifier = map(description_of, paths)
    assert generator["input"] == "noise, float32 (batch, 200): standard normal"
    assert "-1 is black" in generator["output"] and "MIT" in generator["licence"]
    assert [generator[key] for key in ("run", "epoch", "num_codes")] == ["own", 3, 32]
    assert generator["scores"]["scores"] == {"fid_test": 4.5}
    assert classifier["weights_sha256"] == DigitClassifier().sha256
    assert classifier["output"] == "probabilities, float32 (batch, 10): of the digits 0 to 9"


@pytest.mark.parametrize(
    "text", [json.dumps(SCORES | {"generator": "generator.npz, epoch 2"}), "[]", "broken", "{}"]
)
def test_scores_of_another_epoch_are_left_out(run, text):
    (run / "scores.json").write_text(text)
    assert export(run, "--format", "keras") == 0
    assert description_of(run / "generator.keras")["scores"] is None


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_the_classifier_says_how_likely_to_accept(tmp_path, name):
    kind = exports.FORMATS[name]
    output = tmp_path / f"a{kind.suffix}"
    assert export(PRETRAINED, "--format", name, "--with_classifier", "--output", output) == 0
    path = tmp_path / f"a-classifier{kind.suffix}"
    assert "uniform random number is below its acceptance" in description_of(path)["accept"]
    digits = kind.load(output)({"noise": noise(300)})["digits"]
    found = kind.load(path)({"digits": digits})
    predictions = DigitClassifier().predict(data.to_pixels(digits[..., 0]))
    calibration = Acceptance(**read_npz(PRETRAINED / "acceptance.npz", *Acceptance._fields))
    expected = calibration.probability(predictions)[:, None]
    assert 0.4 < expected.mean() < 0.9
    assert np.abs(found["acceptance"] - expected).max() < 0.01
    for backend in ("jax", "torch"):
        if name == "keras" and importlib.util.find_spec(backend):
            elsewhere = draw_elsewhere(path, digits, backend, tmp_path)
            np.testing.assert_allclose(elsewhere, found["acceptance"], atol=1e-4)


@pytest.mark.slow
def test_a_fixed_batch_leaves_nothing_dynamic_for_a_phones_gpu(run, capfd):
    import tensorflow as tf

    shapes = {}
    for batch in ("any", "1"):
        path = run / f"{batch}.tflite"
        assert export(run, "--format", "tflite", "--batch", batch, "--output", path) == 0
        assert f"({'batch' if batch == 'any' else 1}, 200)" in description_of(path)["input"]
        capfd.readouterr()
        tf.lite.experimental.Analyzer.analyze(model_path=str(path), gpu_compatibility=True)
        report = capfd.readouterr().out
        shapes[batch] = report.count(" SHAPE(")
        assert "compatible with GPU delegate" in report
    assert shapes["any"] > 0 and shapes["1"] == 0


@pytest.mark.parametrize("name", FORMATS[:2])
def test_an_export_is_replaced_only_when_asked(run, tmp_path, capsys, name):
    output = tmp_path / f"a{exports.FORMATS[name].suffix}"
    words = ["--format", name, "--output", output]
    assert export(run, *words) == 0
    before = output.stat().st_ino
    assert export(run, *words) == 2
    assert "--overwrite" in one_line(capsys.readouterr().err)
    assert output.stat().st_ino == before
    assert export(run, *words, "--overwrite") == 0
    assert output.stat().st_ino != before


def test_what_is_no_export_is_never_replaced(run, tmp_path, capsys):
    photo = tmp_path / "photos" / "one.jpg"
    photo.parent.mkdir()
    photo.touch()
    words = ["--format", "saved_model", "--output", photo.parent, "--overwrite"]
    assert export(run, *words) == 2
    assert "photos" in one_line(capsys.readouterr().err)
    assert photo.exists()


def test_a_classifier_in_the_way_is_named_before_anything_is_written(run, capsys):
    (run / "generator-classifier.keras").write_text("mine")
    assert export(run, "--format", "keras", "--with_classifier") == 2
    assert "generator-classifier.keras" in one_line(capsys.readouterr().err)
    assert not (run / "generator.keras").exists()
    assert (run / "generator-classifier.keras").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--format pickle", "pickle"),
        ("--run nobody", "nobody"),
        ("--snapshot best", "generator-best.npz"),
        ("--batch 0", "--batch"),
        ("--batch=", "--batch"),
        ("--output no/such/folder/a.onnx", "no/such/folder"),
        ("--output /proc/a.onnx", "/proc"),
        ("--output a.tflite", ".onnx"),
        ("--output . --overwrite", "--output"),
        ("--output . --overwrite --format saved_model", "--output"),
    ],
)
def test_mistakes_are_refused_in_one_line(run, tmp_path, monkeypatch, capsys, words, named):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert export_generator.main(["--run", "own", *words.split()]) == 2
    assert named in one_line(capsys.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before
