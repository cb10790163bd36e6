"""What a bug report needs, to be pasted: `python train_dcgan.py --report`."""

import contextlib
import json
import os
import platform
import shutil
import socket
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from cli import UserError, say
from config import REPOSITORY
from startup import importing_tensorflow
from storage import files, runs
from training.provenance import git_commit

PACKAGES = ("tensorflow", "keras", "numpy", "matplotlib", "imageio", "pillow", "tensorboard")
PACKAGES += ("protobuf", "tf2onnx", "onnxruntime", "ai-edge-litert")
# Variables that change what these packages do; no others are shown, because some hold passwords.
VARIABLES = ("KERAS_", "TF_CPP_", "TF_CONFIG", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_XLA_")
VARIABLES += ("CUDA_", "NVIDIA_", "XLA_", "OMP_", "SLURM_JOB", "SLURM_PROCID")
VARIABLES += ("PYTHONIOENCODING", "PYTHONUTF8", "LANG", "LC_ALL", "MPLCONFIGDIR", "TMPDIR")
# What NVIDIA's driver leaves on Linux, and on Windows' WSL.
NVIDIA_DRIVER = ("/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libnvidia-ml.so.1")


def print_report(settings):
    """Print versions, devices, limits and the state of the run that the settings name."""
    lines = ["```"]
    for title, describe in (
        ("code", lambda: [git_commit() or "not from Git"]),
        ("system", describe_system),
        ("versions", describe_versions),
        ("devices", describe_devices),
        ("limits", describe_limits),
        ("settings of the machine", describe_environment),
        (f"run {settings.run!r}", lambda: describe_run(settings)),
    ):
        try:
            found = [*describe()]
        except Exception as error:  # a machine in trouble is what the report is about
            found = [f"{type(error).__name__}: {error}"]
        lines += [f"{title}:", *(f"  {line}" for line in found)]
    home = os.path.expanduser("~")
    for line in [*lines, "```"]:
        say(line.replace(home, "~") if len(home) > 1 else line)


def describe_system():
    """The system and its processor."""
    flags = Path("/proc/cpuinfo")
    words = set(flags.read_text().split()) if flags.exists() else set()
    simd = [name for name in ("avx", "avx2", "fma", "avx512f", "amx_bf16") if name in words]
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield platform.platform()
    yield f"{platform.machine()}, {os.cpu_count()} cores, {usable} of them ours, {' '.join(simd)}"
    for driver in NVIDIA_DRIVER:
        if os.path.exists(driver):
            yield f"NVIDIA's driver: {driver}"


def describe_versions():
    """Python and the packages."""
    yield f"python {platform.python_version()} ({sys.executable})"
    for name in PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} is not installed"


def describe_devices():
    """What TensorFlow computes on."""
    try:
        with importing_tensorflow(use_gpu=True):
            import tensorflow as tf

            devices = tf.config.list_physical_devices()
            details = [tf.config.experimental.get_device_details(device) for device in devices]
    except UserError as error:
        return [str(error)]
    return [f"{device.name} {found or ''}".strip() for device, found in zip(devices, details)]


def describe_limits():
    """Memory, room on the disk and what the system allows a process."""
    memory = Path("/proc/meminfo")
    if memory.exists():
        yield from memory.read_text().splitlines()[:3:2]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/cpu.max"):
        if os.path.exists(path):
            yield f"{path}: {Path(path).read_text().strip()}"
    with contextlib.suppress(ImportError):  # Windows has none
        import resource

        for name in ("AS", "DATA", "FSIZE", "NOFILE", "NPROC"):
            soft, _ = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
            yield f"limit of {name}: {'none' if soft == resource.RLIM_INFINITY else soft}"


def describe_environment():
    """What a person has set that these packages read, and which places can be written."""
    for name in sorted(os.environ):
        if name.startswith(VARIABLES):
            yield f"{name}={os.environ[name]}"
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    with contextlib.suppress(OSError):
        yield f"keras.json: {' '.join(Path(home, 'keras.json').read_text().split())} (not used)"
    yield f"output: {sys.stdout.encoding}, names of files: {sys.getfilesystemencoding()}"
    for name, place in (
        ("code", REPOSITORY),
        ("home", os.path.expanduser("~")),
        ("working folder", os.getcwd()),
        ("temporary folder", tempfile.gettempdir()),
    ):
        can = "can be written" if os.access(place, os.W_OK) else "cannot be written"
        yield f"{name}: {place}, {can}"


def describe_run(settings):
    """The files of a run, which of its states are whole, and who trains it."""
    run = runs.Run(settings)
    for folder in (run.folder, run.samples):
        if not folder.is_dir():
            yield f"{folder}: is not there"
            continue
        yield f"{folder}: {shutil.disk_usage(folder).free >> 20} MB free"
        entries = sorted(folder.iterdir())
        shown = entries if folder == run.folder else entries[:3] + entries[-3:]
        for path in dict.fromkeys(shown):
            whole = ""
            if path.suffix == ".npz" and files.checksum_path(path).exists():
                whole = ", whole" if files.is_whole(path) else ", DAMAGED"
            yield f"  {path.name} {path.stat().st_size} bytes{whole}"
        if len(shown) < len(entries):
            yield f"  and {len(entries) - len(shown)} more"
    lock = run.folder / "lock"
    if lock.exists() and lock.stat().st_size:
        yield f"lock: {lock.read_text()} (here is {socket.gethostname()})"
    if (run.folder / "settings.json").exists():
        document = runs.load_settings(run.folder)
        yield f"settings: {json.dumps(document['run'])}"
        yield f"started {len(document.get('invocations', []))} times"
