"""Which of several workers this process is, by TF_CONFIG or by Slurm; needs no TensorFlow."""

import json
import os
import socket

from cli import UserError

FIRST_PORT, PORTS_A_JOB = 12000, 16
EXAMPLE = (
    '{"cluster": {"worker": ["host1:4000", "host2:4000"]}, "task": {"type": "worker", "index": 0}}'
)


def is_chief(strategy, port=0):
    """Whether this process writes the run: all do but the later workers of a cluster.

    `strategy` and `port` are the settings of these names. Raises UserError when a cluster is needed
    and none is described, when TF_CONFIG is no cluster with a task, or when the port is taken.
    """
    if strategy in ("one", "mirrored"):
        return True
    if "TF_CONFIG" in os.environ:
        return check_tf_config(os.environ["TF_CONFIG"])
    if strategy == "multi_worker":
        if "SLURM_PROCID" not in os.environ:
            raise UserError(
                f"--strategy multi_worker: set TF_CONFIG, for example to {EXAMPLE}, or use srun"
            )
        own_port = slurm_port(port) + number_in("SLURM_LOCALID")
        check_port(own_port, "give all workers another --port, the first of those on a node")
        return os.environ["SLURM_PROCID"] == "0"
    return True


def slurm_port(port=0):
    """The first port of a job's workers on a node: --port, or one derived from the job's number.

    So that two jobs on a node do not meet: ports are PORTS_A_JOB apart, from FIRST_PORT up, below
    those that systems give out by themselves (from 32768).
    """
    job = number_in("SLURM_JOB_ID") + number_in("SLURM_STEP_ID")
    return port or FIRST_PORT + PORTS_A_JOB * (job % 1024)


def number_in(variable):
    """The whole number in an environment variable, 0 where there is none."""
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() else 0


def check_tf_config(text):
    """Whether the task of this TF_CONFIG is the chief; raises UserError as is_chief does."""
    try:
        description = json.loads(text)
        workers = description["cluster"]
        kind, index = description["task"]["type"], int(description["task"]["index"])
        if index < 0 or kind not in ("chief", "worker"):
            raise ValueError(f"its task is {kind} {index}")
        host, port = workers[kind][index].rsplit(":", 1)
        port = int(port)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"TF_CONFIG: is not a cluster with a task in it ({error!r}); give one like {EXAMPLE}"
        ) from error
    check_port(port, f"name a free port of {host} in all workers' TF_CONFIG")
    return kind == "chief" or (index == 0 and "chief" not in workers)


def check_port(port, mend):
    """Raise UserError, with what would mend it, unless this worker can listen on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"this worker of the cluster cannot listen on port {port} ({error}); {mend}"
            ) from error
