"""Scores: which images are compared with which, in the features of the digit classifier."""

import functools

import numpy as np

from evaluation import ink, metrics
from evaluation.classifier import DigitClassifier

NUM_COPY_CANDIDATES = 2000  # each is compared with all real images, 50 million pixels


def score(generated, training, test):
    """Scores of generated images, and the density of each; all are Predictions.

    Scores are a dictionary of numbers and, where a number has a standard error, of pairs.
    Density, precision, recall and coverage use at most as many images as there are test images.
    """
    return compare(generated, generated, generated, training, test)


def real_baseline(num, training, test):
    """Scores of `num` real images, or of all where there are fewer.

    Test images are compared with the training images, training images with the test images.
    """
    choose = np.random.Generator(np.random.Philox(key=[0, 0])).permutation
    like_training = test.take(choose(len(test.pixels))[:num])
    like_test = training.take(choose(len(training.pixels))[:num])
    scores, _ = compare(like_training, like_test, test.take(slice(0, None, 2)), training, test)
    return scores


def compare(to_training, to_test, copy_candidates, training, test):
    """Scores and densities of the images to be compared with training and with test images."""
    prdc, densities = metrics.prdc(to_test.features[: len(test.pixels)], test.features)
    scores = (
        distances("training", to_training, training)
        | distances("test", to_test, test)
        | prdc
        | dict(zip(ink.NAMES, ink.measure_pixels(to_test.pixels).mean(0).tolist()))
        | {
            "inception_score": metrics.inception_score(to_training.probabilities),
            "confidence": metrics.confidence(to_training.probabilities),
            "digit_shares": metrics.digit_shares(to_training.probabilities).tolist(),
        }
        | copying(
            copy_candidates.take(slice(NUM_COPY_CANDIDATES)),
            test.take(slice(1, None, 2)),
            training,
        )
    )
    return scores, densities


def distances(name, images, reference):
    """FID, FID∞ and KID of images to the reference images of this name, as a dictionary."""
    moments = metrics.moments(reference.features)
    return {
        f"fid_{name}": metrics.fid(metrics.moments(images.features), moments),
        f"fid_infinity_{name}": metrics.fid_infinity(images.features, moments),
        f"kid_{name}": metrics.kid(images.features, reference.features),
    }


def copying(images, held_out, training):
    """How near images are to training images, beside how near held-out real images are."""
    scores, cells = {}, [np.argmax(each.probabilities, 1) for each in (images, held_out)]
    for space in ("pixels", "features"):
        ours, theirs, known = (each.points(space) for each in (images, held_out, training))
        to_training, _ = metrics.nearest(ours, known)
        to_held_out, _ = metrics.nearest(ours, theirs)
        some = slice(NUM_COPY_CANDIDATES)
        expected, _ = metrics.nearest(theirs[some], known)
        scores[f"nearest_is_training_{space}"] = float(np.mean(to_training < to_held_out))
        scores[f"copying_z_{space}"] = metrics.copying_z(
            to_training, expected, cells[0], cells[1][some]
        )
    return scores


class TrainingScore:
    """The quick score during training: samples compared with the run's training images."""

    num_samples = 5000

    def __init__(self, pixels):
        self.pixels, self.classifier = pixels, DigitClassifier()

    @functools.cached_property
    def real(self):
        """What the training images have: moments of features, shares of the ten digits, ink."""
        predictions = self.classifier.predict(self.pixels)
        shares = metrics.digit_shares(predictions.probabilities)
        strokes = ink.measure_pixels(self.pixels).mean(0) + 1e-3  # some images have none
        return metrics.moments(predictions.features), shares, strokes

    def score(self, pixels):
        """FID of generated images, uint8 (N, 28, 28), their rarest digit's share and their ink.

        The share, pale ink and smear are relative to those of the training images; 1 is ideal.
        """
        predictions = self.classifier.predict(pixels)
        moments, real_shares, real_strokes = self.real
        shares = metrics.digit_shares(predictions.probabilities)
        present = real_shares > 0.02
        fid = metrics.fid(metrics.moments(predictions.features), moments)
        strokes = ink.measure_pixels(pixels).mean(0) / real_strokes
        return fid, float(np.min(shares[present] / real_shares[present])), *strokes.tolist()
