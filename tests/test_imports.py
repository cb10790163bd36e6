"""Imports go one way, downwards, without a circle."""

import ast
import functools
import graphlib

import pytest

from config import REPOSITORY

SCRIPTS = [
    "train_dcgan",
    "generate_digits",
    "evaluate_digits",
    "export_generator",
    "train_classifier",
]
ROOMS = {"training", "sampling", "evaluation", "storage", "machine"}
BELOW_STORAGE = {"data", "readers", "pictures", "models", "layers", "machine", "config", "cli"}

# What a room may import beside its own modules: a folder, or a module at the root.
MAY_IMPORT = {script: ROOMS | BELOW_STORAGE for script in SCRIPTS} | {
    "training": {"sampling", "evaluation", "storage", *BELOW_STORAGE},
    "sampling": {"evaluation", "storage", *BELOW_STORAGE},
    "evaluation": {"storage", *BELOW_STORAGE},
    "storage": BELOW_STORAGE,
    "data": {"readers", "pictures", "config", "cli"},
    "pictures": {"readers"},
    "readers": {"config", "cli"},
    "models": {"layers", "cli"},
    "layers": {"cli"},
    "machine": {"config", "cli"},
    "config": {"cli"},
    "cli": set(),
}


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


def test_every_room_is_in_the_table():
    assert {room(name) for name in modules()} == MAY_IMPORT.keys()


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_room_imports_only_what_lies_below_it(name):
    for module, imported in imports().items():
        if room(module) == name:
            above = {each for each in imported if room(each) not in MAY_IMPORT[name] | {name}}
            assert not above, f"{module} imports {above}"


def test_no_two_modules_import_each_other_directly_or_not():
    graphlib.TopologicalSorter(imports()).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("script", ["generate_digits", "evaluate_digits", "export_generator"])
def test_drawing_scoring_and_exporting_need_nothing_of_training(script):
    needed = {room(name) for name in reachable(script)}
    assert "storage" in needed and "training" not in needed


def test_no_script_is_imported():
    assert not {name for names in imports().values() for name in names} & {*SCRIPTS}
