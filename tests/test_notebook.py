"""The notebook runs from its first cell to its last, in a clone without anything trained."""

import pytest

from config import REPOSITORY

NOTEBOOK = REPOSITORY / "notebooks" / "digitgen.ipynb"


@pytest.mark.slow
def test_the_notebook_runs():
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not any("exit status" in str(output) or "Traceback" in str(output) for output in outputs)
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    films = [output for output in outputs if "image/gif" in output.get("data", {})]
    assert len(pictures) == 6 and len(films) == 1


def test_the_notebook_is_committed_with_its_pictures():
    assert NOTEBOOK.stat().st_size < 1_000_000
    assert '"image/png"' in NOTEBOOK.read_text()
