"""The pages hang together: links lead somewhere, and papers are listed."""

import re
from itertools import chain

from config import REPOSITORY

PAGES = ["*.md", "*/README.md", "docs/*.md", "*/*/README.md"]


def texts(*patterns):
    """The text of each file that matches a pattern, by path."""
    paths = sorted({*chain.from_iterable(map(REPOSITORY.glob, patterns))})
    return {path: path.read_text() for path in paths}


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_links_within_the_repository_lead_somewhere():
    broken = []
    for page, text in texts(*PAGES).items():
        for link in chain(re.findall(r"\]\(([^)\s]+)\)", text), re.findall(r"src=\"(.+?)\"", text)):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            exists = target.exists() and (not anchor or anchor in anchors(target))
            if "://" not in link and not exists:
                broken.append(f"{page.name}: {link}")
    assert not broken


def test_the_papers_that_are_cited_are_those_that_are_listed():
    found = texts(*PAGES, "*.py", "*/*.py")
    references = found.pop(REPOSITORY / "docs" / "references.md")
    text = re.sub(r"\s+", " ", " ".join(found.values()))
    listed = re.findall(r"^\| (\S.* [0-9]{4}) \|", references, re.MULTILINE)
    cited = re.findall(r"[A-Z]\w+ (?:et al\.|& [A-Z]\w+) [0-9]{4}", text)
    assert set(cited) <= set(listed)
    assert [each for each in listed if each not in text] == []
