"""Devices and workers: how they share a step, agree and fail; determinism and compilation."""

import contextlib
import hashlib
import json
import os
import re

import tensorflow as tf

from cli import UserError, say
from config import REPOSITORY
from machine import cluster
from machine.command import pip_command
from machine.loading import has_driver, shortened

# What TensorFlow raises in the other workers of a cluster when one has gone.
WORKER_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
WORKER_LOST += (tf.errors.DeadlineExceededError, tf.errors.InternalError)
FIRST_WITH_TF32 = (8, 0)  # compute capability


def connect(settings):
    """Set TensorFlow up before its first operation; return the tf.distribute strategy.

    With `deterministic`, two processes with the same seed compute the same bits: Grappler's
    rewriting, whose order varies from process to process, is switched off as well. Raises
    UserError when the cluster does not come together or the settings do not fit the strategy.
    """
    tf32 = settings.tf32 == "on" or (settings.tf32 == "auto" and not settings.deterministic)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if task := cluster.find_cluster(settings):
        spec, kind, index = task
        share = settings.batch_size // len(cluster.addresses(spec))
        gpus = use_gpus(cluster.gpus_of_task(visible_gpus(), spec, kind, index), share)
        strategy = cluster.join_cluster(spec, kind, index, len(gpus))
    else:
        gpus = visible_gpus()
        if settings.strategy != "mirrored" and len(gpus) > 1:
            from machine import gpu

            gpus = [gpus[gpu.freest(len(gpus))]]
        gpus = use_gpus(gpus, settings.batch_size)
        strategy = tf.distribute.get_strategy()  # TensorFlow's own, for one device
        if len(gpus) > 1:
            strategy = tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(len(gpus))])
        elif settings.strategy == "mirrored":
            say("--strategy mirrored: only one device can be used for this batch")
    replicas = strategy.num_replicas_in_sync
    if settings.batch_size % replicas:
        raise UserError(
            f"--batch_size {settings.batch_size} cannot be divided among {replicas} replicas; "
            f"give a multiple of {replicas}, or --strategy one"
        )
    if settings.compile == "on" and replicas > 1:
        raise UserError(f"--compile on does not work with {replicas} replicas; leave it at auto")
    return strategy


def visible_gpus():
    """The GPUs that this process may use, also after drawing has hidden them from TensorFlow."""
    if not tf.config.get_visible_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # it has computed already, in a notebook
            tf.config.set_visible_devices(tf.config.list_physical_devices("GPU"), "GPU")
    return tf.config.get_visible_devices("GPU")


def use_gpus(gpus, share):
    """Have TensorFlow use as many of these GPUs as divide a share of the batch; return them."""
    number = max((n for n in range(1, len(gpus) + 1) if share % n == 0), default=0)
    gpus = gpus[:number]
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices(gpus, "GPU")
        for each in gpus:
            tf.config.experimental.set_memory_growth(each, True)
    return gpus


@contextlib.contextmanager
def errors_explained(strategy):
    """Turn TensorFlow's errors about memory, a GPU or a worker that left into one UserError."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            "out of memory; close other programs, or start another --run with a smaller "
            "--batch_size"
        ) from error
    except (tf.errors.OpError, RuntimeError) as error:
        reason = shortened(error)
        if strategy.cluster_resolver and isinstance(error, WORKER_LOST):
            raise UserError(
                "another worker was lost; start all workers again, any number that divides the "
                f"batch, to continue from the last checkpoint ({reason})"
            ) from error
        if not re.search("CUDA|DNN|BLAS|NCCL", reason):  # of a GPU, its driver, its libraries
            raise
        packages = pip_command("install", "-r", REPOSITORY / "requirements-gpu.txt")
        raise UserError(
            f"the GPU failed ({reason}); another program may be using it (see nvidia-smi), "
            f"or a library has the wrong version (try: {packages}); the same command continues "
            "from the last checkpoint"
        ) from error


def can_leave_xla(settings, error):
    """Whether to continue without XLA after an error of the first compiled step; if so, say so."""
    if settings.compile == "on" or isinstance(error, tf.errors.ResourceExhaustedError):
        return False
    reason = shortened(error)
    say(f"note: XLA cannot be used here ({reason}); training continues without it, more slowly")
    return True


def rows_of_replica(batch):
    """This replica's rows of a whole batch (batch, ...)."""
    replica = tf.distribute.get_replica_context()
    parts = tf.reshape(batch, [replica.num_replicas_in_sync, -1, *batch.shape[1:]])
    return parts[replica.replica_id_in_sync_group]


class Workers:
    """What the processes of a strategy have to agree on; with one process these are no-ops."""

    def __init__(self, strategy):
        self.strategy = strategy
        self.is_multi_worker = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def maximum(self, numbers):
        """The largest of each of several whole numbers over all workers."""
        if not self.is_multi_worker:
            return numbers
        return self.gather_maximum(tf.constant(numbers)).numpy().tolist()

    @tf.function
    def gather_maximum(self, numbers):
        rows = self.strategy.run(lambda: numbers[None])
        return tf.reduce_max(self.strategy.gather(rows, axis=0), axis=0)

    def check_same(self, settings):
        """Raise UserError, in every worker, unless all were given the same settings."""
        text = json.dumps(settings, sort_keys=True).encode()
        number = int.from_bytes(hashlib.sha256(text).digest()[:3])  # fits an int32
        if self.maximum([number, -number]) != [number, -number]:
            raise UserError(
                "the workers of this cluster were given different settings or images; start all "
                "of them with the same command"
            )

    def broadcast(self, variables):
        """Give every worker the first one's values of these variables."""
        if not self.is_multi_worker:
            return

        def of_first(value):
            first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
            return tf.where(first, value, tf.zeros_like(value))

        @tf.function
        def assign_first():
            for variable in variables:
                values = self.strategy.run(of_first, (variable,))
                variable.assign(self.strategy.reduce("SUM", values, axis=None))

        assign_first()


def use_xla(settings, strategy):
    """Whether to compile the step with XLA: it pays on one GPU, and not on a CPU."""
    alone = strategy.num_replicas_in_sync == 1 and strategy.cluster_resolver is None
    one_gpu = alone and tf.config.get_visible_devices("GPU")
    return settings.compile == "on" or (settings.compile == "auto" and bool(one_gpu))


def details_of_gpus():
    """The device_name and compute_capability of each GPU in use, as TensorFlow knows them."""
    gpus = tf.config.get_visible_devices("GPU")
    return [tf.config.experimental.get_device_details(each) for each in gpus]


def describe(strategy):
    """What the strategy computes on, in words."""
    details = details_of_gpus()
    replicas = strategy.num_replicas_in_sync
    if not details:
        words = f"the CPU, {os.cpu_count()} cores"
    else:
        words = ", ".join(each.get("device_name", "a GPU") for each in details)
        if min(each.get("compute_capability", (0, 0)) for each in details) >= FIRST_WITH_TF32:
            is_on = tf.config.experimental.tensor_float_32_execution_enabled()
            words += f", TF32 {'on' if is_on else 'off'}"
    if replicas > 1:
        shared = f" ({max(1, len(details))} of {replicas} replicas)"
        words += shared if strategy.cluster_resolver else " (mirrored)"
    return words


class Devices:
    """What a run computes on: its strategy, whether XLA compiles the step, and the workers.

    `is_main`: whether this process writes the run, as all but a cluster's later workers do.
    """

    def __init__(self, settings):
        self.strategy = connect(settings)
        with errors_explained(self.strategy):
            tf.zeros([]) + 1  # starts the GPU, so that it fails before the run is opened
        self.compiled = use_xla(settings, self.strategy)
        self.workers = Workers(self.strategy)
        self.is_main = self.strategy.extended.should_checkpoint
        self.description = describe(self.strategy)
        if has_driver():
            from machine import gpu

            details = details_of_gpus()
            notes = [gpu.warning(each.get("compute_capability", (9, 0))) for each in details]
            if note := notes[0] if details else gpu.why_none():
                say(f"note: {note}")
