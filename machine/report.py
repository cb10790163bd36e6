"""What a bug report needs, to be pasted: `python train_dcgan.py --report`."""

import os
import platform
import sys
from importlib import metadata
from pathlib import Path

from cli import UserError, say
from config import REPOSITORY
from machine import files, gpu
from machine.loading import importing_tensorflow
from machine.provenance import git_commit

PACKAGES = ("tensorflow", "keras", "numpy", "matplotlib", "imageio", "tensorboard", "protobuf")
# Variables that change what these packages do; no others are shown, because some hold passwords.
VARIABLES = ("KERAS_", "TF_CPP_", "TF_CONFIG", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_XLA_")
VARIABLES += ("CUDA_", "NVIDIA_", "XLA_", "SLURM_JOB", "SLURM_PROCID", "MPL", "LD_LIBRARY_PATH")
VARIABLES += ("PYTHONUTF8", "PYTHONIOENCODING", "LANG", "LC_ALL", "TMPDIR")


def print_report(settings):
    """Print versions, devices and the files of the run that the settings name."""
    run_folders = [
        Path(root) / settings.run for root in (settings.checkpoints_dir, settings.samples_dir)
    ]
    lines = ["```"]
    for describe in (
        lambda: [f"code: {git_commit() or 'not from Git'} in {REPOSITORY}"],
        describe_system,
        describe_versions,
        describe_devices,
        lambda: [f"{name}={os.environ[name]}" for name in os.environ if name.startswith(VARIABLES)],
        lambda: describe_folder(run_folders[0]),
        lambda: describe_folder(run_folders[1]),
    ):
        try:
            lines += describe()
        except Exception as error:  # a machine in trouble is what the report is about
            lines.append(f"{type(error).__name__}: {error}")
    home = os.path.expanduser("~")
    for line in [*lines, "```"]:
        say(line.replace(home, "~") if len(home) > 1 else line)


def describe_system():
    """The system, and whether it has NVIDIA's driver."""
    yield f"system: {platform.platform()}, {os.cpu_count()} cores"
    if gpu.has_driver():
        yield "NVIDIA's driver is here"


def describe_versions():
    """Python and PACKAGES."""
    yield f"python {platform.python_version()} ({sys.executable})"
    for name in PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} is not installed"


def describe_devices():
    """The devices that TensorFlow finds, or why it cannot be loaded."""
    try:
        with importing_tensorflow(use_gpu=True):
            import tensorflow as tf

            devices = tf.config.list_physical_devices()
            details = [tf.config.experimental.get_device_details(device) for device in devices]
    except UserError as error:
        return [str(error)]
    return [f"{device.name} {found or ''}".strip() for device, found in zip(devices, details)]


def describe_folder(folder):
    """The files of a run's folder, and which of its states are whole."""
    if not folder.is_dir():
        return [f"{folder}: is not there"]
    lines = [f"{folder}:"]
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        whole = ""
        if files.checksum_path(path).exists():
            whole = ", whole" if files.is_whole(path) else ", DAMAGED"
        lines.append(f"  {path.name} {path.stat().st_size} bytes{whole}")
    return lines
