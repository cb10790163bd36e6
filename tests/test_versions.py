"""The page, the bug report, the promised versions of Python."""

import errno
import os
import shutil
import socket
import subprocess

import pytest

import train_dcgan
from config import REPOSITORY
from helpers import one_line, run_script
from machines import begun_run, failing


def serve(*words):
    """The outcome of asking whether the page could be served."""
    return run_script("demo/serve.py", "--check", *words)


def test_the_page_says_why_it_cannot_be_served():
    with socket.create_server(("127.0.0.1", 0)) as server:
        finished = serve("--port", server.getsockname()[1])
    assert finished.returncode == 2 and "in use" in one_line(finished.stderr)
    for port in ("0", "65536", "x"):
        finished = serve("--port", port)
        assert finished.returncode == 2 and "--port" in one_line(finished.stderr)
    for host in ("192.0.2.1", "no.such.host.invalid"):
        finished = serve("--host", host, "--port", 8765)
        assert finished.returncode == 2 and "another HOST" in one_line(finished.stderr)
    assert serve("--host", "0.0.0.0", "--port", 18765).returncode == 0


def test_a_bug_report_is_one_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("TF_VAR_password", "secret")
    monkeypatch.setattr(os, "cpu_count", failing(errno.EIO))  # a machine in trouble
    begun_run(tmp_path)
    words = ["--checkpoints_dir", f"{tmp_path}/c", "--samples_dir", f"{tmp_path}/s"]
    assert train_dcgan.main(["--report", *words]) == 0
    output = capsys.readouterr().out
    for found in ("tensorflow 2.", "CPU:0", "KERAS_BACKEND=jax", "generator.npz 0 bytes"):
        assert found in output
    assert "secret" not in output


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_promised_python_runs_what_needs_no_tensorflow(version, tmp_path):
    python = shutil.which(f"python{version}")
    if not python or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no Python {version} here")
    options = dict(capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
    code = f"""
import ast, pathlib, sys
sys.path.insert(0, {str(REPOSITORY)!r})
import cli, config
for path in pathlib.Path({str(REPOSITORY)!r}).glob("[a-z]*/*.py"):
    ast.parse(path.read_text(), str(path))
for settings in (config.TrainSettings, config.GenerateSettings, config.EvaluateSettings):
    cli.parse(settings, [])
"""
    subprocess.run([python, "-c", code], cwd=tmp_path, check=True, **options)
    has_packages = [python, "-c", "import numpy, imageio, pytest, tqdm"]
    if subprocess.run(has_packages, **options).returncode:
        pytest.skip(f"Python {version} has no NumPy, imageio and pytest: only the rest was tried")
    command = [python, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"]
    finished = subprocess.run([*command, str(REPOSITORY / "tests" / "test_readers.py")], **options)
    assert finished.returncode == 0, finished.stdout
