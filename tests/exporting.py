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
# What somebody with Keras alone would run.
DRAW = """
import sys, keras, numpy as np
network = keras.models.load_model(sys.argv[1])
outputs = network(np.load(sys.argv[2]), training=False)
outputs = outputs["acceptance"] if isinstance(outputs, dict) else outputs
np.save(sys.argv[3], keras.ops.convert_to_numpy(outputs))
assert not {"layers", "models", "config"} & set(sys.modules)
assert keras.backend.backend() == sys.argv[4]
"""


def shake(network):
    """Give every weight a value of its own, as training would, and variances positive ones."""
    generator = np.random.default_rng(0)
    for name, variable in named_variables(network).items():
        values = generator.normal(0, 0.1, variable.shape)
        variable.assign(np.abs(values) + 0.1 if "variance" in name else values)
    return network


def noise(batch_size, dim=200):
    return np.random.default_rng(1).standard_normal((batch_size, dim), np.float32)


def make_run(folder):
    """A run that has a generator, epoch 3, and nothing else; its folder and that generator."""
    generator = shake(models.build_generator())
    run = folder / "checkpoints" / "own"
    run.mkdir(parents=True)
    arrays = {name: variable.numpy() for name, variable in named_variables(generator).items()}
    np.savez(run / "generator.npz", **arrays, epoch=3.0, num_codes=32)
    return run, generator


def export(run, *words):
    """The exit status of exporting a run, in this process."""
    words = ["--checkpoints_dir", run.parent, "--run", run.name, *words]
    return export_generator.main([*map(str, words)])


def draw_elsewhere(path, x, backend, folder):
    """What a process with Keras on that backend, and without this repository, computes for x."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    np.save(folder / "x.npy", x)
    words = [path, folder / "x.npy", folder / "drawn.npy", backend]
    subprocess.run(
        [sys.executable, "-I", "-c", DRAW, *words],
        env=os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=folder,
        check=True,
        timeout=300,
    )
    return np.load(folder / "drawn.npy")
