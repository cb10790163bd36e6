"""Commands that are printed to be pasted, and those that README shows, wherever they run."""

import gzip
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import readers
from config import REPOSITORY
from helpers import SCRIPTS
from machine import command


@pytest.mark.parametrize("script", [*SCRIPTS, "demo/serve", "benchmarks/time_to_quality"])
def test_every_script_finds_its_modules_where_paths_are_safe(script, tmp_path):
    words = [sys.executable, "-I", REPOSITORY / f"{script}.py", "--help"]
    finished = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr


def test_a_script_s_command_runs_where_it_is_pasted(tmp_path, monkeypatch):
    clone = tmp_path / "a clone"
    clone.symlink_to(REPOSITORY)
    monkeypatch.setattr(command, "REPOSITORY", clone)
    elsewhere = f"'{clone}/generate_digits.py'"
    for folder, script in ((tmp_path, elsewhere), (clone, "generate_digits.py")):
        monkeypatch.chdir(folder)
        line = command.script_command("generate_digits.py", "--help")
        assert line.endswith(f" {script} --help")
        assert subprocess.run(line, shell=True, capture_output=True).returncode == 0


INSTALLERS = {
    "pip": (True, True, "{python} -m pip install -r {file}"),
    "uv": (False, True, "uv pip install --python {python} -r {file}"),
    "neither": (False, False, "{python} -m ensurepip && {python} -m pip install -r {file}"),
}


@pytest.mark.parametrize("kind", INSTALLERS)
def test_packages_are_installed_by_what_is_there(kind, tmp_path, monkeypatch):
    has_pip, has_uv, expected = INSTALLERS[kind]
    file = tmp_path / "no packages.txt"
    file.touch()
    with monkeypatch.context() as patch:
        patch.setattr(command.importlib.util, "find_spec", lambda _: has_pip or None)
        patch.setattr(command.shutil, "which", lambda name: (has_uv and name == "uv") or None)
        line = command.pip_command("install", "-r", file)
    assert line == expected.format(python=shlex.quote(sys.executable), file=f"'{file}'")
    if has_pip and importlib.util.find_spec("pip"):
        assert subprocess.run(line, shell=True, capture_output=True).returncode == 0


def test_make_works_in_an_environment_of_uv(tmp_path):
    clone = tmp_path / "a clone"
    for program, does in (
        (clone / ".venv/bin/python", "case $* in *pip*) exit 1;; *) echo $* >> ../log; esac"),
        (tmp_path / "bin/uv", "echo uv $* >> ../log"),
    ):
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)
    shutil.copy(REPOSITORY / "Makefile", clone)
    for name in ("requirements.txt", "requirements-gpu.txt"):
        (clone / name).touch()
    env = os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "MAKEFLAGS": ""}
    subprocess.run(["make", "digits", "NVIDIA="], cwd=clone, env=env, check=True)
    assert (tmp_path / "log").read_text().splitlines() == [
        "uv pip install --python .venv/bin/python -r requirements.txt",
        "generate_digits.py --num_samples 10",
    ]


@pytest.mark.slow
def test_the_commands_of_readme_run_in_a_notebook_s_shell(tmp_path, mnist):
    """From another folder, of a clone with spaces in its path; with less to train and to draw."""
    clone, work, home = (tmp_path / name for name in ("a clone", "my work", "home"))
    left_out = shutil.ignore_patterns(".git", ".venv", "node_modules", "site", "__pycache__")
    shutil.copytree(REPOSITORY, clone, symlinks=True, ignore=left_out)
    few = {name: mnist[name][:2000] for name in ("x_train", "x_test")}
    idx = gzip.compress(readers.idx_header(few["x_train"].shape) + few["x_train"].tobytes())
    for name in ("fashion-mnist/train", "gzip/emnist-letters-train"):
        file = Path(f"{home}/{name}-images-idx3-ubyte.gz")
        file.parent.mkdir(parents=True)
        file.write_bytes(idx)
    work.mkdir()
    np.savez(work / "few.npz", **few)
    env = os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    env |= {"HOME": str(home)}

    def run(line):
        options = dict(shell=True, cwd=work, env=env, capture_output=True, text=True)
        finished = subprocess.run(line, **options)
        assert finished.returncode == 0, (line, finished)
        return finished.stdout

    text = (REPOSITORY / "README.md").read_text()
    blocks = "\n".join(re.findall(r"```\n(.*?)```", text, re.DOTALL))
    shown = re.findall(r"^(?:\$ )?python (\w+\.py)(.*?)(?:\s+#.*)?$", blocks, re.MULTILINE)
    scripts = {script for script, _ in shown}
    for script, words in sorted(shown, key=lambda each: each[0] == "train_dcgan.py"):
        words = words.replace("60000", "2500").replace("--run digits", "--run pretrained")
        words = words.replace("--runs digits wider", "--runs pretrained")
        if script == "train_dcgan.py":
            words += " --epochs 2 --batch_size 200" + " --data few.npz" * ("--data" not in words)
        elif script == "evaluate_digits.py":
            words += " --num_samples 2000 --data few.npz"
        printed = run(f"{shlex.quote(sys.executable)} '{clone / script}'{words}")
        if script == "train_dcgan.py":
            run(printed.splitlines()[-1].strip())  # which draws digits
    assert scripts == {"train_dcgan.py", "generate_digits.py", "evaluate_digits.py"}
    assert len(list(work.glob("samples/*/curves.png"))) == 3
