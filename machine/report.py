"""The text to paste into a bug report: `python train_dcgan.py --report`."""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from cli import say
from config import REPOSITORY
from machine import files
from machine.loading import has_driver, importing_tensorflow
from machine.provenance import git_commit

PACKAGES = ("tensorflow", "keras", "numpy", "matplotlib", "imageio", "tensorboard", "protobuf")
# Variables that change what these packages do; no others are shown, because some hold passwords.
VARIABLES = ("KERAS_", "TF_CPP_", "TF_CONFIG", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_XLA_")
VARIABLES += ("CUDA_", "NVIDIA_", "XLA_", "SLURM_JOB_ID", "SLURM_STEP_", "SLURM_PROCID", "MPL")
VARIABLES += ("LD_LIBRARY_PATH", "PYTHONUTF8", "PYTHONIOENCODING", "LANG", "LC_ALL", "TMPDIR")


def print_report(settings):
    """Print versions, devices and the files of the run that the settings name."""
    roots = (settings.checkpoints_dir, settings.samples_dir)
    say("```")
    for describe, *arguments in (
        (describe_code,),
        (describe_system,),
        *((describe_package, name) for name in PACKAGES),
        (describe_devices,),
        *((describe_folder, Path(root) / settings.run) for root in roots),
    ):
        try:
            text = describe(*arguments)
        except Exception as error:  # a machine in trouble is what the report is about
            text = f"{type(error).__name__}: {error}"
        home = os.path.expanduser("~")
        say(text.replace(home, "~") if len(home) > 1 else text)
    say("```")


def describe_code():
    """The commit, Python, and the variables that change what it and the packages do."""
    lines = [
        f"code: {git_commit() or 'not from Git'} in {REPOSITORY}",
        f"python {platform.python_version()} ({sys.executable})",
        *(f"{name}={os.environ[name]}" for name in os.environ if name.startswith(VARIABLES)),
    ]
    return "\n".join(lines)


def describe_system():
    driver = ", NVIDIA driver found" * has_driver()
    return f"system: {platform.platform()}, {os.cpu_count()} cores{driver}"


def describe_package(name):
    return f"{name} {metadata.version(name)}"


def describe_devices():
    with importing_tensorflow(use_gpu=True):
        import tensorflow as tf

        devices = tf.config.list_physical_devices()
        details = [tf.config.experimental.get_device_details(device) for device in devices]
    return "\n".join(f"{device.name} {found or ''}" for device, found in zip(devices, details))


def describe_folder(folder):
    lines = [f"{folder}: {'' if folder.is_dir() else 'does not exist'}"]
    for path in sorted(path for path in folder.glob("*") if path.is_file()):
        whole = ""
        if files.checksum_path(path).exists():
            whole = ", checksum correct" if files.is_intact(path) else ", DAMAGED"
        lines.append(f"  {path.name} {path.stat().st_size} bytes{whole}")
    return "\n".join(lines)
