"""Where the time of a training step goes: milliseconds by kind of operation and by layer.

python benchmarks/profile_step.py takes a minute. It traces a few steps with TensorFlow's profiler;
operations run beside each other on several threads, so their sum is more than a step takes.
"""

import argparse
import collections
import re
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import data
from config import TrainSettings
from machine.loading import importing_tensorflow

CALLS = (
    "While",
    "If",
    "StatelessIf",
    "PartitionedCall",
    "StatefulPartitionedCall",
    "Process",
    "Run",
)
LAYERS = ("dense", "up_14", "up_28", "pixels", "ink", "down_14", "down_5", "logits", "dropout")
KINDS = {
    "convolutions and matrix products": r"Conv2D|MatMul",
    "batch normalisation": r"FusedBatchNorm",
    "activations": r"Relu|Tanh|Sigmoid|Softplus",
    "dropout mask": r"StatelessRandom|Bitcast|GreaterEqual",
    "updates of variables": r"Assign|ApplyAdam|ResourceApply",
    "layout": r"Transpose|Concat|Split|Slice|Reshape|Pad|DepthToSpace|Pack|Reverse|Tile",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=16, help="one in 16 has a penalty")
    options = parser.parse_args()
    seconds, events = trace(options.steps)
    total = sum(events.values())
    print(f"{seconds / options.steps * 1000:.0f} ms a step; {total:.0f} ms over all threads")
    for title, rows in (
        ("kind", group(events, lambda kind, _: find_kind(kind))),
        ("layer", group(events, lambda _, name: find_layer(name))),
        ("operation", group(events, lambda kind, _: kind)),
    ):
        print(f"\n{title:40}      ms   share")
        for name, milliseconds in rows.most_common(18):
            print(f"{name:40} {milliseconds:7.1f} {milliseconds / total:7.1%}")


def trace(steps):
    """Seconds that the steps took, and a Counter of milliseconds a step by (kind, name)."""
    with importing_tensorflow(use_gpu=True):
        import tensorflow as tf
        from tensorflow.tsl.profiler.protobuf import xplane_pb2

        from training.step import Trainer

    settings = TrainSettings()
    images = data.load_images(settings.data)
    trainer, order = Trainer(settings, images), data.epoch_order(len(images), 256, 0, 0)
    trainer.take_steps(order, 2)
    with tempfile.TemporaryDirectory() as folder:
        level = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)
        start = time.perf_counter()
        with tf.profiler.experimental.Profile(folder, options=level):
            trainer.take_steps(order, steps)
            seconds = time.perf_counter() - start
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    events = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # Operations are called NAME:KIND.
                name, _, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if name and re.fullmatch(r"_?[A-Z]\w+", kind) and kind not in CALLS:
                    events[kind, name] += event.duration_ps / 1e9 / steps
    return seconds, events


def group(events, key):
    """The events' milliseconds by key(kind, name)."""
    found = collections.Counter()
    for (kind, name), milliseconds in events.items():
        found[key(kind, name)] += milliseconds
    return found


def find_kind(kind):
    """The kind of work that an operation does."""
    return next((words for words, pattern in KINDS.items() if re.search(pattern, kind)), "the rest")


def find_layer(name):
    """The layer that an operation belongs to, by its name; or the penalty, Adam, or `other`."""
    if re.search(r"/adam(_1)?/", name):
        return "Adam"
    if "/cond/" in name:
        return "R1 penalty, one step in 16"
    for layer in LAYERS:
        found = re.search(rf"/{layer}(_normalisation)?(_\d+)?/", name)
        if found:
            way = "backwards" if "gradient_tape" in name else "forwards"
            return f"{layer}{found[1] or ''}, {way}"
    if re.search(r"PartitionedCall/(Conv2D|depth_to_space|transpose|Reverse)", name):
        return "down_14, backwards"  # its gradient is our own, which has no layer's name
    return "other"


if __name__ == "__main__":
    main()
