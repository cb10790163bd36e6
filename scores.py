"""Digits judged: what the digit classifier sees in them, and how that compares with real ones."""

import functools
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

import data
import files
import metrics
import models
from config import CLASSIFIER, UserError

COPIES_SOUGHT = 2000  # digits looked up among the real ones: a look at 50 million pixels each


class Digits(NamedTuple):
    """Digits and what the classifier sees in them."""

    pixels: np.ndarray  # uint8 (N, 28, 28)
    features: np.ndarray  # float32 (N, 64)
    probabilities: np.ndarray  # float32 (N, 10)

    def take(self, chosen):
        """Some of these digits, by a slice or by their indices."""
        return Digits(*(array[chosen] for array in self))

    def points(self, space):
        """The digits as points: pixels in [0, 1], float32 (N, 784), or features."""
        if space == "features":
            return self.features
        return self.pixels.reshape(len(self.pixels), -1) / np.float32(255)


class Judge:
    """The digit classifier. `sha256` names its weights: scores of another do not compare.

    Raises UserError when the weights are not there, or not those that their checksum names.
    """

    def __init__(self, path=CLASSIFIER):
        path = Path(path)
        mend = "restore it and its .sha256, or train one: python train_classifier.py --overwrite"
        if not path.is_file():
            raise UserError(f"{path}: the digit classifier is missing; {mend}")
        if not files.is_whole(path):
            raise UserError(f"{path}: is not the file that {path.name}.sha256 names; {mend}")
        self.sha256 = files.checksum_path(path).read_text().split()[0]
        classifier = models.build_classifier()
        models.assign_all(models.named_variables(classifier), files.read_npz(path), path)
        outputs = [classifier.get_layer(name).output for name in ("features", "digit")]
        self.network = keras.Model(classifier.inputs, outputs)

    @tf.function(reduce_retracing=True)
    def look_at(self, pixels):
        """Features and probabilities of some digits."""
        return self.network(data.to_model_range(tf.cast(pixels, tf.float32))[..., None])

    def look(self, pixels, chunk=1000):
        """Digits with what the classifier sees in them; pixels are uint8 (N, 28, 28)."""
        seen = [self.look_at(pixels[i : i + chunk]) for i in range(0, len(pixels), chunk)]
        return Digits(pixels, *(np.concatenate([*map(np.asarray, part)]) for part in zip(*seen)))


def score(generated, training, test):
    """Scores of generated digits, and the density of each; all are Digits.

    Scores are a dictionary of numbers and, where a number has a standard error, of pairs.
    Densities, precision and its kin are those of as many digits as there are test digits.
    """
    return compare(generated, generated, generated, training, test)


def floor(num, training, test):
    """The scores that `num` real digits, or as many as there are, get.

    Test digits are compared with the training digits, training digits with the test digits.
    """
    choose = np.random.Generator(np.random.Philox(key=[0, 0])).permutation
    like_training = test.take(choose(len(test.pixels))[:num])
    like_test = training.take(choose(len(training.pixels))[:num])
    scores, _ = compare(like_training, like_test, test.take(slice(0, None, 2)), training, test)
    return scores


def compare(to_train, to_test, suspects, training, test):
    """Scores and densities of digits beside training and test digits; `suspects` of copying."""
    around = metrics.neighbourhoods(to_test.features[: len(test.pixels)], test.features)._asdict()
    densities = around.pop("densities")
    scores = (
        distances("training", to_train, training)
        | distances("test", to_test, test)
        | around
        | {
            "classifier_score": metrics.classifier_score(to_train.probabilities),
            "confidence": metrics.confidence(to_train.probabilities),
            "digit_shares": metrics.digit_shares(to_train.probabilities).tolist(),
        }
        | copying(suspects.take(slice(COPIES_SOUGHT)), test.take(slice(1, None, 2)), training)
    )
    return scores, densities


def distances(name, digits, reference):
    """The three distances of digits to the reference digits of this name, as a dictionary."""
    moments = metrics.moments(reference.features)
    plain = metrics.frechet_distance(metrics.moments(digits.features), moments)
    return {
        f"frechet_distance_{name}": plain,
        f"frechet_distance_{name}_extrapolated": metrics.extrapolated_frechet_distance(
            digits.features, moments
        ),
        f"kernel_distance_{name}": metrics.kernel_distance(digits.features, reference.features),
    }


def copying(digits, held_out, training):
    """How near digits are to training digits, beside how near held-out digits are."""
    found, cells = {}, [np.argmax(each.probabilities, 1) for each in (digits, held_out)]
    for space in ("pixels", "features"):
        ours, theirs, known = (each.points(space) for each in (digits, held_out, training))
        to_training, _ = metrics.nearest(ours, known)
        to_held_out, _ = metrics.nearest(ours, theirs)
        some = slice(COPIES_SOUGHT)
        usual, _ = metrics.nearest(theirs[some], known)
        found[f"nearest_is_training_{space}"] = float(np.mean(to_training < to_held_out))
        found[f"copying_z_{space}"] = metrics.copying_z(
            to_training, usual, cells[0], cells[1][some]
        )
    return found


class QuickScore:
    """The score that a run gets during training, beside its own training images."""

    num_samples = 5000  # digits to be drawn for it

    def __init__(self, pixels):
        self.pixels, self.judge = pixels, Judge()

    @functools.cached_property
    def real(self):
        """Moments of the training images' features, and their shares of the ten digits."""
        seen = self.judge.look(self.pixels)
        return metrics.moments(seen.features), metrics.digit_shares(seen.probabilities)

    def score(self, pixels):
        """Fréchet distance of digits, uint8 (N, 28, 28), and their rarest digit's share.

        That share is over the one that the digit has in the training images: 1 is as it should be.
        """
        seen, (moments, real_shares) = self.judge.look(pixels), self.real
        shares, there = metrics.digit_shares(seen.probabilities), real_shares > 0.02
        distance = metrics.frechet_distance(metrics.moments(seen.features), moments)
        return distance, float(np.min(shares[there] / real_shares[there]))
