"""Train a variation of the networks and score it: how the trials in docs/experiments.md are made.

python benchmarks/ablation.py --generator 64x4,32x4,1x5s1 -- --epochs 10 --run a

A layer is FILTERSxKERNEL, with stride 2 unless sN follows: 1x5s1. What comes after `--` goes to
train_dcgan.py; the run is then scored like any other.
"""

import argparse
import re
import sys
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import evaluate_digits
import train_dcgan
from config import EvaluateSettings, TrainSettings
from machine.command import run_command
from machine.loading import importing_tensorflow


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
    with importing_tensorflow(use_gpu=True):
        import keras
        from keras.layers import Activation, Flatten, LeakyReLU, ReLU, Reshape

        from layers import (
            BatchNormalization,
            CodeLogit,
            Conv2D,
            Conv2DTranspose,
            Dense,
            DiscreteCode,
            Dropout,
            InkChannel,
        )
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--generator", type=network, default="32x4,32x4,1x5s1")
    parser.add_argument(
        "--stddev",
        type=float,
        default=0.001,
        help="standard deviation of the generator's initial weights",
    )
    parser.add_argument("--last_stddev", type=float, default=0.005, help="and of its last layer's")
    parser.add_argument("--last_lr_multiplier", type=float, default=10, help="of its last layer")
    parser.add_argument("--code_scale", type=float, default=6, help="of the discrete code")
    parser.add_argument("--discriminator", type=network, default="32x5,96x9s3")
    parser.add_argument("--lr_multiplier", type=float, default=10, help="of the discriminator")
    parser.add_argument("--slope", type=float, default=0.02, help="of its leaky ReLU")
    parser.add_argument("train", nargs="*", help="words for train_dcgan.py, after --")
    trial = parser.parse_args()

    def build_generator(noise_dim=200, num_codes=32):
        *hidden, last = trial.generator
        options = {"use_bias": False, "stddev": trial.stddev}
        layers = [keras.Input((noise_dim,)), DiscreteCode(num_codes, trial.code_scale, name="code")]
        layers += [Dense(7 * 7 * 256, name="dense", **options), Reshape((7, 7, 256))]
        for number, shape in enumerate(hidden):
            layers += [BatchNormalization(name=f"normalisation_{number}"), ReLU()]
            layers.append(Conv2DTranspose(*shape, name=f"up_{number}", **options))
        layers += [BatchNormalization(name="last_normalisation"), ReLU()]
        options = {"stddev": trial.last_stddev, "dtype": "float32", "bias_lr_multiplier": 1}
        options["lr_multiplier"] = trial.last_lr_multiplier
        layers.append(Conv2DTranspose(*last, activation="tanh", name="last", **options))
        return keras.Sequential(layers)

    def build_discriminator(dropout=0.1, num_codes=0, ink_channel=False):
        options = {"lr_multiplier": trial.lr_multiplier}
        images = keras.Input((28, 28, 1), name="images")
        key = keras.Input(batch_shape=(2,), dtype="int64", optional=True, name="key")
        x = InkChannel(dtype="float32", name="ink")(images) if ink_channel else images
        for number, shape in enumerate(trial.discriminator):
            x = LeakyReLU(trial.slope)(Conv2D(*shape, name=f"down_{number}", **options)(x))
        options |= {"bias_lr_multiplier": 1, "dtype": "float32"}
        x = Flatten()(Dropout(dropout)(x, key))
        inputs, logit = [images, key], Dense(1, name="logits", **options)(x)
        if num_codes:
            inputs.append(keras.Input((), dtype="int64", name="code"))
            logit += CodeLogit(num_codes, trial.lr_multiplier, dtype="float32")(x, inputs[-1])
        return keras.Model(inputs, [Activation("sigmoid", dtype="float32")(logit), logit])

    networks = types.SimpleNamespace(
        build_generator=build_generator, build_discriminator=build_discriminator
    )

    def train_and_score(settings):
        run = {name: getattr(settings, name) for name in ("run", "checkpoints_dir", "samples_dir")}
        status = train_dcgan.train(settings, networks)
        return status or evaluate_digits.evaluate(EvaluateSettings(**run), networks)

    return run_command(TrainSettings, train_and_score, trial.train)


if __name__ == "__main__":
    sys.exit(main())
