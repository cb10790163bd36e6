"""The papers cited in code and documents, and the list of them."""

import re

from config import REPOSITORY

CITED = re.compile(r"([A-Z]\w+)( et al\.| & \w+)?,? ((?:19|20)\d\d)\b")
LIST = REPOSITORY / "docs" / "references.md"
FOLDERS = (".", "docs", "demo", "training", "sampling", "evaluation", "storage", "benchmarks")


def test_the_list_has_every_paper_that_is_cited_and_no_other():
    entry = re.compile(r"^\| ([A-Z]\w+)(?: et al\.| & \w+)? (\d{4}) \|", re.MULTILINE)
    listed = set(entry.findall(LIST.read_text()))
    paths = [path for folder in FOLDERS for path in (REPOSITORY / folder).iterdir()]
    paths = [path for path in paths if path.suffix in (".py", ".md", ".js") and path != LIST]
    found = CITED.findall("\n".join(path.read_text() for path in paths))
    assert len(listed) > 25
    certain = {(name, year) for name, others, year in found if others}
    assert certain <= listed, certain - listed
    mentioned = {(name, year) for name, _, year in found}
    assert listed <= mentioned, listed - mentioned
