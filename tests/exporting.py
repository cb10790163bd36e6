"""What the tests of exports share: a run without training, and Keras in processes of its own."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

import export_generator
import models
from storage.weights import named_variables

FORMATS = [  # of exports.FORMATS; the last two need packages of their own
    "keras",
    pytest.param("saved_model", marks=pytest.mark.slow),
    pytest.param("onnx", marks=pytest.mark.slow),
    pytest.param("tflite", marks=pytest.mark.slow),
]
BACKENDS = [
    "tensorflow",
    pytest.param("jax", marks=pytest.mark.slow),
    pytest.param("torch", marks=pytest.mark.slow),
]
# What somebody with Keras alone would run.
DRAW = """
import sys, keras, numpy as np
network = keras.models.load_model(sys.argv[1])
outputs = network(np.load(sys.argv[2]), training=False)OUTPUT
np.save(sys.argv[3], keras.ops.convert_to_numpy(outputs))
assert not {"layers", "models", "config"} & set(sys.modules)
assert keras.backend.backend() == sys.argv[4]
"""


def shake(network, seed=0):
    """Give every weight a value of its own, as training would, and variances positive ones."""
    generator = np.random.default_rng(seed)
    for name, variable in named_variables(network).items():
        values = generator.normal(0, 0.1, variable.shape)
        variable.assign(np.abs(values) + 0.1 if "variance" in name else values)
    return network


def noise(batch_size, dim=200):
    return np.random.default_rng(1).standard_normal((batch_size, dim), np.float32)


def near_ties(dim):
    """Noise (32, dim) whose first two numbers, the largest, are equal or differ in the last bit."""
    z = np.minimum(noise(32, dim), 1)
    z[:, :2] = 2
    z[1::3, 0] = z[2::3, 1] = np.nextafter(np.float32(2), np.float32(3))
    return z


def make_run(folder):
    """A run that has a generator, epoch 3, and nothing else; its folder and that generator."""
    generator = shake(models.build_generator())
    run = folder / "checkpoints" / "own"
    run.mkdir(parents=True)
    arrays = {name: variable.numpy() for name, variable in named_variables(generator).items()}
    np.savez(run / "generator.npz", **arrays, epoch=3.0, num_codes=32)
    return run, generator


def export(run, *words):
    return export_generator.main(["--checkpoints_dir", str(run.parent), *map(str, words)])


def draw_elsewhere(path, z, backend, folder, output=""):
    """What a process with Keras on that backend, and without this repository, draws."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    np.save(folder / "z.npy", z)
    words = [path, folder / "z.npy", folder / "drawn.npy", backend]
    subprocess.run(
        [sys.executable, "-I", "-c", DRAW.replace("OUTPUT", output), *words],
        env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=folder,
        check=True,
        timeout=300,
    )
    return np.load(folder / "drawn.npy")
