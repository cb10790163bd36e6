"""The first steps of training on MNIST, to be compared with recorded ones.

python tests/first_steps.py records them anew, after a change that is meant to change them.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from machine.loading import importing_tensorflow

with importing_tensorflow():
    import data
    from config import MNIST, TrainSettings
    from readers import read_npz
    from sampling.randomness import BLOCK, SAMPLING, normal_noise
    from storage.weights import named_variables
    from training.step import Trainer

RECORDED = Path(__file__).with_suffix(".npz")
PLAYERS = ("generator", "discriminator")


def first_moments(trainer, player):
    """Adam's first moment of each trainable weight: with beta_1 = 0 its gradient."""
    network, optimizer = getattr(trainer, player), getattr(trainer, f"{player}_optimizer")
    variables = named_variables(optimizer)
    return [
        variables[f"adam/{weight.path.replace('/', '_')}_momentum"].numpy()
        for weight in network.trainable_variables
    ]


def take_first_steps(images):
    """Twenty steps of 64 images: their metrics, norms of gradients, and samples at the end.

    Without codes and ink channel, which other tests add. A low learning rate, because at 1e-4
    training amplifies rounding tenfold in every few steps.
    """
    settings = TrainSettings(
        batch_size=64, learning_rate=1e-5, num_codes=0, ink_channel="off", early_penalty=1.0
    )
    trainer = Trainer(settings, images)
    order = data.epoch_order(len(images), 64, seed=0, epoch=0)
    metrics, norms = [], []
    for _ in range(20):
        metrics += [*trainer.take_steps(order, 1)]
        moments = [each for player in PLAYERS for each in first_moments(trainer, player)]
        norms.append([np.linalg.norm(each.astype(np.float64)) for each in moments])
    z = normal_noise(SAMPLING, 0, 0, [BLOCK, 200])
    samples = trainer.generator_ema(z, training=False)[:20, ..., 0].numpy()
    return {
        "metrics": np.array(metrics),
        "gradient_norms": np.array(norms, np.float32),
        "samples": samples.astype(np.float16),
    }


if __name__ == "__main__":
    np.savez_compressed(RECORDED, **take_first_steps(read_npz(MNIST)["x_train"]))
    print(f"Wrote {RECORDED}")
