"""Quality by minutes of training: this repository beside TensorFlow's DCGAN tutorial.

python benchmarks/time_to_quality.py trains both in one process, alternating so that their training
times stay equal: Digitgen for 100 epochs and the tutorial for 50, which are their defaults, or each
until the end of the epoch in which --minutes are over. It scores 10,000 samples of each along the
way, of the tutorial also those of an EMA of the generator's weights, and writes
time-to-quality.json and time-to-quality.png.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
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
SURE = 0.9  # the second classifier's probability from which it is called sure


class Racer:
    """A contestant, trained epoch by epoch, and what it has reached so far.

    `draws` are functions that draw a number of digits with it, by the name of their line.
    """

    def __init__(self, contestant, draws, epochs):
        self.contestant, self.draws, self.epochs = contestant, draws, epochs
        self.epoch, self.seconds = 0, 0.0
        self.rows = {name: [] for name in draws}

    def is_done(self, minutes):
        """Whether it has had its epochs, or so many minutes of training."""
        return self.epoch >= self.epochs or self.seconds >= 60 * minutes

    def train_epoch(self):
        """Train for one epoch and add to its seconds."""
        start = time.perf_counter()
        self.contestant(STEPS)
        self.seconds += time.perf_counter() - start
        self.epoch += 1

    def score(self, judge):
        """Add a row of scores to each line."""
        for name, draw in self.draws.items():
            row = {"epoch": self.epoch, "minutes": self.seconds / 60}
            row |= judge.score(draw(NUM_SAMPLES))
            self.rows[name].append(row)
            print(name, json.dumps(row), flush=True)


class Judge:
    """Scores digits beside the test images, with two classifiers."""

    def __init__(self):
        from evaluation.classifier import DigitClassifier
        from second_classifier import SecondClassifier

        self.classifiers = DigitClassifier(), SecondClassifier()
        self.real = data.load_parts(MNIST, "x_test")["x_test"]
        self.tests = [each.predict(self.real) for each in self.classifiers]

    def score(self, digits):
        """Scores of digits, uint8 (N, 28, 28)."""
        from evaluation import ink, metrics

        first, second = (each.predict(digits) for each in self.classifiers)
        fids = (
            metrics.fid(metrics.moments(drawn.features), metrics.moments(test.features))
            for drawn, test in zip((first, second), self.tests)
        )
        prdc, _ = metrics.prdc(first.features, self.tests[0].features)
        return {
            **dict(zip(("fid_test", "fid_second"), fids)),
            **{name: prdc[name] for name in ("precision", "recall", "coverage")},
            "sure": float(np.mean(second.probabilities.max(1) > SURE)),
            "pale_ink": float(ink.measure_pixels(digits).mean(0)[0]),
        }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=100, help="of this repository")
    parser.add_argument("--tutorial_epochs", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=np.inf, help="of training, for each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=".", help="a folder")
    options = parser.parse_args()
    ours = contestants.ours(BATCH_SIZE, seed=options.seed)
    tutorial = contestants.tutorial(BATCH_SIZE, options.seed, ema_decay=0.999)
    name = "TensorFlow's tutorial"
    racers = [
        Racer(ours, {"Digitgen": ours.draw}, options.epochs),
        Racer(
            tutorial,
            {name: tutorial.draw, f"{name} with an EMA": tutorial.draw_ema},
            options.tutorial_epochs,
        ),
    ]
    judge = Judge()
    limits = judge.score(judge.real)
    limits = {key: limits[key] for key in ("sure", "pale_ink")}  # the rest compares with itself
    while running := [racer for racer in racers if not racer.is_done(options.minutes)]:
        racer = min(running, key=lambda each: each.seconds)
        racer.train_epoch()
        if racer.epoch in SCORED or racer.is_done(options.minutes):
            racer.score(judge)
            results = {name: rows for each in racers for name, rows in each.rows.items()}
            with files.atomic_file(options.output / "time-to-quality.json") as file:
                file.write(json.dumps(results | {"real images": limits}, indent=2).encode())
            with files.atomic_file(options.output / "time-to-quality.png") as file:
                save_chart(file, results, limits)


@images.plain_matplotlib()
def save_chart(file, results, limits):
    """Write a PNG: FID, share of sure samples and pale ink by minutes of training, for each."""
    figure = images.new_figure(figsize=(12, 3.6), layout="constrained")
    panels = figure.subplots(1, 3)
    keys = ("fid_test", "sure", "pale_ink")
    labels = ("FID to the test images", f"share with confidence above {SURE}", "pale ink")
    for axes, key, label in zip(panels, keys, labels):
        for name, rows in results.items():
            axes.plot(*([row[each] for row in rows] for each in ("minutes", key)), ".-", label=name)
        if key in limits:
            axes.axhline(limits[key], color="grey", linestyle="--", label="real images")
        axes.set(xlabel="minutes of training", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend()
    panels[0].set_yscale("log")
    panels[2].set_yscale("log")
    figure.savefig(file, format="png")


if __name__ == "__main__":
    main()
