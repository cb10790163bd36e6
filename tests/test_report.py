"""The bug report, and a page that cannot be served."""

import errno
import os
import socket

import train_dcgan
from helpers import failing, make_run, one_line, run_script


def test_the_page_says_why_it_cannot_be_served():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for words, said in (
            (["--port", port], "in use"),
            (["--port", "65536"], "--port"),
            (["--host", "no.such.host.invalid"], "another HOST"),
        ):
            finished = run_script("demo/serve.py", "--check", *words)
            assert finished.returncode == 2 and said in one_line(finished.stderr)
    finished = run_script("demo/serve.py", "--check", "--host", "0.0.0.0", "--port", port)
    assert finished.returncode == 0


def test_a_bug_report_is_one_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("TF_VAR_password", "secret")
    monkeypatch.setattr(os, "cpu_count", failing(errno.EIO))  # a machine in trouble
    make_run(tmp_path)
    words = ["--checkpoints_dir", f"{tmp_path}/c", "--samples_dir", f"{tmp_path}/s"]
    assert train_dcgan.main(["--report", *words]) == 0
    output = capsys.readouterr().out
    for found in ("tensorflow 2.", "CPU:0", "KERAS_BACKEND=jax", "generator.npz 0 bytes"):
        assert found in output
    assert "secret" not in output
