"""NVIDIA GPUs: found, chosen, and explained; on a CUDA that only pretends, or without any."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from config import REPOSITORY
from helpers import contents, one_line, roots, run_script, train
from machine import gpu, loading
from training.programs import Programs

WORDS = ["--batch_size", 8, "--num_codes", 4, "--evaluate_every", 0, "--run", "small"]


@pytest.fixture
def start(fake_cuda, tmp_path, data_path):
    """A function that runs train_dcgan.py on the pretended CUDA, with more words and variables."""

    def run(*words, folder=tmp_path, **variables):
        words = [*WORDS, "--data", data_path, *roots(folder), *words]
        env = {"FAKE_LOG": "", **fake_cuda, **variables}
        return run_script("train_dcgan.py", *words, env=env, timeout=600)

    return run


@contextlib.contextmanager
def missing(path):
    """Have a file be absent."""
    path.rename(f"{path}.away")
    try:
        yield
    finally:
        Path(f"{path}.away").rename(path)


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """A function that has nvidia-smi print some lines."""

    def put(text, status=0):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "said").write_text(text)
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\ncat {folder}/said\nexit {status}\n")
        (folder / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return put


# Found, or the true reason why not.


@pytest.mark.slow
def test_the_wheel_finds_the_gpu(start):
    finished = start("--dry_run")
    assert "  on      NVIDIA H100 80GB HBM3, TF32 on\n" in finished.stdout
    assert "note:" not in finished.stdout and finished.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"FAKE_CUINIT": "100"}, "CUDA_ERROR_NO_DEVICE"),
        ({"FAKE_CUINIT": "803"}, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"),
        ({"CUDA_VISIBLE_DEVICES": ""}, "CUDA_VISIBLE_DEVICES hides them"),
    ],
)
def test_a_gpu_that_is_not_found_has_its_reason(start, variables, reason):
    finished = start("--dry_run", **variables)
    note = one_line("\n".join(each for each in finished.stdout.splitlines() if "note:" in each))
    assert reason in note and "requirements" not in note
    assert "  on      the CPU" in finished.stdout


@pytest.mark.slow
def test_a_missing_library_is_named(start, fake_cuda):
    with missing(Path(fake_cuda["PYTHONPATH"], "nvidia/cufft/lib/libcufft.so.11")):
        finished = start("--dry_run")
    note = finished.stdout[: finished.stdout.index("\n")]
    assert "'libcufft.so.11'; dlerror: " in note and "requirements-gpu.txt" in note


@pytest.mark.parametrize(("found", "said"), [([], "has no CUDA"), (["GPU"], "restart Python")])
def test_a_package_without_cuda_or_a_process_that_has_drawn_is_named(monkeypatch, found, said):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: found)
    monkeypatch.setattr(tf.test, "is_built_with_cuda", lambda: False)
    assert said in gpu.why_none()


def test_the_package_s_own_compiler_goes_first(tmp_path, monkeypatch):
    compiler = tmp_path / "nvidia" / "bin" / "ptxas"
    monkeypatch.setattr(
        gpu, "installed_file", lambda _, pattern: compiler if pattern == "ptxas" else None
    )
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "")
    gpu.prepare()
    assert gpu.os.environ["PATH"] == f"{compiler.parent}:/usr/bin"


def test_nothing_is_loaded_without_a_driver(monkeypatch):
    monkeypatch.setattr(loading, "has_driver", lambda: False)
    monkeypatch.setattr(gpu, "prepare", lambda: pytest.fail("looked for"))
    with loading.importing_tensorflow(use_gpu=True):
        pass


# Several GPUs.


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, 1), ("2,0", 0), ("GPU-c,GPU-b", 1), ("GPU-unknown,1", 0), ("1", 0)],
)
def test_the_freest_gpu_is_chosen(visible, expected, nvidia_smi, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    number = 3
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        number = visible.count(",") + 1
    nvidia_smi("0, GPU-a, 100\n1, GPU-b, 80000\n2, GPU-c, 20000\n")
    assert gpu.freest(number) == expected


@pytest.mark.parametrize(("text", "status"), [("No devices were found\n", 6), ("", 0)])
def test_without_an_answer_the_first_gpu_is_chosen(text, status, nvidia_smi, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    nvidia_smi(text, status)
    assert gpu.freest(2) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "devices"), [("auto", "H100, TF32"), ("mirrored", "H100, H100, TF32")]
)
def test_several_gpus_are_used_only_by_name(strategy, devices, start):
    visible = {"FAKE_COUNT": "2", "FAKE_NAME": "H100", "CUDA_VISIBLE_DEVICES": "0,1"}
    finished = start("--dry_run", "--strategy", strategy, **visible)
    assert f"  on      {devices} on" in finished.stdout, finished.stderr


# Runs, or says why not in one line.


@pytest.mark.slow
def test_an_error_of_the_compiler_leads_back_from_xla(start, fake_cuda, tmp_path):
    with missing(Path(fake_cuda["PYTHONPATH"], "nvidia/cuda_nvcc/bin/ptxas")):
        finished = start("--epochs", 1)
        refused = start("--epochs", 1, "--compile", "on", folder=tmp_path / "on")
    assert finished.returncode == 0, finished.stderr
    assert "note: XLA cannot be used here (" in finished.stdout
    assert finished.stderr == "" and (tmp_path / "samples/small/epoch-0001.png").exists()
    assert refused.returncode == 2 and "the GPU failed" in one_line(refused.stderr)


def test_only_the_first_program_leads_back_from_xla(tmp_path, data_path, monkeypatch, capsys):
    def fail(*_):
        raise tf.errors.InternalError(None, None, "ptxas returned an error\nhere")

    monkeypatch.setattr(Programs, "run_compiled", fail)
    monkeypatch.setattr("training.distributed.use_xla", lambda *_: True)
    assert train(tmp_path, data_path, "--epochs", 1) == 0
    assert capsys.readouterr().out.count("XLA cannot be used here (InternalError: ptxas") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capability", "advice"),
    [("120", "NVIDIA's TensorFlow container"), ("60", "nvidia-cudnn-cu12<9.11")],
)
def test_a_gpu_that_the_packages_do_not_know_is_said_first(capability, advice, start):
    finished = start("--dry_run", FAKE_CC=capability)
    assert finished.stdout.startswith("note: ") and advice in finished.stdout.splitlines()[0]


FAILURES = {
    "no code for it": {"FAKE_MODULE": "218"},
    "busy": {"FAKE_CTX": "46"},
    "busy, says the runtime": {"FAKE_SETDEVICE": "46"},
    "out of memory at start": {"FAKE_OOM_MB": "1"},
    "out of memory later": {"FAKE_OOM_MB": "60"},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAILURES)
def test_a_gpu_that_fails_is_one_line_and_the_run_is_kept(kind, start, copied_run):
    before = contents(copied_run / "checkpoints")
    finished = start("--epochs", 3, folder=copied_run, **FAILURES[kind])
    reason = "out of memory" if "memory" in kind else "the GPU failed"
    assert finished.returncode == 2 and reason in one_line(finished.stderr)
    after = contents(copied_run / "checkpoints")
    assert {path: after.get(path) for path in before if ".npz" in path.name} == {
        path: each for path, each in before.items() if ".npz" in path.name
    }


def test_the_makefile_installs_cuda_s_packages_where_a_driver_is(nvidia_smi):
    if not shutil.which("make") or loading.has_driver():
        pytest.skip("no make, or a driver that is real")
    command = ["make", "-n", "-B", ".venv/ready", f"PYTHON={sys.executable}"]
    plain = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True).stdout
    nvidia_smi("")
    driven = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True).stdout
    assert "-r requirements.txt" in plain and "-r requirements-gpu.txt" in driven
