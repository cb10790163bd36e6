"""--precision auto: the arithmetic that this processor does faster."""

import dataclasses
import time

import tensorflow as tf

from cli import UserError, say
from storage import runs

WORTHWHILE = 0.85  # bfloat16 has to take less than this share of float32's time
REPEATS = 3
BATCH_SIZE = 32  # images: enough to compare, and quick where bfloat16 is emulated


def resolve(settings, strategy):
    """The settings with `auto` replaced: by what the run began with, else by a short timing.

    Workers of a cluster could choose differently, so they use float32.
    """
    if settings.precision != "auto":
        return settings
    run, reason = runs.Run(settings), None
    if strategy.cluster_resolver:
        precision, reason = "float32", "the workers of a cluster compute alike"
    elif run.is_begun() and not settings.fresh:
        precision, reason = begun_with(run), "as the run began"
    else:
        seconds = {name: time_convolution(name) for name in ("float32", "bfloat16")}
        ratio = seconds["bfloat16"] / seconds["float32"]
        precision = "bfloat16" if ratio < WORTHWHILE else "float32"
        reason = f"a convolution in bfloat16 takes {ratio:.2f} of float32's time here"
    say(f"--precision auto: {precision} ({reason})")
    return dataclasses.replace(settings, precision=precision)


def begun_with(run):
    """The precision in a run's settings.json; raises UserError when it has none."""
    precision = runs.load_settings(run.folder)["run"].get("precision", "float32")
    if precision not in ("float32", "bfloat16"):
        raise UserError(f"{run.folder}: its settings.json has the precision {precision!r}")
    return precision


def time_convolution(dtype):
    """Least seconds for the discriminator's largest convolution, forwards and backwards."""
    x = tf.cast(tf.random.stateless_normal([BATCH_SIZE, 14, 14, 32], [0, 0]), dtype)
    kernel = tf.cast(tf.random.stateless_normal([9, 9, 32, 96], [0, 1]), dtype)

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.reduce_sum(tf.nn.conv2d(x, kernel, 3, "SAME"))
        return [tf.reduce_sum(each) for each in tape.gradient(y, [x, kernel])]

    seconds = []
    for _ in range(REPEATS + 1):  # the first one traces
        start = time.perf_counter()
        [each.numpy() for each in gradients()]
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])
