"""The papers cited in code and documents, and the list of them."""

import re

from config import REPOSITORY

CITED = re.compile(r"(\w+)(?: et al\.| & \w+),? (\d{4})")


def test_every_paper_that_is_cited_is_in_the_list():
    listed = set(CITED.findall((REPOSITORY / "docs" / "references.md").read_text()))
    patterns = ("*.py", "docs/*.md", "training/*.py", "sampling/*.py", "evaluation/*.py")
    paths = [path for pattern in patterns for path in REPOSITORY.glob(pattern)]
    cited = {paper for path in paths for paper in CITED.findall(path.read_text())}
    assert len(cited) > 20 and cited <= listed, cited - listed
