"""Counts what an epoch of training asks of a GPU, by step; see README.md for the environment.

python tests/fake_cuda/count_steps.py takes the options of train_dcgan.py.
"""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from count_events import count_events

import data
from cli import parse
from config import TrainSettings
from machine.loading import importing_tensorflow


def main():
    settings = parse(TrainSettings)
    log = Path(tempfile.mkdtemp()) / "events"
    os.environ["FAKE_LOG"] = str(log)
    with importing_tensorflow(use_gpu=True):
        from training.distributed import Devices
        from training.step import Trainer

        devices = Devices(settings)
    if devices.description.startswith("the CPU"):
        sys.exit("TensorFlow finds no GPU")
    images = np.zeros((60_000, 28, 28), np.uint8)
    trainer = Trainer(settings, images, devices.strategy, devices.compiled)
    orders = [data.epoch_order(len(images), settings.batch_size, 0, epoch) for epoch in range(2)]
    steps = len(orders[0])
    trainer.take_steps(orders[0], steps)  # traces and compiles
    before = log.stat().st_size
    trainer.take_steps(orders[1], steps)
    events = log.read_bytes()[before:].decode(errors="replace")  # not all kernels have names
    for kind, number in sorted(count_events(events.strip().split("\n")).items()):
        print(f"{number / steps:8.3f}  {kind}")


if __name__ == "__main__":
    main()
