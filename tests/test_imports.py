"""Imports go one way, downwards, without a circle."""

import ast
import functools
import graphlib

import pytest

from config import REPOSITORY
from helpers import SCRIPTS

ROOMS = ["machine", "storage", "evaluation", "sampling", "training"]
# The modules at the root and the rooms, lowest first: each imports only from lines above its own.
RANKS = [
    {"cli"},
    {"config", "layers"},
    {"readers", "models", "machine"},
    {"pictures"},
    {"data"},
    {"storage"},
    {"evaluation"},
    {"sampling"},
    {"training"},
    {*SCRIPTS},
]
RANK = {name: number for number, names in enumerate(RANKS) for name in names}


def modules():
    """The path of each module, by its dotted name."""
    paths = [*REPOSITORY.glob("*.py")]
    for folder in ROOMS:
        paths += (REPOSITORY / folder).glob("*.py")
    names = [path.relative_to(REPOSITORY).with_suffix("") for path in paths]
    return {".".join(name.parts).removesuffix(".__init__"): p for name, p in zip(names, paths)}


@functools.cache
def imports():
    """Which of our modules each of them imports, at its top or within a function."""
    ours = modules()
    found = {}
    for name, path in ours.items():
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name}: a relative import"
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                imported |= inner & ours.keys() or {node.module}
        found[name] = imported & ours.keys()
    return found


def room(name):
    """The room of a module: its folder, or itself at the root."""
    return name.split(".")[0]


def reachable(name):
    """All of our modules that a module needs, directly or not."""
    seen, left = set(), [name]
    while left:
        new = imports()[left.pop()] - seen
        seen |= new
        left += new
    return seen


def test_imports_go_downwards():
    wrong = [
        f"{module} imports {each}"
        for module, imported in imports().items()
        for each in imported
        if room(each) != room(module) and RANK[room(each)] >= RANK[room(module)]
    ]
    assert not wrong


def test_no_two_modules_import_each_other_directly_or_not():
    graphlib.TopologicalSorter(imports()).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("script", ["generate_digits", "evaluate_digits", "export_generator"])
def test_drawing_scoring_and_exporting_need_nothing_of_training(script):
    needed = {room(name) for name in reachable(script)}
    assert "storage" in needed and "training" not in needed
