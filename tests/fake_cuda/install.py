"""Installs a CUDA that only pretends, beside links to TensorFlow: `python install.py FOLDER`.

The layout is that of the wheels in requirements-gpu.txt, and ptxas is the real one.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from machine.command import pip_command

SOURCE = Path(__file__).with_name("cuda.c")
LIBRARIES = [
    "driver/libcuda.so.1",
    "driver/libnvidia-ml.so.1",
    "nvidia/cublas/lib/libcublas.so.12",
    "nvidia/cublas/lib/libcublasLt.so.12",
    "nvidia/cuda_cupti/lib/libcupti.so.12",
    "nvidia/cuda_runtime/lib/libcudart.so.12",
    "nvidia/cudnn/lib/libcudnn.so.9",
    "nvidia/cufft/lib/libcufft.so.11",
    "nvidia/cusolver/lib/libcusolver.so.11",
    "nvidia/cusparse/lib/libcusparse.so.12",
    "nvidia/nccl/lib/libnccl.so.2",
]
COMPILER = "nvidia-cuda-nvcc-cu12>=12.5,<13"  # ptxas and libdevice, about 40 MB


def install(folder):
    """Put the stubs and links to TensorFlow into a folder that is not there yet.

    Returns the environment variables of a process that is to believe in a GPU.
    """
    folder = Path(folder).resolve()
    pip = pip_command("install", "-q", "--no-deps", "--target", folder, COMPILER)
    subprocess.run(pip, shell=True, check=True)
    # Links of files, not of the folder: its libraries find CUDA's at ../nvidia.
    tensorflow = Path(importlib.util.find_spec("tensorflow").origin).parent
    unused = shutil.ignore_patterns("include", "__pycache__")
    shutil.copytree(tensorflow, folder / "tensorflow", copy_function=os.symlink, ignore=unused)
    for name in LIBRARIES:
        library = folder / name
        library.parent.mkdir(parents=True, exist_ok=True)
        command = ["gcc", "-O1", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", SOURCE]
        subprocess.run([*command, "-o", library], check=True)
    # As the wheel describes itself to importlib.metadata.
    described = folder / "nvidia_cusolver_cu12-11.7.5.82.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Name: nvidia-cusolver-cu12\nVersion: 11.7.5.82\n")
    (described / "RECORD").write_text("nvidia/cusolver/lib/libcusolver.so.11,,\n")
    return {
        "PYTHONPATH": str(folder),
        "LD_LIBRARY_PATH": str(folder / "driver"),
        "CUDA_VISIBLE_DEVICES": "0",
        "XLA_FLAGS": "--xla_gpu_autotune_level=0",  # nothing can be timed
        "TF_CUDNN_USE_AUTOTUNE": "0",
        "TF_GPU_ALLOCATOR": "cuda_malloc",  # so that what no kernel writes is 0
    }


if __name__ == "__main__":
    print(*(f"{name}={value}" for name, value in install(sys.argv[1]).items()))
