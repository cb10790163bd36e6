"""On what a run computes: devices, the way they share a step, determinism, compilation."""

import json
import os
import socket

import tensorflow as tf

from config import UserError


def prepare(settings):
    """Set TensorFlow up before its first operation; returns the tf.distribute strategy.

    With `deterministic`, two processes with the same seed compute the same bits: Grappler's
    rewriting, whose order varies from process to process, is switched off as well. Raises
    UserError when the cluster is described badly or the strategy does not fit the settings.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    strategy = choose_strategy(settings.strategy)
    replicas = strategy.num_replicas_in_sync
    if settings.batch_size % replicas:
        raise UserError(
            f"--batch_size {settings.batch_size} does not divide among {replicas} replicas; "
            f"give a multiple of {replicas}"
        )
    if settings.compile == "on" and replicas > 1:
        raise UserError(f"--compile on does not go with {replicas} replicas; leave it at auto")
    return strategy


def choose_strategy(name):
    """The tf.distribute strategy called one, mirrored, multi_worker or, by what there is, auto."""
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "multi_worker" if "TF_CONFIG" in os.environ else "mirrored" if gpus[1:] else "one"
    if name == "mirrored" and not gpus[1:]:
        print("--strategy mirrored: there is only one device here, going on with that one")
        name = "one"
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    if name == "multi_worker":
        return join_cluster()
    return tf.distribute.get_strategy()  # TensorFlow's own, for one device


def join_cluster():
    """The strategy of the cluster that TF_CONFIG, or else Slurm, describes."""
    if "TF_CONFIG" in os.environ:
        check_cluster(os.environ["TF_CONFIG"])
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    elif "SLURM_PROCID" in os.environ:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver()
    else:
        raise UserError("--strategy multi_worker: set TF_CONFIG (see the README), or start by srun")
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the cluster did not come together: {reason}") from error


def check_cluster(text):
    """Raise UserError unless `text` is a TF_CONFIG whose task can listen at its address."""
    example = '{"cluster": {"worker": ["host1:4000", "host2:4000"]}, "task": {"type": "worker", '
    example += '"index": 0}}'
    try:
        description = json.loads(text)
        task = description["task"]
        address = description["cluster"][task["type"]][int(task["index"])]
        host, port = address.rsplit(":", 1)
        port = int(port)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG: is not a cluster with a task in it ({error!r}); like {example}"
        ) from error
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except (OSError, OverflowError) as error:
            raise UserError(
                f"TF_CONFIG: this worker cannot listen on port {port} of {host} ({error}); "
                "give another port to all workers"
            ) from error


def is_chief(strategy):
    """Whether this process is the one that writes."""
    resolver = strategy.cluster_resolver
    return (
        resolver is None
        or not resolver.task_type
        or (resolver.task_type == "chief" or resolver.task_id == 0)
    )


def use_xla(settings, strategy):
    """Whether to compile the step with XLA: it pays on one GPU, and not on a CPU."""
    one_gpu = strategy.num_replicas_in_sync == 1 and tf.config.list_physical_devices("GPU")
    return settings.compile == "on" or (settings.compile == "auto" and bool(one_gpu))


def describe(strategy):
    """The devices of a strategy, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    replicas = strategy.num_replicas_in_sync
    if not gpus:
        words = f"the CPU, {os.cpu_count()} cores"
    else:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        words = ", ".join(each.get("device_name", "a GPU") for each in details)
    if replicas > 1:
        words += f" (one of {replicas} replicas)" if strategy.cluster_resolver else " (mirrored)"
    return words
