"""The exporting command: the generator, and the classifier, in other runtimes."""

import json
import re
import sys
import zipfile

import keras
import numpy as np
import pytest

import data
import export_generator
import layers
import models
from cli import UserError
from config import REPOSITORY
from evaluation.classifier import DigitClassifier
from helpers import one_line
from machine.command import pip_command
from readers import read_npz
from sampling.acceptance import Acceptance
from storage import exports
from storage.exports import Exported
from storage.snapshots import load_snapshot
from storage.weights import load_generator, named_variables

PRETRAINED = REPOSITORY / "checkpoints" / "pretrained"
FORMATS = [  # of exports.FORMATS; the last two need packages of their own
    "keras",
    pytest.param("saved_model", marks=pytest.mark.slow),
    pytest.param("onnx", marks=pytest.mark.slow),
    pytest.param("tflite", marks=pytest.mark.slow),
]


def noise(batch_size, dim=200):
    return np.random.default_rng(1).standard_normal((batch_size, dim), np.float32)


@pytest.fixture(scope="module")
def network():
    """A small network with a discrete code."""
    stack = [keras.Input((20,)), layers.DiscreteCode(8), layers.Dense(5, lr_multiplier=3)]
    network = keras.Sequential(stack)
    network.layers[-1].bias.assign(np.arange(5))
    return network


@pytest.fixture
def run(tmp_path):
    """The folder of a run that has a generator, epoch 3, and nothing else."""
    run = tmp_path / "checkpoints" / "own"
    run.mkdir(parents=True)
    variables = named_variables(models.build_generator())
    arrays = {name: variable.numpy() for name, variable in variables.items()}
    np.savez(run / "generator.npz", **arrays, epoch=3.0, num_codes=64)
    return run


def export(run, *words):
    """The exit status of exporting a run, in this process."""
    words = ["--checkpoints_dir", run.parent, "--run", run.name, *words]
    return export_generator.main([*map(str, words)])


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


def near_ties():
    """Noise (33, 20) whose first two numbers, the largest, are equal or differ in the last bit."""
    z = np.minimum(noise(33, 20), 1)
    z[:, :2] = 2
    z[1::3, 0] = z[2::3, 1] = np.nextafter(np.float32(2), np.float32(3))
    return z


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("batch", [None, 33])
def test_every_runtime_computes_the_same(network, tmp_path, name, batch):
    """With any batch size, or a fixed one, and with several outputs."""
    both = keras.Model(network.inputs, [network.outputs[0], -network.outputs[0]])
    path = tmp_path / f"a{exports.FORMATS[name].suffix}"
    exports.export(Exported(both, "numbers", ("plus", "minus"), batch), name, path)
    call = exports.FORMATS[name].load(path)
    for x in (near_ties(), noise(33, 20), *([] if batch else [noise(1, 20)])):
        outputs = call({"numbers": x})
        assert outputs["plus"].dtype == np.float32
        np.testing.assert_allclose(outputs["plus"], -outputs["minus"])
        np.testing.assert_allclose(outputs["plus"], network(x), atol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
def test_the_generator_and_the_classifier_in_another_runtime(tmp_path, capsys, name):
    kind = exports.FORMATS[name]
    paths = [tmp_path / f"a{kind.suffix}", tmp_path / f"a-classifier{kind.suffix}"]
    assert export(PRETRAINED, "--format", name, "--with_classifier", "--output", paths[0]) == 0
    printed = capsys.readouterr().out
    assert all(f"Wrote {path}, " in printed for path in paths)
    draw, read = map(kind.load, paths)
    digits = draw({"noise": noise(300)})["digits"]
    generator = load_generator(load_snapshot(PRETRAINED, "latest"))
    np.testing.assert_allclose(digits, generator(noise(300), training=False), atol=1e-4)
    found = read({"digits": digits})
    predictions = DigitClassifier().predict(data.to_pixels(digits[..., 0]))
    np.testing.assert_allclose(found["probabilities"], predictions.probabilities, atol=0.01)
    calibration = Acceptance(**read_npz(PRETRAINED / "acceptance.npz", *Acceptance._fields))
    expected = calibration.probability(predictions)[:, None]
    assert 0.4 < expected.mean() < 0.9
    np.testing.assert_allclose(found["acceptance"], expected, atol=0.01)
    of_generator, of_classifier = map(description_of, paths)
    assert of_generator["input"] == "noise, float32 (batch, 200): standard normal"
    assert "-1 is black" in of_generator["output"] and "MNIST" in of_generator["licence"]
    assert [of_generator[key] for key in ("run", "epoch", "num_codes")] == ["pretrained", 100, 64]
    assert of_generator["scores"] is not None
    assert of_classifier["weights_sha256"] == DigitClassifier().sha256
    assert "uniform random number is below its acceptance" in of_classifier["accept"]


def test_what_other_images_and_epochs_do_not_have_is_left_out(run):
    """Scores of another epoch, and the probability of accepting what is not MNIST's."""
    scores = {"num_samples": 9, "classifier": "c", "scores": {"fid_test": 4.5}}
    (run / "scores.json").write_text(json.dumps(scores | {"generator": "generator.npz, epoch 2"}))
    assert export(run, "--format", "keras", "--with_classifier", "--batch", 3) == 0
    description = description_of(run / "generator.keras")
    assert description["scores"] is None and "MNIST" not in description["licence"]
    assert description["input"] == "noise, float32 (3, 200): standard normal"
    read = exports.FORMATS["keras"].load(run / "generator-classifier.keras")
    assert read({"digits": np.zeros((3, 28, 28, 1), np.float32)}).keys() == {"probabilities"}


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
    names = (each.replace("_", "-") for each in packages)
    with pytest.raises(UserError, match=re.escape(pip_command("install", "--upgrade", *names))):
        exports.check_packages(name)


def test_a_layer_without_a_counterpart_is_refused(tmp_path):
    odd = keras.layers.Lambda(abs, name="odd")
    network = keras.Sequential([keras.Input((20,)), odd, keras.layers.Dense(5)])
    with pytest.raises(UserError, match=r"'odd' .*FOLDINGS in storage/folding\.py"):
        exports.export(Exported(network, "noise", ("numbers",)), "keras", tmp_path / "a.keras")
    assert not list(tmp_path.iterdir())


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


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--format pickle", "pickle"),
        ("--run nobody", "nobody"),
        ("--snapshot best", "generator-best.npz"),
        ("--batch 0", "--batch"),
        ("--output no/such/folder/a.onnx", "no/such/folder"),
        ("--output a.tflite", ".onnx"),
    ],
)
def test_mistakes_are_refused_in_one_line(run, tmp_path, monkeypatch, capsys, words, named):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert export_generator.main(["--run", "own", *words.split()]) == 2
    assert named in one_line(capsys.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before
