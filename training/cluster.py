"""Which of several workers this process is, by TF_CONFIG or by Slurm; needs no TensorFlow."""

import json
import os
import socket

from cli import UserError

EXAMPLE = (
    '{"cluster": {"worker": ["host1:4000", "host2:4000"]}, "task": {"type": "worker", "index": 0}}'
)


def is_chief(strategy):
    """Whether this process writes the run: all do but the later workers of a cluster.

    `strategy` is the --strategy setting. Raises UserError when it needs a cluster and none is
    described, when TF_CONFIG is no cluster with a task, or when the task's port is taken.
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
        return os.environ["SLURM_PROCID"] == "0"
    return True


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
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG: is not a cluster with a task in it ({error!r}); give one like {EXAMPLE}"
        ) from error
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"TF_CONFIG: this worker cannot listen on port {port} of {host} ({error}); "
                "name a free port in all workers' TF_CONFIG"
            ) from error
    return kind == "chief" or (index == 0 and "chief" not in workers)
