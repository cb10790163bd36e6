"""Train the digit classifier that all scores use: `python train_classifier.py --overwrite`."""

import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # which python -P and -I leave out

from machine.command import run_command  # first: it explains what is not installed

# isort: split
import numpy as np

import data
from cli import UserError, say
from config import ClassifierSettings
from evaluation import metrics
from machine import files
from machine.loading import importing_tensorflow

BATCH_SIZE = 100
LEARNING_RATE = 1.5e-3  # the highest, reached after a tenth of the steps


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(ClassifierSettings, train, argv)


def train(settings):
    """Train a classifier on labelled digits; write its weights, and their checksum beside them."""
    path = Path(settings.output)
    if path.suffix != ".npz" or not path.parent.is_dir():
        raise UserError(f"--output {path}: must be an .npz file in an existing folder")
    if path.exists() and not settings.overwrite:
        raise UserError(f"--output {path}: already exists; add --overwrite or give another path")
    files.check_writable(path.parent)
    (x_train, y_train), (x_test, y_test) = load_labelled(settings.data)
    with importing_tensorflow(use_gpu=True):
        import keras
        import tensorflow as tf

        from models import build_classifier
        from storage.weights import named_variables

        tf.config.experimental.enable_op_determinism()
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    keras.utils.set_random_seed(settings.seed)
    classifier = build_classifier()
    steps = settings.epochs * (len(x_train) // BATCH_SIZE)
    learning_rate = keras.optimizers.schedules.CosineDecay(
        1e-4, steps - steps // 10, warmup_target=LEARNING_RATE, warmup_steps=steps // 10
    )
    network = keras.Sequential([keras.Input((28, 28, 1)), *distortions(keras), classifier])
    network.compile(
        keras.optimizers.Adam(learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    for epoch in range(settings.epochs):
        network.reset_metrics()
        for batch in data.epoch_order(len(x_train), BATCH_SIZE, settings.seed, epoch):
            losses = network.train_on_batch(x_train[batch], y_train[batch], return_dict=True)
        say(f"epoch {epoch + 1}/{settings.epochs}  loss {losses['loss']:.4f}")
    _, accuracy = network.evaluate(x_test, y_test, 1000, verbose=0)
    packed = io.BytesIO()
    weights = named_variables(classifier)
    np.savez(packed, **{name: variable.numpy() for name, variable in weights.items()})
    files.replace_with_checksum(path, packed.getvalue())
    say(f"Test accuracy {accuracy:.2%} on {len(x_test):,} digits")
    say(f"Wrote {path}, SHA-256 {files.checksum_path(path).read_text().split()[0]}")


def load_labelled(path):
    """Training and test digits: images in [-1, 1], float32 (N, 28, 28, 1), and labels (N,)."""
    arrays = data.load_parts(path, "x_train", "y_train", "x_test", "y_test")
    for part in ("train", "test"):
        pixels, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        is_fit = labels.shape == pixels.shape[:1] and labels.dtype.kind in "iu"
        if not is_fit or labels.min() < 0 or labels.max() > 9:
            raise UserError(f"{path}: y_{part} must be a label from 0 to 9 for each image")
        metrics.require(len(pixels), BATCH_SIZE, f"{path}: x_{part}")
        yield data.to_model_range(pixels[..., None].astype(np.float32)), labels


def distortions(keras):
    """Layers that turn a digit by up to 9 degrees, move it by 2 pixels and zoom it by 8 %."""
    black = dict(fill_mode="constant", fill_value=-1.0)
    return (
        keras.layers.RandomRotation(0.025, **black),
        keras.layers.RandomTranslation(0.07, 0.07, **black),
        keras.layers.RandomZoom(0.08, 0.08, **black),
    )


if __name__ == "__main__":
    sys.exit(main())
