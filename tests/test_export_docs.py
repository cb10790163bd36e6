"""The programs in docs/export.md draw digits, each with its own runtime and nothing else."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest

import export_generator
from config import REPOSITORY
from storage import exports
from storage.snapshots import load_snapshot
from storage.weights import load_generator

PATH = REPOSITORY / "docs" / "export.md"
DOCUMENT = PATH.read_text()
HEAVY = {"ai_edge_litert", "jax", "keras", "onnxruntime", "tensorflow", "tf2onnx", "torch"}
# A program runs as in an environment that lacks these packages.
RUN_WITHOUT = """
import runpy, sys
from importlib.machinery import PathFinder
class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in sys.argv[2:] else super().find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
runpy.run_path(sys.argv[1])
"""
PYTHON = {
    "Python with ONNX Runtime": {"onnxruntime"},
    "Python with LiteRT": {"ai_edge_litert"},
    "Python with TensorFlow": {"tensorflow", "keras"},
    "Keras on JAX": {"keras", "jax"},
    "Keras on PyTorch": {"keras", "torch"},
    "Rejection sampling": {"onnxruntime"},
}
RUNTIMES = [  # of the table: format, package, name
    ("keras", "tensorflow", "TensorFlow"),
    ("keras", "jax", "JAX"),
    ("keras", "torch", "PyTorch"),
    ("saved_model", "tensorflow", "TensorFlow"),
    ("onnx", "onnxruntime", "ONNX Runtime"),
    ("tflite", "ai-edge-litert", "LiteRT"),
]
MEASURE = """
import json, statistics, sys, time
from pathlib import Path
import numpy as np
from storage import exports
name, path, repeats = sys.argv[1:]
draw = exports.FORMATS[name].load(Path(path))
z, milliseconds = np.random.default_rng(0).standard_normal((100, 200), np.float32), []
for size in (1, 100):
    times = []
    for _ in range(int(repeats) + 1):
        start = time.perf_counter()
        digits = draw({"noise": z[:size]})["digits"]
        times.append(1000 * (time.perf_counter() - start))
    milliseconds.append(statistics.median(times[1:]))
np.save("drawn.npy", digits)
print(json.dumps(milliseconds))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with the pretrained generator and the classifier in every format."""
    folder = tmp_path_factory.mktemp("exported")
    for name, kind in exports.FORMATS.items():
        words = ["--run", "pretrained", "--format", name, "--with_classifier"]
        output = folder / f"generator{kind.suffix}"
        assert export_generator.main([*words, "--output", str(output)]) == 0
    return folder


def run(command, folder, **environment):
    """What a command prints in a folder."""
    finished = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def program(heading, language):
    """The first program under a heading of the document."""
    section = DOCUMENT.partition(f"## {heading}\n")[2]
    return section.partition(f"```{language}\n")[2].partition("```")[0]


def check_digit(text):
    """Fail unless the text is some ink on much paper: 28 lines of 28."""
    rows = text.strip("\n").split("\n")
    assert len(rows) == 28 and all(len(row) == 28 for row in rows)
    ink, paper = (sum(map(text.count, each)) for each in ("*#", " "))
    assert 15 < ink < 300 and paper > 400


@pytest.mark.slow
@pytest.mark.parametrize("heading", PYTHON)
def test_the_python_programs_run_as_they_are(exported, heading):
    if missing := [name for name in PYTHON[heading] if not importlib.util.find_spec(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if heading == "Keras on PyTorch":
        text = program("Keras on JAX", "python").replace('"jax"', '"torch"')
    else:
        text = program(heading, "python")
    (exported / "program.py").write_text(text)
    command = [sys.executable, "-I", "-c", RUN_WITHOUT, "program.py", *HEAVY - PYTHON[heading]]
    printed = run(command, exported)
    if heading == "Rejection sampling":
        accepted, _, digits = printed.partition(" of 100 accepted:")
        assert 30 < int(accepted) == len(digits.split())
    else:
        check_digit(printed)


@pytest.mark.slow
def test_the_javascript_program_runs_as_it_is(exported, tmp_path):
    if missing := [name for name in ("node", "npm") if not shutil.which(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    for path in ("package.json", "package-lock.json"):
        shutil.copy(REPOSITORY / "demo" / path, tmp_path)
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], tmp_path)
    shutil.copy(exported / "generator.onnx", tmp_path)
    (tmp_path / "program.mjs").write_text(program("JavaScript with ONNX Runtime Web", "js"))
    check_digit(run(["node", "program.mjs"], tmp_path))


@pytest.mark.slow
def test_every_runtime_draws_the_same(exported):
    """With DIGITGEN_WRITE_TABLE=1 it takes its time and writes the table of docs/export.md."""
    is_written = "DIGITGEN_WRITE_TABLE" in os.environ
    z = np.random.default_rng(0).standard_normal((100, 200), np.float32)
    snapshot = load_snapshot(REPOSITORY / "checkpoints" / "pretrained", "latest")
    expected = load_generator(snapshot)(z, training=False)
    rows = ["| format | runtime | MB | largest difference | ms for 1 digit | ms for 100 |"]
    rows.append("|---|---|---|---|---|---|")
    for name, package, runtime in RUNTIMES:
        if not importlib.util.find_spec(package.replace("-", "_")):
            continue
        kind = exports.FORMATS[name]
        path = exported / f"generator{kind.suffix}"
        command = [sys.executable, "-c", MEASURE, name, path, "30" if is_written else "1"]
        backend = {"KERAS_BACKEND": package} if name == "keras" else {}
        times = json.loads(run(command, exported, PYTHONPATH=str(REPOSITORY), **backend))
        difference = np.abs(np.load(exported / "drawn.npy") - expected).max()
        assert difference <= kind.tolerance
        keras = f"Keras {version('keras')} on " if backend else ""
        cells = f"`{name}`", f"{keras}{runtime} {version(package)}"
        cells += f"{export_generator.size(path) / 1e6:.1f}", f"{difference:.1g}"
        rows.append(f"| {' | '.join([*cells, *(f'{each:.3g}' for each in times)])} |")
    if is_written:
        before, _, rest = DOCUMENT.partition("<!-- table -->\n")
        after = rest.partition("\n<!-- end of table -->")[2]
        table = "\n".join(rows)
        PATH.write_text(f"{before}<!-- table -->\n{table}\n<!-- end of table -->{after}")
