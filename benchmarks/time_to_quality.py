"""Quality by minutes of training: this repository beside TensorFlow's DCGAN tutorial.

python benchmarks/time_to_quality.py trains all in one process, alternating so that their training
times stay equal: Digitgen for 100 epochs, the tutorial for 50, which are their defaults, and the
tutorial with an EMA of the generator's weights for 10. That takes four hours on two cores. It
scores 10,000 samples of each along the way, and writes time-to-quality.json and
time-to-quality.png.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import contestants
import numpy as np

import data
from config import MNIST
from machine import files
from storage import images

BATCH_SIZE = 256
STEPS = 60_000 // BATCH_SIZE  # an epoch
NUM_SAMPLES = 10_000
SCORED = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100)  # epochs
SURE = 0.9  # the classifier's probability from which it is called sure


class Racer:
    """A contestant, trained epoch by epoch, and what it has reached so far."""

    def __init__(self, name, contestant, epochs):
        self.name, self.contestant, self.epochs = name, contestant, epochs
        self.epoch, self.seconds, self.rows = 0, 0.0, []

    def train_epoch(self):
        """Train for one epoch and add to its seconds."""
        start = time.perf_counter()
        self.contestant(STEPS)
        self.seconds += time.perf_counter() - start
        self.epoch += 1

    def score(self, classifier, test):
        """Add a row of scores beside the test images' Predictions."""
        from evaluation import metrics

        drawn = classifier.predict(self.contestant.draw(NUM_SAMPLES))
        prdc = metrics.prdc(drawn.features, test.features)
        row = {
            "epoch": self.epoch,
            "minutes": self.seconds / 60,
            "fid_test": metrics.fid(*(metrics.moments(each.features) for each in (drawn, test))),
            "precision": prdc.precision,
            "recall": prdc.recall,
            "coverage": prdc.coverage,
            "sure": float(np.mean(drawn.probabilities.max(1) > SURE)),
        }
        self.rows.append(row)
        print(self.name, json.dumps(row), flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=100, help="of this repository")
    parser.add_argument("--tutorial_epochs", type=int, default=50)
    parser.add_argument("--ema_epochs", type=int, default=10, help="of the tutorial with an EMA")
    parser.add_argument("--output", type=Path, default=".", help="a folder")
    options = parser.parse_args()
    with_ema = contestants.tutorial(BATCH_SIZE, ema_decay=0.999)
    racers = [
        Racer("Digitgen", contestants.ours(BATCH_SIZE), options.epochs),
        Racer("TensorFlow's tutorial", contestants.tutorial(BATCH_SIZE), options.tutorial_epochs),
        Racer("TensorFlow's tutorial with an EMA", with_ema, options.ema_epochs),
    ]
    from evaluation.classifier import DigitClassifier

    classifier = DigitClassifier()
    test = classifier.predict(data.load_parts(MNIST, "x_test")["x_test"])
    limits = {"sure": float(np.mean(test.probabilities.max(1) > SURE))}
    while running := [racer for racer in racers if racer.epoch < racer.epochs]:
        racer = min(running, key=lambda each: each.seconds)
        racer.train_epoch()
        if racer.epoch in SCORED or racer.epoch == racer.epochs:
            racer.score(classifier, test)
            results = {each.name: each.rows for each in racers}
            with files.atomic_file(options.output / "time-to-quality.json") as file:
                file.write(json.dumps(results | {"real images": limits}, indent=2).encode())
            with files.atomic_file(options.output / "time-to-quality.png") as file:
                save_chart(file, results, limits)


@images.plain_matplotlib()
def save_chart(file, results, limits):
    """Write a PNG: FID and share of sure samples by minutes of training, for each racer."""
    figure = images.new_figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    labels = ("FID to the test images", f"share with confidence above {SURE}")
    for axes, key, label in zip(panels, ("fid_test", "sure"), labels):
        for name, rows in results.items():
            axes.plot(*([row[each] for row in rows] for each in ("minutes", key)), ".-", label=name)
        if key in limits:
            axes.axhline(limits[key], color="grey", linestyle="--", label="real images")
        axes.set(xlabel="minutes of training", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend()
    panels[0].set_yscale("log")
    figure.savefig(file, format="png")


if __name__ == "__main__":
    main()
