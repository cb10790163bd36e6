"""The programs in docs/export.md draw digits, each with its own runtime and nothing else."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import export_generator
from config import REPOSITORY
from storage import exports

DOCUMENT = (REPOSITORY / "docs" / "export.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.DOTALL | re.MULTILINE))
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
    "Rejection sampling": {"onnxruntime"},
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with the pretrained generator and the classifier in every format."""
    folder = tmp_path_factory.mktemp("exported")
    for name, kind in exports.FORMATS.items():
        words = ["--run", "pretrained", "--format", name, "--with_classifier"]
        output = folder / f"generator{kind.suffix}"
        assert export_generator.main([*words, "--output", str(output)]) == 0
    return folder


def program(heading, language):
    """The first program under a heading of the document."""
    return re.search(rf"```{language}\n(.*?)```", SECTIONS[heading], re.DOTALL)[1]


def run_python(text, folder, packages, **environment):
    """What a Python program prints in a folder, in an environment with only these packages."""
    path = folder / "program.py"
    path.write_text(text)
    finished = subprocess.run(
        [sys.executable, "-I", "-c", RUN_WITHOUT, path, *HEAVY - packages],
        cwd=folder,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def check_digit(text):
    """Fail unless the text is some ink on much paper: 28 lines of 28."""
    rows = text.strip("\n").split("\n")
    assert len(rows) == 28 and all(len(row) == 28 for row in rows)
    ink, paper = (sum(map("".join(rows).count, each)) for each in ("*#", " "))
    assert 15 < ink < 300 and paper > 400
    corners = rows[0][0] + rows[0][-1] + rows[-1][0] + rows[-1][-1]
    assert corners.isspace()


@pytest.mark.slow
@pytest.mark.parametrize("heading", PYTHON)
def test_the_python_programs_run_as_they_are(exported, heading):
    if missing := [name for name in PYTHON[heading] if not importlib.util.find_spec(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    text = program(heading, "python")
    assert len(text.replace("\n\n", "\n").splitlines()) <= 10
    printed = run_python(text, exported, PYTHON[heading])
    if "accepted" in printed:
        accepted, *digits = re.findall(r"\d+", printed.replace("100", ""))
        assert 30 < int(accepted) == len(digits) and set(digits) <= set("0123456789")
    else:
        check_digit(printed)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "tensorflow"])
def test_the_keras_program_runs_on_the_other_backends(exported, backend):
    if not importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    text = program("Keras on JAX", "python").replace('"jax"', f'"{backend}"')
    check_digit(run_python(text, exported, {"keras", backend}))


@pytest.mark.slow
def test_the_javascript_program_runs_as_it_is(exported, tmp_path):
    if missing := [name for name in ("node", "npm") if not shutil.which(name)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    for path in ("package.json", "package-lock.json"):
        shutil.copy(REPOSITORY / "demo" / path, tmp_path)
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    shutil.copy(exported / "generator.onnx", tmp_path)
    text = program("JavaScript with ONNX Runtime Web", "js")
    assert len(text.replace("\n\n", "\n").splitlines()) <= 10
    (tmp_path / "program.mjs").write_text(text)
    finished = subprocess.run(
        ["node", "program.mjs"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    check_digit(finished.stdout)


def test_the_document_names_every_format():
    for name in exports.FORMATS:
        assert f"| `{name}` |" in DOCUMENT


def rows_of_the_table(document):
    """(format, largest difference) of each row of the comparison."""
    table = re.search(r"<!-- table -->(.*)<!-- end of table -->", document, re.DOTALL)[1]
    return re.findall(r"^\| `(\w+)` \|[^|]+\|[^|]+\| ([-+.0-9e]+) \|", table, re.MULTILINE)


@pytest.mark.parametrize("written_now", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_table_has_every_format_within_its_tolerance(tmp_path, written_now):
    document = DOCUMENT
    if written_now:
        path = tmp_path / "export.md"
        path.write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
        command = ["benchmarks/exports.py", "--seconds", "0.01", "--output", path]
        subprocess.run([sys.executable, *command], cwd=REPOSITORY, check=True, timeout=600)
        document = path.read_text()
        assert "old" not in document and re.fullmatch(r"before\n.*\nafter\n", document, re.DOTALL)
    rows = rows_of_the_table(document)
    assert {name for name, _ in rows} == set(exports.FORMATS)
    for name, difference in rows:
        assert float(difference) <= exports.FORMATS[name].tolerance


def test_links_in_the_document_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", DOCUMENT):
        assert Path(REPOSITORY, "docs", target).exists(), target
