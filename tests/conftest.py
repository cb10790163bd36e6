"""What the tests share: real digits, the shipped classifier, one small run, and its networks."""

import os
import platform
import shutil
import signal

for name in [*os.environ]:  # a job's cluster or someone's debugging must not reach the tests
    if name.startswith(("SLURM_", "TF_CONFIG", "TF_CPP_")):
        del os.environ[name]
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # the tests are about the CPU, whatever is there
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's threads get in TensorFlow's way

import numpy as np
import pytest

from machine.loading import importing_tensorflow

with importing_tensorflow():
    import tensorflow  # noqa: F401

import models
from config import MNIST
from evaluation.classifier import DigitClassifier
from fake_cuda.install import install
from helpers import train
from readers import read_npz


@pytest.fixture(autouse=True)
def usual_signals():
    """Give each test the usual signal handlers: nohup and a shell's & leave some ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def mnist():
    """MNIST: x_train, y_train, x_test and y_test."""
    return read_npz(MNIST)


@pytest.fixture(scope="session")
def digits(mnist):
    """The first 200 training images, uint8 (200, 28, 28)."""
    return mnist["x_train"][:200]


@pytest.fixture(scope="session")
def data_path(digits, tmp_path_factory):
    """An .npz with the first 40 training images: five batches of 8."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(path, x_train=digits[:40])
    return path


@pytest.fixture(scope="session")
def classifier():
    """The classifier that ships."""
    return DigitClassifier()


@pytest.fixture(scope="session")
def test_predictions(mnist, classifier):
    """The classifier's Predictions for the 10,000 test images."""
    return classifier.predict(mnist["x_test"])


@pytest.fixture(scope="session")
def small_run(data_path, tmp_path_factory):
    """A folder with the run `small`, trained for two epochs of five steps; only to be read."""
    folder = tmp_path_factory.mktemp("small_run")
    assert train(folder, data_path, "--epochs", 2, networks=models) == 0
    return folder


@pytest.fixture
def copied_run(small_run, tmp_path):
    """A copy of the small run, to be damaged."""
    return shutil.copytree(small_run, tmp_path / "copy")


@pytest.fixture(scope="session")
def tiny_run(data_path, tmp_path_factory):
    """As the small run, of TinyNetworks: quick to resume, and nothing to draw with."""
    folder = tmp_path_factory.mktemp("tiny_run")
    assert train(folder, data_path, "--epochs", 2) == 0
    return folder


@pytest.fixture
def begun_run(tiny_run, tmp_path):
    """A copy of the tiny run, to be resumed or damaged."""
    return shutil.copytree(tiny_run, tmp_path / "copy")


@pytest.fixture(scope="session")
def fake_cuda(tmp_path_factory):
    """The environment variables of a process that believes in a GPU; see fake_cuda/README.md."""
    if platform.system() != "Linux" or platform.machine() != "x86_64" or not shutil.which("gcc"):
        pytest.skip("the stubs of CUDA need gcc, and Linux on x86")
    return install(tmp_path_factory.mktemp("fake_cuda") / "site")
