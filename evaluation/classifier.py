"""The digit classifier: the features and probabilities that all scores rest on."""

from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

import data
from cli import UserError
from config import CLASSIFIER
from machine import files
from machine.command import script_command
from models import build_classifier
from readers import read_npz
from storage.weights import assign_all, named_variables


class Predictions(NamedTuple):
    """Images and what the classifier makes of them."""

    pixels: np.ndarray  # uint8 (N, 28, 28)
    features: np.ndarray  # float32 (N, 64)
    probabilities: np.ndarray  # float32 (N, 10)

    def take(self, chosen):
        """Some of these images, by a slice or by their indices."""
        return Predictions(*(array[chosen] for array in self))

    def points(self, space):
        """The images as points: pixels in [0, 1], float32 (N, 784), or features."""
        if space == "features":
            return self.features
        return self.pixels.reshape(len(self.pixels), -1) / np.float32(255)


def check_weights(path=Path(CLASSIFIER)):
    """Raise UserError unless the classifier's weights are those that their checksum names."""
    if not files.is_intact(path):
        raise UserError(
            f"{path}: the digit classifier is missing, or is not the file that {path.name}.sha256 "
            "names; restore it and its .sha256, or train one: "
            + script_command("train_classifier.py", "--overwrite")
        )


class DigitClassifier:
    """The classifier that ships. Scores compare only between equal `sha256` of its weights.

    Raises UserError when check_weights does.
    """

    def __init__(self, path=CLASSIFIER):
        path = Path(path)
        check_weights(path)
        self.sha256 = files.checksum_path(path).read_text().split()[0]
        classifier = build_classifier()
        assign_all(named_variables(classifier), read_npz(path), path)
        outputs = [classifier.get_layer(name).output for name in ("features", "digit")]
        self.network = keras.Model(classifier.inputs, outputs)

    @tf.function(reduce_retracing=True)
    def predict_chunk(self, pixels):
        """Features and probabilities of some images, uint8 (some, 28, 28)."""
        return self.network(data.to_model_range(tf.cast(pixels, tf.float32))[..., None])

    def predict(self, pixels, chunk=1000):
        """Predictions for pixels, uint8 (N, 28, 28)."""
        parts = [self.predict_chunk(pixels[i : i + chunk]) for i in range(0, len(pixels), chunk)]
        features, probabilities = (np.concatenate(arrays) for arrays in zip(*parts))
        return Predictions(pixels, features, probabilities)
