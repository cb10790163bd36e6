"""The exporting command: the generator in other runtimes."""

import re
import sys

import numpy as np
import pytest

import export_generator
from exporting import FORMATS
from helpers import one_line, roots
from storage import exports, runs
from storage.weights import load_generator


def test_every_format_is_tested():
    names = [getattr(each, "values", [each])[0] for each in FORMATS]
    assert names == list(exports.FORMATS)


def export(folder, *words):
    """The exit status of the command, in this process."""
    return export_generator.main([*roots(folder)[:2], *map(str, words)])


@pytest.mark.parametrize("name", FORMATS)
def test_the_other_runtime_draws_the_same_at_any_batch_size(copied_run, capsys, name):
    assert export(copied_run, "--format", name) == 0
    run = copied_run / "checkpoints" / "small"
    path = run / f"generator{exports.FORMATS[name].suffix}"
    printed = capsys.readouterr().out
    assert re.search(rf"Wrote {path}, [0-9.]+ MB", printed)
    assert "within" in printed and "batch size 1 and 7" in printed
    generator = load_generator(*runs.load_snapshot(run, "latest"))
    draw = exports.FORMATS[name].load(path)
    for batch_size in (1, 2, 65):
        noise = np.random.default_rng(batch_size).standard_normal((batch_size, 200), np.float32)
        digits = draw({"noise": noise})["digits"]
        assert digits.dtype == np.float32
        np.testing.assert_allclose(digits, generator(noise, training=False), atol=1e-4)


@pytest.mark.slow
def test_onnx_names_what_it_takes_and_gives(small_run, tmp_path):
    import onnx

    assert export(small_run, "--output", tmp_path / "a.onnx") == 0
    graph = onnx.load(tmp_path / "a.onnx").graph
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"noise": ["batch", 200], "digits": ["batch", 28, 28, 1]}


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("offset", [0.01, np.nan])
def test_what_differs_from_keras_is_not_written(
    small_run, tmp_path, monkeypatch, capsys, name, offset
):
    kind = exports.FORMATS[name]

    def load(path):
        draw = kind.load(path)

        def draw_wrongly(arrays):
            digits = draw(arrays)["digits"]
            return {"digits": digits + offset * (len(digits) > 1)}

        return draw_wrongly

    monkeypatch.setitem(exports.FORMATS, name, kind._replace(load=load))
    output = tmp_path / f"a{kind.suffix}"
    assert export(small_run, "--format", name, "--output", output) == 2
    assert "differ" in one_line(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FORMATS)
def test_an_export_is_replaced_only_when_asked(small_run, tmp_path, capsys, name):
    output = tmp_path / f"a{exports.FORMATS[name].suffix}"
    words = ["--format", name, "--output", output]
    assert export(small_run, *words) == 0
    before = output.stat().st_ino
    assert export(small_run, *words) == 2
    assert "--overwrite" in one_line(capsys.readouterr().err)
    assert output.stat().st_ino == before
    assert export(small_run, *words, "--overwrite") == 0
    assert output.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [output]


def test_a_folder_of_something_else_is_never_replaced(small_run, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "one.jpg").touch()
    words = ["--format", "saved_model", "--output", photos, "--overwrite"]
    assert export(small_run, *words) == 2
    assert "photos" in one_line(capsys.readouterr().err)
    assert (photos / "one.jpg").exists()


def test_a_missing_package_is_named(small_run, tmp_path, monkeypatch, capsys):
    for package in ("tf2onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, package, None)
    assert export(small_run, "--format", "onnx", "--output", tmp_path / "a.onnx") == 2
    assert "pip install --upgrade tf2onnx onnxruntime" in one_line(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--format pickle", "pickle"),
        ("--run nobody", "nobody"),
        ("--snapshot best", "generator-best.npz"),
        ("--output no/such/folder/a.onnx", "no/such/folder"),
        ("--output /proc/a.onnx", "/proc"),
        ("--output a.tflite", ".onnx"),
        ("--output . --overwrite", "--output"),
        ("--output . --overwrite --format saved_model", "--output"),
    ],
)
def test_mistakes_are_refused_in_one_line(small_run, tmp_path, monkeypatch, capsys, words, named):
    monkeypatch.chdir(tmp_path)
    assert export(small_run, *words.split()) == 2
    assert named in one_line(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())
