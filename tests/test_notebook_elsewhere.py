"""The notebook's first cell where the repository is not there, as in Colab."""

import re
import shutil
import subprocess

import pytest

from config import REPOSITORY

pytestmark = pytest.mark.slow
NOTEBOOK = REPOSITORY / "notebooks" / "digitgen.ipynb"
ADDRESS = re.search(r'REPOSITORY = \\"(\S+?)\\"', NOTEBOOK.read_text())[1]
INSTALL = "{sys.executable} -m pip install -q -r {ROOT}/{NEEDS}"


def run_first_cell(folder, replacements=()):
    """All that the first code cell, and one that shows ROOT, put out in a folder."""
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for old, new in replacements:
        assert old in first.source
        first.source = first.source.replace(old, new)
    notebook.cells = [first, nbformat.v4.new_code_cell("print('ROOT is', ROOT)")]
    where = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(notebook, timeout=120, resources=where, allow_errors=True)
    client.execute()
    return "".join(str(cell.outputs) for cell in notebook.cells)


def test_it_asks_for_the_address_that_nobody_has_set(tmp_path):
    shown = run_first_cell(tmp_path, [(ADDRESS, "https://example.org/YOUR_ACCOUNT/digitgen")])
    assert "set REPOSITORY above to its address" in shown
    assert not list(tmp_path.iterdir())


def test_it_clones_the_repository_and_installs_what_that_needs(tmp_path):
    if not (REPOSITORY / ".git").exists() or not shutil.which("git"):
        pytest.skip("there is no clone to clone")
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", "--bare", REPOSITORY, source], check=True, timeout=120)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    changes = [(ADDRESS, source.as_uri()), (INSTALL, "cat {ROOT}/{NEEDS}")]
    shown = run_first_cell(folder, changes)
    assert f"ROOT is {folder / 'digitgen'}" in shown and "tensorflow" in shown
    assert (folder / "digitgen" / "models.py").is_file()


def test_it_finds_the_repository_that_it_lies_in():
    assert f"ROOT is {REPOSITORY}\\n" in run_first_cell(NOTEBOOK.parent)


def test_the_badge_names_the_address_that_is_cloned():
    badge = re.compile(r"colab\.research\.google\.com/github/(\S+?)/blob/main/(\S+?\.ipynb)")
    found = badge.findall(NOTEBOOK.read_text() + (REPOSITORY / "README.md").read_text())
    assert found
    for name, path in found:
        assert f"https://github.com/{name}" == ADDRESS and (REPOSITORY / path).is_file()
