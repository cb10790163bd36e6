"""What the tests of other people's machines share: scripts in processes of their own, stubs."""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
MNIST = REPOSITORY / "assets" / "mnist.npz"


def run_script(name, *words, stub="", stub_folder=None, env=None, **options):
    """Run a script as a person would; Python code `stub` runs first, as sitecustomize of a folder.

    Returns the finished process, with its output as text.
    """
    command = [sys.executable, str(REPOSITORY / name), *map(str, words)]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"} | (env or {})
    options = {"capture_output": True, "text": True, "timeout": 300} | options
    if stub:
        Path(stub_folder).mkdir(exist_ok=True)
        Path(stub_folder, "sitecustomize.py").write_text(stub)
        env["PYTHONPATH"] = str(stub_folder)
    return subprocess.run(command, env=env, **options)


def roots(folder):
    """Flags that keep a run inside `folder`."""
    return ["--checkpoints_dir", f"{folder}/checkpoints", "--samples_dir", f"{folder}/samples"]


def one_line(text):
    """The only line of `text`; fails if there are more, or a traceback."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    return lines[0]
