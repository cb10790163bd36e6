"""A second digit classifier, which takes no part in sampling or scoring: it checks both.

python tests/second_classifier.py trains it again: another seed, another shape, other distortions.
"""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import data
from evaluation.classifier import Predictions
from readers import read_npz
from storage.weights import assign_all, named_variables

WEIGHTS = Path(__file__).resolve().with_suffix(".npz")  # float16
EPOCHS = 8


def build():
    """Network from images (batch, 28, 28, 1) in [-1, 1] to digit probabilities (batch, 10)."""
    same = {"activation": "relu", "padding": "same"}
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, name="at_28", **same),
            layers.MaxPooling2D(),  # (batch, 14, 14, 16)
            layers.BatchNormalization(name="at_28_normalisation"),
            layers.Conv2D(40, 5, name="at_14", **same),
            layers.MaxPooling2D(),  # (batch, 7, 7, 40)
            layers.BatchNormalization(name="at_14_normalisation"),
            layers.Conv2D(40, 3, name="at_7", **same),  # (batch, 7, 7, 40)
            layers.BatchNormalization(name="at_7_normalisation"),
            layers.Flatten(),  # (batch, 1960)
            layers.Dropout(0.4),
            layers.Dense(48, activation="relu", name="features"),  # (batch, 48)
            layers.Dense(10, activation="softmax", name="digit"),  # (batch, 10)
        ]
    )


class SecondClassifier:
    """What DigitClassifier is, with other weights."""

    def __init__(self):
        network = build()
        assign_all(named_variables(network), read_npz(WEIGHTS), WEIGHTS)
        outputs = [network.get_layer(name).output for name in ("features", "digit")]
        self.network = keras.Model(network.inputs, outputs)

    def predict(self, pixels):
        """Predictions for pixels, uint8 (N, 28, 28)."""
        values = data.to_model_range(pixels[..., None].astype(np.float32))
        return Predictions(pixels, *self.network.predict(values, 500, verbose=0))


def main():
    keras.utils.set_random_seed(1)
    with np.load(data.Path(data.__file__).parent / "assets" / "mnist.npz") as arrays:
        mnist = dict(arrays)
    network, black = build(), {"fill_mode": "constant", "fill_value": -1.0}
    distorted = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.RandomRotation(0.02, **black),
            layers.RandomTranslation(0.06, 0.06, **black),
            network,
        ]
    )
    learning_rate = keras.optimizers.schedules.CosineDecay(2e-3, EPOCHS * 469)
    distorted.compile(
        keras.optimizers.Adam(learning_rate), "sparse_categorical_crossentropy", ["accuracy"]
    )
    x = data.to_model_range(mnist["x_train"][..., None].astype(np.float32))
    distorted.fit(x, mnist["y_train"], 128, EPOCHS, verbose=2)
    variables = named_variables(network)
    np.savez(WEIGHTS, **{name: v.numpy().astype(np.float16) for name, v in variables.items()})
    labels = SecondClassifier().predict(mnist["x_test"]).probabilities.argmax(1)
    print(f"test accuracy {(labels == mnist['y_test']).mean():.2%}")


if __name__ == "__main__":
    main()
