"""Which of several workers this process is, by TF_CONFIG or by Slurm, and how it joins them."""

import contextlib
import json
import os
import select
import signal
import socket
import threading
import time

from cli import UserError, say
from machine.loading import shortened

FIRST_PORT, PORTS_PER_JOB = 12000, 16
EXAMPLE = (
    '{"cluster": {"worker": ["host1:4000", "host2:4000"]}, "task": {"type": "worker", "index": 0}}'
)


def task_of_tf_config():
    """The workers that TF_CONFIG names, and the kind and index of this one; None if it names none.

    Raises UserError when it is malformed or lacks this process.
    """
    try:
        description = json.loads(os.environ.get("TF_CONFIG") or "{}")
        workers = description.get("cluster")
        if not workers:
            return None
        kind, index = description["task"]["type"], int(description["task"]["index"])
        if index < 0 or kind not in ("chief", "worker"):
            raise ValueError(f"its task is {kind} {index}")
        port = int(workers[kind][index].rsplit(":", 1)[1])
        if not 0 < port < 65536:
            raise ValueError(f"its port is {port}")
        return workers, kind, index
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"TF_CONFIG: describes no cluster with this worker's task ({error!r}); an example: "
            f"{EXAMPLE}"
        ) from error


def slurm_port(port=0):
    """The first port of a job's workers on a node: --port, or one derived from the job's number.

    Jobs' ports are PORTS_PER_JOB apart, so that two on a node rarely collide, and below the
    ephemeral ports (from 32768).
    """
    job = number_in("SLURM_JOB_ID") + number_in("SLURM_STEP_ID")
    return port or FIRST_PORT + PORTS_PER_JOB * (job % 1024)


def number_in(variable):
    """The whole number in an environment variable, 0 where there is none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else 0


def wait_for_workers(addresses, own):
    """Wait until the workers at all these addresses, "host:port", have been started.

    TensorFlow waits too, but ignores signals meanwhile. The others connect to the first worker's
    port, which TensorFlow uses afterwards. Raises OSError where that port is taken.
    """
    host, port = addresses[0].rsplit(":", 1)
    if own == addresses[0]:
        is_dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if is_dual else socket.AF_INET
        with socket.create_server(("", int(port)), family=family, dualstack_ipv6=is_dual) as server:
            others = []
            while len(others) < len(addresses) - 1:
                others.append(server.accept()[0])  # a readable one has disconnected
                others = [other for other in others if not select.select([other], [], [], 0)[0]]
        for other in others:
            with contextlib.suppress(OSError), other:
                other.sendall(b"go")
        return
    while True:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((host.strip("[]"), int(port)), timeout=10) as first,
        ):
            first.settimeout(None)
            if first.recv(2):
                return
        time.sleep(0.5)


def find_cluster(settings):
    """The tf.train.ClusterSpec of TF_CONFIG, or else of Slurm, and this task's kind and index.

    None where --strategy asks for no cluster, or is auto and TF_CONFIG describes none. Raises
    UserError when what they describe is not a cluster.
    """
    import tensorflow as tf

    if settings.strategy not in ("auto", "multi_worker"):
        return None
    if task := task_of_tf_config():
        workers, kind, index = task
        return tf.train.ClusterSpec(workers), kind, index
    if settings.strategy == "auto":
        return None
    if "SLURM_PROCID" not in os.environ:
        raise UserError(
            f"--strategy multi_worker: set TF_CONFIG, for example to {EXAMPLE}, or use srun"
        )
    try:
        # More GPUs than any node has: gpus_of_task decides which ones are ours.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=slurm_port(settings.port),
            gpus_per_node=10**4,
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        return resolver.cluster_spec(), resolver.task_type, resolver.task_id
    except (OSError, RuntimeError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"Slurm's variables describe no cluster: {error}") from error


def gpus_of_task(gpus, spec, kind, index):
    """The GPUs of this task: all that it sees, or its share if its node's tasks see the same ones.

    Slurm may bind each task to its own. Then it sees fewer than its node has tasks.
    """
    own = spec.task_address(kind, index)
    on_node = [each for each in addresses(spec) if each.split(":")[0] == own.split(":")[0]]
    if "TF_CONFIG" in os.environ or len(gpus) < len(on_node):
        return gpus
    return gpus[on_node.index(own) :: len(on_node)]


def addresses(spec):
    """The addresses of a cluster's workers, the chief's first."""
    return [
        each for kind in ("chief", "worker") if kind in spec.jobs for each in spec.job_tasks(kind)
    ]


def join_cluster(spec, kind, index, num_gpus):
    """Wait for all workers; return the strategy, with `num_gpus` GPUs of this one.

    Raises UserError when they cannot connect, as when a port is taken or closed.
    """
    import tensorflow as tf

    workers, own = addresses(spec), spec.task_address(kind, index)
    say(f"Joining the cluster of {len(workers)} workers as {own}; it starts when all have joined")
    try:
        if len(workers) > 1:
            wait_for_workers(workers, own)
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            spec,
            task_type=kind,
            task_id=index,
            num_accelerators={"GPU": num_gpus},
            rpc_layer="grpc",
        )
        strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except (tf.errors.OpError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{own}: could not join the cluster ({shortened(error)}); its port "
            "may be taken (under Slurm --port gives another one) or closed to the other hosts"
        ) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # TensorFlow has begun to ignore it
    return strategy
