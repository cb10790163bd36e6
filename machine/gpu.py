"""NVIDIA GPUs, where their driver is: help TensorFlow find one, or say why it finds none."""

import ctypes
import os
import re
import subprocess
import sys
from importlib import metadata

from config import REPOSITORY
from machine.command import pip_command

# Log lines in which TensorFlow says why it uses no GPU, the most telling first.
REASONS = (
    r"Could not load dynamic library .*?(?=; LD_LIBRARY_PATH)",
    r"failed call to cuInit(?:.*?CUDA_ERROR_\w+|.*)",
    r"(?:Ignoring|Skipping) (?:visible|registering).*",
    r"Could not find cuda drivers.*",
)
PROBE = """
from machine import gpu
gpu.prepare()
import tensorflow
tensorflow.config.list_physical_devices("GPU")
"""
# Compute capabilities: the oldest for cuDNN 9.11, and the first that is too new for the wheel.
SUPPORTED = (7, 5), (12, 0)


def installed_file(package, pattern):
    """The path of the first file of an installed package whose name matches, or None."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return None
    return next((path.locate() for path in files if re.fullmatch(pattern, path.name)), None)


def prepare():
    """Before TensorFlow loads: load cuSOLVER, find ptxas, and number GPUs as nvidia-smi does.

    TensorFlow 2.21.0 does not search cuSOLVER's package, and uses no GPU without it; a library
    that has been loaded is found by its name.
    """
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    if ptxas := installed_file("nvidia-cuda-nvcc-cu12", "ptxas"):
        os.environ["PATH"] = f"{ptxas.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if solver := installed_file("nvidia-cusolver-cu12", r"libcusolver\.so\.\d+"):
        for path in (solver.name, solver):  # the system's own first
            try:
                ctypes.CDLL(path)
                break
            except OSError:  # TensorFlow says what is missing
                continue


def why_none():
    """Why TensorFlow uses no GPU although NVIDIA's driver is here, in one line."""
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return (
            "this process has already drawn on the CPU, so it cannot use the GPU; to train on it, "
            "restart Python (in a notebook, its kernel)"
        )
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return "no GPU is used because CUDA_VISIBLE_DEVICES hides them all"
    if not tf.test.is_built_with_cuda():
        return "no GPU is used: TensorFlow's package for this kind of processor has no CUDA"
    # A second process is asked, because this one has TensorFlow's messages switched off.
    env = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "dso_loader=1"}
    command = [sys.executable, "-c", PROBE]
    said = subprocess.run(command, env=env, cwd=REPOSITORY, capture_output=True, text=True).stderr
    found = filter(None, (re.search(pattern, said) for pattern in REASONS))
    reason = next((match[0] for match in found), "TensorFlow does not say why")
    if "dynamic library" in reason:
        advice = "try: " + pip_command("install", "-r", REPOSITORY / "requirements-gpu.txt")
    else:
        advice = "does nvidia-smi list a GPU, and is its driver new enough?"
    return f"no GPU is used: {reason}; {advice}"


def freest(number):
    """Which of `number` GPUs has the most free memory, by nvidia-smi; 0 if that cannot tell."""
    command = ["nvidia-smi", "--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(number)))
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        rows = [line.split(", ") for line in said.stdout.splitlines()]
        free = {name: int(free) for index, uuid, free in rows for name in (index, uuid)}
        names = [name.strip() for name in visible.split(",")]
        return max(range(number), key=lambda i: free[names[i]])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, IndexError):
        return 0


def warning(capability):
    """What to know before training on a GPU of this compute capability, a pair; "" if nothing."""
    words = f"a GPU of compute capability {'.'.join(map(str, capability))}"
    oldest, too_new = SUPPORTED
    if capability < oldest:
        return (
            f"cuDNN 9.11 and later do not support {words}; give --compile off after: "
            + pip_command("install", "nvidia-cudnn-cu12<9.11")
        )
    if capability >= too_new:
        return (
            f"TensorFlow's package has no code for {words}; if training fails, use NVIDIA's "
            "TensorFlow container, a later TensorFlow, or the CPU (CUDA_VISIBLE_DEVICES=-1)"
        )
    return ""
