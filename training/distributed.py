"""Devices and workers: how they share a step, agree and fail; determinism and compilation."""

import contextlib
import hashlib
import json
import os
import shutil

import tensorflow as tf

from cli import UserError, say
from machine.cluster import EXAMPLE, slurm_port

# What TensorFlow raises in the other workers of a cluster when one has gone.
WORKER_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
WORKER_LOST += (tf.errors.DeadlineExceededError, tf.errors.InternalError)

FIRST_WITH_TF32 = (8, 0)  # compute capability of the first GPUs that have it


def connect(settings):
    """Set TensorFlow up before its first operation; return the tf.distribute strategy.

    With `deterministic`, two processes with the same seed compute the same bits: Grappler's
    rewriting, whose order varies from process to process, is switched off as well. Raises
    UserError when the cluster does not come together or the settings do not fit the strategy.
    """
    strategy_name, resolver = settings.strategy, None
    if strategy_name == "multi_worker" or (strategy_name == "auto" and "TF_CONFIG" in os.environ):
        resolver = find_cluster(settings)  # under Slurm it says which GPUs are ours
    gpus = choose_gpus(settings, count_workers(resolver))
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # in a notebook they may be in use already
            tf.config.experimental.set_memory_growth(gpu, True)
    tf32 = settings.tf32 == "on" or (settings.tf32 == "auto" and not settings.deterministic)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if resolver:
        strategy = join_cluster(resolver, len(gpus))
    elif strategy_name in ("auto", "mirrored") and len(gpus) > 1:
        strategy = tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(len(gpus))])
    else:
        if strategy_name == "mirrored":
            say("--strategy mirrored: there is only one device; using it")
        strategy = tf.distribute.get_strategy()  # TensorFlow's own, for one device
    replicas = strategy.num_replicas_in_sync
    if settings.batch_size % replicas:
        raise UserError(
            f"--batch_size {settings.batch_size} does not divide among {replicas} replicas; "
            f"give a multiple of {replicas}, or --strategy one"
        )
    if settings.compile == "on" and replicas > 1:
        raise UserError(f"--compile on does not go with {replicas} replicas; leave it at auto")
    return strategy


def choose_gpus(settings, workers):
    """This process' GPUs to compute on: one, or the most that divide the batch among all workers.

    Other GPUs are hidden from TensorFlow; if it is already initialised they stay visible but
    unused.
    """
    gpus = tf.config.get_visible_devices("GPU")
    share = settings.batch_size // workers  # of the batch, for this worker
    most = 1 if settings.strategy == "one" else len(gpus)
    chosen = gpus[: max([n for n in range(1, most + 1) if share % n == 0], default=0)]
    if len(chosen) < len(gpus):
        with contextlib.suppress(RuntimeError):
            tf.config.set_visible_devices(chosen, "GPU")
        if len(chosen) < most:
            say(
                f"Using {len(chosen)} of {len(gpus)} GPUs: --batch_size {settings.batch_size} does "
                f"not divide among more; another --run could take one that does, such as "
                f"{workers * len(gpus) * max(1, round(share / len(gpus)))}"
            )
    return chosen


def find_cluster(settings):
    """The resolver of the cluster that TF_CONFIG, or else Slurm, describes."""
    resolvers = tf.distribute.cluster_resolver
    if "TF_CONFIG" in os.environ:
        resolver = resolvers.TFConfigClusterResolver()
        try:
            resolver.cluster_spec()
        except (TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"TF_CONFIG describes no cluster ({reason}); for example: {EXAMPLE}"
            ) from error
        return resolver
    # Without NVIDIA's tools it cannot count the GPUs itself.
    no_gpu = {"gpus_per_node": 1, "gpus_per_task": 1, "auto_set_gpu": False}
    options = {"port_base": slurm_port(settings.port)}
    options |= {} if shutil.which("nvidia-smi") else no_gpu
    try:
        resolver = resolvers.SlurmClusterResolver(**options)
        resolver.cluster_spec()  # says which GPUs are ours
        return resolver
    except (OSError, RuntimeError, ValueError, KeyError, IndexError) as error:
        raise UserError(f"Slurm's variables describe no cluster: {error}") from error


def count_workers(resolver):
    """How many processes a cluster has; 1 where there is none."""
    if resolver is None:
        return 1
    spec = resolver.cluster_spec()
    return max(1, sum(map(spec.num_tasks, spec.jobs)))


def join_cluster(resolver, num_gpus):
    """The strategy of a cluster, once all its workers are there, on so many GPUs of each."""
    workers, spec = count_workers(resolver), resolver.cluster_spec()
    address = spec.task_address(resolver.task_type, resolver.task_id)
    try:
        if "TF_CONFIG" not in os.environ:  # Slurm's resolver counts the GPUs that we leave, too
            resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
                spec,
                task_type=resolver.task_type,
                task_id=resolver.task_id,
                num_accelerators={"GPU": num_gpus},
                rpc_layer="grpc",
            )
        say(f"Joining the cluster of {workers} workers as {address}; it begins when all are there")
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"the cluster did not come together, here at {address}: {reason}; its port may be "
            "taken (under Slurm --port gives another one) or closed to the other hosts"
        ) from error


@contextlib.contextmanager
def errors_explained(strategy):
    """Turn TensorFlow's errors about memory, or a worker that left, into one UserError."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            "out of memory; close what else uses it, or give another --run a smaller --batch_size"
        ) from error
    except WORKER_LOST as error:
        if strategy.cluster_resolver is None:
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            "another worker was lost; start all workers again, any number that divides the batch, "
            f"to continue from the last checkpoint ({type(error).__name__}: {reason})"
        ) from error


def rows_of_replica(batch):
    """This replica's rows of a whole batch (batch, ...)."""
    replica = tf.distribute.get_replica_context()
    parts = tf.reshape(batch, [replica.num_replicas_in_sync, -1, *batch.shape[1:]])
    return parts[replica.replica_id_in_sync_group]


class Workers:
    """What the processes of a strategy have to agree on; with one process these are no-ops."""

    def __init__(self, strategy):
        self.strategy = strategy
        self.are_many = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def maximum(self, numbers):
        """The largest of each of several whole numbers over all workers."""
        if not self.are_many:
            return numbers
        return self.gather_maximum(tf.constant(numbers)).numpy().tolist()

    @tf.function
    def gather_maximum(self, numbers):
        """The largest of each number, int32 (n,), over all replicas."""
        rows = self.strategy.run(lambda: numbers[None])
        return tf.reduce_max(self.strategy.gather(rows, axis=0), axis=0)

    def check_same(self, settings):
        """Raise UserError, in every worker, unless all were given the same settings."""
        text = json.dumps(settings, sort_keys=True).encode()
        number = int.from_bytes(hashlib.sha256(text).digest()[:3])
        if self.maximum([number, -number]) != [number, -number]:
            raise UserError(
                "the workers of this cluster were given different settings or images; start all "
                "of them with the same command"
            )

    def broadcast(self, variables):
        """Give every worker the first one's values of these variables."""
        if not self.are_many:
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


def describe(strategy):
    """The devices of a strategy, in words."""
    gpus = tf.config.get_visible_devices("GPU")
    replicas = strategy.num_replicas_in_sync
    if not gpus:
        words = f"the CPU, {os.cpu_count()} cores"
    else:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        words = ", ".join(each.get("device_name", "a GPU") for each in details)
        if min(each.get("compute_capability", (0, 0)) for each in details) >= FIRST_WITH_TF32:
            is_on = tf.config.experimental.tensor_float_32_execution_enabled()
            words += f", TF32 {'on' if is_on else 'off'}"
    if replicas > 1:
        words += f" (one of {replicas} replicas)" if strategy.cluster_resolver else " (mirrored)"
    return words


class Devices:
    """What a run computes on: its strategy, whether XLA compiles the step, and the workers."""

    def __init__(self, settings):
        self.strategy = connect(settings)
        self.compiled = use_xla(settings, self.strategy)
        self.workers = Workers(self.strategy)
        self.description = describe(self.strategy)
