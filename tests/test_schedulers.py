"""Schedulers, devices and notebooks; what a run leaves for the next one."""

import os
import signal

import pytest

from config import TrainSettings
from helpers import train
from machine import cluster
from machine.signals import Interruption
from training import distributed


def test_ports_are_a_job_s_own(monkeypatch):
    ports = set()
    for job in range(4_000_000, 4_001_000):
        monkeypatch.setenv("SLURM_JOB_ID", str(job))
        ports.add(cluster.slurm_port())
    assert len(ports) == 1000 and min(ports) >= 12000 and max(ports) + 16 < 32768
    assert cluster.slurm_port(7) == 7


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"])
def test_signals_that_ask_to_stop_are_noted(name, monkeypatch):
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # of SIGHUP, which lets go of the terminal
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with Interruption() as interruption:
        os.kill(os.getpid(), number)
        if "USR" in name:  # schedulers may send it twice
            os.kill(os.getpid(), number)
        assert interruption.number == number
    assert signal.getsignal(number) == before


@pytest.fixture
def gpus(monkeypatch):
    """A list of the machine's GPUs, to be filled; later of those left visible."""
    visible = []
    config = distributed.tf.config
    monkeypatch.setattr(config, "get_visible_devices", lambda _: [*visible])
    monkeypatch.setattr(
        config, "set_visible_devices", lambda devices, _: visible.__setitem__(slice(None), devices)
    )
    monkeypatch.setattr(config.experimental, "set_memory_growth", lambda *_: None)
    return visible


REPLICAS = {1: 1, 2: 2, 3: 2, 5: 4, 6: 4, 7: 4, 8: 8}  # of so many GPUs, for a batch of 256


@pytest.mark.parametrize(("number", "used"), REPLICAS.items())
def test_mirrored_uses_the_most_gpus_that_divide_the_batch(number, used, gpus, monkeypatch):
    class Mirrored:
        def __init__(self, devices):
            self.num_replicas_in_sync = len(devices)

    monkeypatch.setattr(distributed.tf.distribute, "MirroredStrategy", Mirrored)
    gpus.extend(range(number))
    settings = TrainSettings(strategy="mirrored")
    assert distributed.connect(settings).num_replicas_in_sync == used == len(gpus)


def test_without_a_name_one_gpu_is_used_the_freest(gpus, monkeypatch):
    gpus.extend(range(3))
    monkeypatch.setattr("machine.gpu.freest", lambda number: number - 1)
    assert distributed.connect(TrainSettings()).num_replicas_in_sync == 1
    assert gpus == [2]


@pytest.mark.parametrize(("seen", "expected"), [(1, [0]), (4, [3]), (8, [3, 7]), (0, [])])
def test_tasks_of_slurm_share_the_gpus_of_their_node(seen, expected, monkeypatch):
    """Four tasks a node: each is bound to a GPU of its own, or sees all of them."""
    slurm = {"PROCID": 7, "STEP_NUM_TASKS": 8, "STEP_TASKS_PER_NODE": "4(x2)"}
    for name, value in (slurm | {"STEP_NODELIST": "n[1-2]"}).items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    task = cluster.find_cluster(TrainSettings(strategy="multi_worker"))
    assert task[1:] == ("worker", 7)
    assert cluster.gpus_of_task([*range(seen)], *task) == expected


def test_a_notebook_that_has_used_tensorflow_goes_on(gpus, monkeypatch):
    def fail(*_):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    gpus.extend(range(3))
    monkeypatch.setattr(distributed.tf.config, "set_visible_devices", fail)
    monkeypatch.setattr(distributed.tf.config.experimental, "set_memory_growth", fail)
    assert distributed.connect(TrainSettings(strategy="one")).num_replicas_in_sync == 1


@pytest.mark.slow
def test_tensorboard_gets_one_value_a_step(tmp_path, data_path):
    import tensorflow as tf

    assert train(tmp_path, data_path, "--epochs", 2) == 0
    logs = tmp_path / "samples" / "small" / "logs"
    writer = tf.summary.create_file_writer(str(logs))  # as a run killed before it saved
    with writer.as_default(step=3):
        tf.summary.scalar("d_real", 0.5)
    writer.close()
    newest = max(logs.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes() + b"cut off")
    assert train(tmp_path, data_path, "--epochs", 4) == 0
    found = []
    for path in logs.glob("events*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            found += [(value.tag, event.step) for value in event.summary.value]
    assert len(found) == len(set(found))
    assert sorted(step for tag, step in found if tag == "d_real") == [1, 2, 3, 4]
