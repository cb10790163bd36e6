"""Several workers: how they are described, and that they train the run of one."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from config import REPOSITORY, TrainSettings
from helpers import one_line, roots, run_script, train
from machine import cluster
from machine.locks import Lock
from training import distributed

WORDS = ["--batch_size", "8", "--num_codes", "4", "--deterministic", "--run", "small"]


def free_ports(count):
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def tf_config(ports, index, has_chief=False):
    """A TF_CONFIG for worker `index` of those that listen on these ports, the first a chief."""
    workers, task = [f"127.0.0.1:{port}" for port in ports], {"type": "worker", "index": index}
    cluster = {"worker": workers}
    if has_chief:
        cluster = {"chief": workers[:1], "worker": workers[1:]}
        task = {"type": "worker" if index else "chief", "index": 0}
    return json.dumps({"cluster": cluster, "task": task})


@pytest.fixture
def start():
    """A function that starts a process with a command and variables; none outlives the test."""
    started = []

    def start_process(command, variables):
        started.append(
            subprocess.Popen(
                [*map(str, command)],
                env=os.environ | variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start_process
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def start_workers(start, data_path):
    """A function that starts two processes that train one run inside `folder`, the main one first.

    `words` are for both of them, `second` for the other one.
    """

    def start_both(folder, *words, second=(), has_chief=False):
        ports = free_ports(2)
        command = [sys.executable, REPOSITORY / "train_dcgan.py", "--data", data_path, *WORDS]
        command += [*roots(folder), *words]
        return [
            start(
                [*command, *second] if index else command,
                {"TF_CONFIG": tf_config(ports, index, has_chief)},
            )
            for index in range(2)
        ]

    return start_both


BAD_TF_CONFIGS = [
    "not json",
    "[]",
    '{"cluster": {"worker": ["localhost:4000"]}}',
    '{"cluster": {"worker": ["localhost:4000"]}, "task": {"type": "worker", "index": 1}}',
    '{"cluster": {"worker": ["localhost:4000"]}, "task": {"type": "worker", "index": -1}}',
    '{"cluster": {"worker": ["localhost:4000"]}, "task": {"type": "ps", "index": 0}}',
    '{"cluster": {"worker": ["localhost"]}, "task": {"type": "worker", "index": 0}}',
    '{"cluster": {"worker": ["localhost:99999"]}, "task": {"type": "worker", "index": 0}}',
]


@pytest.mark.parametrize("text", BAD_TF_CONFIGS)
def test_a_bad_tf_config_is_refused_in_one_line(tmp_path, data_path, monkeypatch, capsys, text):
    monkeypatch.setenv("TF_CONFIG", text)
    assert train(tmp_path, data_path) == 2
    assert "TF_CONFIG" in one_line(capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_port_in_use_is_refused(tmp_path, data_path):
    with socket.create_server(("", 0)) as taken:
        ports = [taken.getsockname()[1], *free_ports(1)]
        words = ["--data", data_path, *WORDS, *roots(tmp_path)]
        environment = os.environ | {"TF_CONFIG": tf_config(ports, 0)}
        finished = run_script("train_dcgan.py", *words, env=environment, timeout=120)
    assert finished.returncode == 2 and "port may be taken" in one_line(finished.stderr)


@pytest.mark.parametrize("text", ["", "{}", '{"task": {"type": "worker", "index": 0}}'])
def test_without_a_cluster_in_tf_config_training_is_alone(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    strategy = distributed.connect(TrainSettings())
    assert strategy.cluster_resolver is None


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_that_waits_for_the_others_stops_when_told(index, tmp_path, data_path, start):
    command = [sys.executable, "-u", REPOSITORY / "train_dcgan.py", "--data", data_path, *WORDS]
    process = start([*command, *roots(tmp_path)], {"TF_CONFIG": tf_config(free_ports(2), index)})
    while not process.stdout.readline().startswith("Joining the cluster"):
        assert process.poll() is None
    time.sleep(1)  # it has begun to wait
    process.terminate()
    assert process.wait(timeout=20) == -signal.SIGTERM


def test_a_worker_that_came_back_is_counted_once():
    port = free_ports(1)[0]
    addresses = [f"127.0.0.1:{port}", "127.0.0.1:1", "127.0.0.1:2"]
    first = threading.Thread(
        target=cluster.wait_for_workers, args=(addresses, addresses[0]), daemon=True
    )
    first.start()
    while True:  # until it listens
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()  # came, and went
            break
    others = [
        threading.Thread(target=cluster.wait_for_workers, args=(addresses, each), daemon=True)
        for each in addresses[1:]
    ]
    others[0].start()
    first.join(1)
    assert first.is_alive()
    others[1].start()
    for each in (first, *others):
        each.join(20)
        assert not each.is_alive()


def test_multi_worker_needs_a_cluster(tmp_path, data_path, capsys):
    assert train(tmp_path, data_path, "--strategy", "multi_worker") == 2
    assert "TF_CONFIG" in one_line(capsys.readouterr().err)


def test_a_cluster_is_that_of_tf_config_unless_one_device_is_asked_for(monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert cluster.find_cluster(TrainSettings()) is None  # Slurm's variables alone make no cluster
    monkeypatch.setenv("TF_CONFIG", tf_config(free_ports(2), 1))
    for strategy in ("auto", "multi_worker"):
        spec, *task = cluster.find_cluster(TrainSettings(strategy=strategy))
        assert spec.num_tasks("worker") == 2 and task == ["worker", 1]
    for strategy in ("one", "mirrored"):
        assert cluster.find_cluster(TrainSettings(strategy=strategy)) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "reason"),
    [(["--batch_size", "9"], "cannot be divided"), (["--compile", "on"], "--compile on")],
)
def test_settings_that_a_cluster_cannot_have(tmp_path, start_workers, words, reason):
    for process in start_workers(tmp_path, *words):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 2
        assert reason in one_line(err)


@pytest.mark.slow
def test_workers_with_different_settings_are_refused(tmp_path, start_workers):
    for process in start_workers(tmp_path, second=["--seed", "9"]):
        _, err = process.communicate(timeout=120)
        assert process.returncode == 2
        assert "different settings" in err.strip().splitlines()[-1] and "Traceback" not in err


@pytest.mark.slow
def test_a_chief_that_is_refused_does_not_leave_the_others_waiting(tmp_path, start_workers):
    folder = tmp_path / "checkpoints" / "small"
    folder.mkdir(parents=True)
    lock = Lock(folder / "lock")
    chief, worker = start_workers(tmp_path, has_chief=True)
    _, err = chief.communicate(timeout=120)
    assert chief.returncode == 2 and "another process" in err
    _, err = worker.communicate(timeout=120)  # its index is 0, but it does not open the run
    assert worker.returncode == 2 and "Traceback" not in err and "another process" not in err
    lock.release()


@pytest.mark.slow
def test_two_tasks_of_slurm_on_a_node_without_gpus_join(tmp_path, data_path, start):
    smi = tmp_path / "nvidia-smi"  # there, and finds nothing
    smi.write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    smi.chmod(0o755)
    command = [sys.executable, REPOSITORY / "train_dcgan.py", "--data", data_path, *WORDS]
    command += [*roots(tmp_path), "--strategy", "multi_worker", "--epochs", 1]
    command += ["--port", free_ports(1)[0]]
    slurm = {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "2",
        "SLURM_STEP_NODELIST": "localhost",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
    }
    tasks = [
        start(command, slurm | {"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)})
        for task in range(2)
    ]
    for task in tasks:
        out, err = task.communicate(timeout=300)
        assert task.returncode == 0, err
        assert "cluster of 2 workers" in out


@pytest.mark.slow
def test_two_workers_train_the_run_of_one(tmp_path, data_path, start_workers):
    # A low learning rate, because training amplifies rounding.
    quick = ["--epochs", "2", "--learning_rate", "1e-5"]
    samples = []
    for process in start_workers(tmp_path / "two", *quick):
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    words = ["--data", data_path, *WORDS, *quick, *roots(tmp_path / "one")]
    assert run_script("train_dcgan.py", *words).returncode == 0
    for folder in ("one", "two"):
        path = tmp_path / f"{folder}.npz"
        words = ["--num_samples", 100, "--output", path, *roots(tmp_path / folder)]
        assert run_script("generate_digits.py", *words).returncode == 0
        with np.load(path) as arrays:
            samples.append(arrays["images"].astype(int))
    assert samples[0].std() > 1  # there is something to compare
    assert np.abs(samples[0] - samples[1]).mean() < 0.1
    histories = [
        np.genfromtxt(tmp_path / folder / "samples/small/history.csv", delimiter=",", names=True)
        for folder in ("one", "two")
    ]
    for name in ("generator_loss", "discriminator_loss", "d_real", "d_fake"):
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=0.002)


@pytest.mark.slow
def test_a_lost_worker_ends_the_others_and_the_run_goes_on_with_one(
    tmp_path, data_path, start_workers
):
    chief, worker = start_workers(tmp_path, "--epochs", "5000")
    states = tmp_path / "checkpoints" / "small"
    while not any(states.glob("state-*.npz.sha256")):  # the first is written after seconds
        assert chief.stdout.readline(), chief.stderr.read()
    worker.kill()
    worker.communicate()
    _, err = chief.communicate(timeout=120)
    assert chief.returncode == 2
    assert "another worker was lost" in err.strip().splitlines()[-1]
    assert "Traceback" not in err
    epochs = len(list((tmp_path / "samples" / "small").glob("epoch-*.png"))) + 1
    words = ["--data", data_path, *WORDS, *roots(tmp_path), "--epochs", epochs]
    alone = run_script("train_dcgan.py", *words)
    assert alone.returncode == 0 and "resumed after epoch" in alone.stdout
