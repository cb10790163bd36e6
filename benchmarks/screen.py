"""Train a variation of the networks and score it: how the trials in docs/experiments.md were made.

python benchmarks/screen.py --generator 64x4,32x4,1x5s1 -- --epochs 10 --run a

A layer is FILTERSxKERNEL, with stride 2 unless sN follows: 1x5s1. What comes after `--` goes to
train_dcgan.py; the run is then scored like any other.
"""

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import evaluate_digits
import train_dcgan
from config import TrainSettings, parse, quiet_start


def layer(words):
    """Filters, kernel size and stride of a layer written as above."""
    match = re.fullmatch(r"(\d+)x(\d+)(?:s(\d+))?", words)
    if not match:
        raise argparse.ArgumentTypeError(f"{words!r} is no layer; write one like 64x4 or 1x5s1")
    return tuple(int(number or 2) for number in match.groups())


def network(words):
    """The layers of a network, separated by commas."""
    return [layer(each) for each in words.split(",")]


def main():
    with quiet_start():
        import keras
        from keras import layers

        import custom_layers
        import dcgan
        import models
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generator", type=network, default="32x4,32x4,1x5s1")
    parser.add_argument("--generator_start", type=float, default=0.001, help="of its first weights")
    parser.add_argument("--last_start", type=float, default=0.005, help="of its last layer's")
    parser.add_argument("--last_gain", type=float, default=models.GAIN)
    parser.add_argument("--discriminator", type=network, default="32x5,96x9s3")
    parser.add_argument("--gain", type=float, default=models.GAIN, help="of the discriminator")
    parser.add_argument("--slope", type=float, default=0.02, help="of its leaky ReLU")
    parser.add_argument("train", nargs="*", help="words for train_dcgan.py, after --")
    trial = parser.parse_args()

    def build_generator(noise_dim=200):
        *hidden, last = trial.generator

        def upsample(shape, stddev, name, **options):
            start = keras.initializers.RandomNormal(stddev=stddev)
            options |= {"kernel_initializer": start, "name": name}
            return layers.Conv2DTranspose(*shape, "same", **options)

        start = keras.initializers.RandomNormal(stddev=trial.generator_start)
        network = keras.Sequential([keras.Input((noise_dim,))])
        network.add(layers.Dense(12544, use_bias=False, kernel_initializer=start, name="dense"))
        network.add(layers.Reshape((7, 7, 256)))
        for number, shape in enumerate(hidden):
            network.add(custom_layers.FusedBatchNormalization(name=f"normalisation_{number}"))
            network.add(layers.ReLU())
            network.add(upsample(shape, trial.generator_start, f"up_{number}", use_bias=False))
        network.add(custom_layers.FusedBatchNormalization(name="last_normalisation"))
        network.add(layers.ReLU())
        network.add(layers.Rescaling(trial.last_gain))
        stddev, options = trial.last_start / trial.last_gain, {"dtype": "float32"}
        network.add(upsample(last, stddev, "last", activation="tanh", **options))
        return network

    def build_discriminator(dropout=0.1):
        def start():
            return keras.initializers.VarianceScaling(2 / trial.gain**2)

        network = keras.Sequential([keras.Input((28, 28, 1))])
        for number, shape in enumerate(trial.discriminator):
            options = dict(padding="same", kernel_initializer=start(), name=f"down_{number}")
            fast = number == 0 and shape[1] <= 6 and shape[2] == 2
            kind = custom_layers.OneChannelConv2D if fast else layers.Conv2D
            network.add(kind(*shape, **options))
            network.add(layers.Rescaling(trial.gain))
            network.add(layers.LeakyReLU(trial.slope))
        network.add(custom_layers.KeyedDropout(dropout, name="dropout"))
        network.add(layers.Flatten())
        network.add(layers.Rescaling(trial.gain))
        options = dict(activation="sigmoid", dtype="float32", name="verdict")
        network.add(layers.Dense(1, kernel_initializer=start(), **options))
        return network

    models.build_generator = dcgan.build_generator = build_generator
    dcgan.build_discriminator = build_discriminator
    settings = parse(TrainSettings, trial.train)
    words = ["--run", settings.run, "--checkpoints_dir", settings.checkpoints_dir]
    words += ["--samples_dir", settings.samples_dir]
    return train_dcgan.main(trial.train) or evaluate_digits.main(words)


if __name__ == "__main__":
    sys.exit(main())
