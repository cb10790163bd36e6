"""What the tests of other people's machines share: scripts in processes of their own, tiny runs.

Faults that are not at hand are emulated: by code that runs before a script (sitecustomize), by a
stub in the place of a package, or by a function that fails as the system's would. So are macOS and
Windows.
"""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
MNIST = REPOSITORY / "assets" / "mnist.npz"
TINY = ["--batch_size", "40", "--evaluate_every", "0", "--run", "tiny", "--precision", "float32"]
SCRIPTS = ["train_dcgan", "generate_digits", "evaluate_digits", "export_generator"]
SCRIPTS += ["train_classifier"]


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


def train(folder, data_path, *words):
    """The exit status of training a tiny run inside `folder`, in this process."""
    import train_dcgan

    words = [*TINY, "--data", data_path, *roots(folder), *words]
    return train_dcgan.main([*map(str, words)])


def open_run(folder, **settings):
    """A Run inside `folder`, to be entered."""
    from config import TrainSettings
    from storage.runs import Run

    return Run(TrainSettings(checkpoints_dir=f"{folder}/c", samples_dir=f"{folder}/s", **settings))


def begun_run(folder):
    """The folders of a run that has been begun."""
    for name in ("c", "s"):
        (folder / name / "digits").mkdir(parents=True)
        (folder / name / "digits" / "generator.npz").touch()
    return folder / "c" / "digits", folder / "s" / "digits"


def failing(number):
    """A function that fails as the operating system says `number`."""

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail
