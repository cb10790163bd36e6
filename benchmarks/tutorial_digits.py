"""Train TensorFlow's DCGAN tutorial, and write its digits for evaluate_digits.py --images.

python benchmarks/tutorial_digits.py --epochs 10 writes tutorial-0001.npz, ..., each with 10,000
digits as `images`, uint8 (N, 28, 28), and prints the seconds that training took so far.
"""

import argparse
import time
from pathlib import Path

import contestants
import numpy as np

BATCH_SIZE = 256
STEPS = 60_000 // BATCH_SIZE  # an epoch


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num_samples", type=int, default=10_000, help="a multiple of 100")
    parser.add_argument("--output", type=Path, default=".", help="a folder")
    options = parser.parse_args()
    train = contestants.tutorial(BATCH_SIZE, options.seed)
    seconds = 0.0
    for epoch in range(1, options.epochs + 1):
        start = time.perf_counter()
        train(STEPS)
        seconds += time.perf_counter() - start
        path = options.output / f"tutorial-{epoch:04d}.npz"
        np.savez_compressed(path, images=train.draw(options.num_samples))
        print(f"epoch {epoch}/{options.epochs}  {seconds:.0f} s  {path}", flush=True)


if __name__ == "__main__":
    main()
