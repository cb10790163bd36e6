"""docs/change.md: its edits are made on a copy of the code, which then trains and draws."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from config import REPOSITORY
from helpers import SMALL, roots

PAGE = (REPOSITORY / "docs" / "change.md").read_text()
# What follows: the change, what becomes of a run begun before, and of its generator.
ROWS = re.findall(r"^\| \[(.*)\]\(.*\) \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
NOT_COPIED = (".*", "__pycache__", "assets", "checkpoints", "demo", "docs", "samples", "tests")
RUN = """
import json, sys, generate_digits, train_dcgan
for script, *words in json.loads(sys.argv[1]):
    print("status", {"train": train_dcgan, "generate": generate_digits}[script].main(words))
"""


def make_edits(change, folder):
    """Make the edits of a section of the page in a copy of the code."""
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (section,) = (text for text in section if text.lower().startswith(f"{change}\n"))
    (block,) = re.findall(r"^```diff\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    for part in block.split("--- ")[1:]:
        name, _, lines = part.partition("\n")
        path = folder / name
        for old, new in re.findall(r"((?:^[ -].*\n)+)((?:^\+.*\n)*)", lines, re.MULTILINE):
            new = re.sub(r"^-.*\n", "", old, flags=re.MULTILINE) + new
            old, new = (re.sub("^.", "", each, flags=re.MULTILINE) for each in (old, new))
            text = path.read_text()
            assert text.count(old) == 1, f"{name} does not have once: {old}"
            path.write_text(text.replace(old, new))


@pytest.mark.slow
@pytest.mark.parametrize(("change", "run", "generator"), ROWS)
def test_a_change_trains_and_draws_and_what_follows_is_as_the_page_says(
    change, run, generator, copied_run, data_path, tmp_path
):
    code = tmp_path / "code"
    shutil.copytree(REPOSITORY, code, ignore=shutil.ignore_patterns(*NOT_COPIED))
    make_edits(change, code)
    training = ["train", *SMALL, "--data", str(data_path), *roots(copied_run)]
    drawing = ["generate", "--num_samples", "3", *roots(copied_run)]
    commands = [
        [*training, "--run", "new", "--epochs", "1"],
        [*drawing, "--run", "new"],
        [*drawing, "--run", "small"],
        [*training, "--epochs", "3"],
    ]
    refused = [False, False, generator.endswith("refused"), run.endswith("refused")]
    finished = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(commands)],
        cwd=code,
        capture_output=True,
        text=True,
        timeout=300,
    )
    statuses = re.findall(r"^status (\d)$", finished.stdout, re.MULTILINE)
    assert statuses == ["2" if each else "0" for each in refused], finished.stderr
    assert finished.stderr.count("\n") == sum(refused), finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_page_has_every_change_in_its_table():
    headings = re.findall(r"^## (.*)\n(?:[^#]|\n#{3})*?```diff", PAGE, re.MULTILINE)
    assert [heading.lower() for heading in headings] == [row[0] for row in ROWS] != []
