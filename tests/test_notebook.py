"""The notebook runs from its first cell to its last, in a clone without anything trained."""

import re
import shutil
import subprocess

import pytest

from config import REPOSITORY

NOTEBOOK = REPOSITORY / "notebooks" / "digitgen.ipynb"
ADDRESS = re.search(r'REPOSITORY = \\"(\S+?)\\"', NOTEBOOK.read_text())[1]
INSTALL = '"{sys.executable}" -m pip install -q -r "{ROOT}/{NEEDS}"'


def execute(notebook, folder):
    """Run a notebook in a folder."""
    import nbclient

    where = {"metadata": {"path": str(folder)}}
    client = nbclient.NotebookClient(notebook, timeout=300, resources=where, allow_errors=True)
    client.execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow
def test_the_notebook_runs():
    import nbformat

    outputs = execute(nbformat.read(NOTEBOOK, as_version=4), NOTEBOOK.parent)
    assert not any("exit status" in str(output) or "Traceback" in str(output) for output in outputs)
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert (kinds.count("image/png"), kinds.count("image/gif")) == (6, 1)


@pytest.mark.slow
def test_elsewhere_it_clones_the_repository_and_installs_what_that_needs(tmp_path):
    import nbformat

    if not (REPOSITORY / ".git").exists() or not shutil.which("git"):
        pytest.skip("there is no clone to clone")
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", "--bare", REPOSITORY, source], check=True, timeout=120)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    for old, new in ((ADDRESS, source.as_uri()), (INSTALL, 'cat "{ROOT}/{NEEDS}"')):
        assert old in first.source
        first.source = first.source.replace(old, new)
    notebook.cells = [first, nbformat.v4.new_code_cell("print('ROOT is', ROOT)")]
    shown = str(execute(notebook, folder))
    assert f"ROOT is {folder / 'digitgen'}" in shown and "tensorflow" in shown


def test_the_notebook_is_committed_with_its_pictures():
    assert '"image/png"' in NOTEBOOK.read_text()
