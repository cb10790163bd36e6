"""Which drawn digits to accept, so that those accepted look like real ones.

A sample x is accepted with probability min(1, c r(x)), where r is the ratio of the densities of
real and of generated images (discriminator rejection sampling, Azadi et al. 2019). Here log c r is
linear in features of the digit classifier (Ding et al. 2020) and in measures of ink, within each
digit that the classifier reads. Its weights are such that accepted samples have the means of real
images (entropy balancing, Hainmueller 2012) for a given budget of draws (Verine et al. 2024). The
classifier has seen labels; the GAN has not.
"""

import contextlib
from typing import NamedTuple

import keras
import numpy as np

import data
from cli import UserError, say
from config import MNIST
from evaluation import ink
from machine import files
from readers import read_npz
from sampling.sampler import Sampler
from storage import runs
from storage.weights import weights_sha256

DRAWS_PER_SAMPLE = 1.5  # the budget: draws for one accepted sample, on average
NUM_CALIBRATION = 60_000  # samples that the acceptance is calibrated with, and all real images
CALIBRATION_SEED = 2**31  # outside the range of --seed
RIDGE = 0.1  # L2 penalty of the weights
MAX_RATE = 0.9  # of acceptance, for digits that are drawn too seldom
MIN_RATIO = 0.5  # of a digit's real and drawn shares, so that one drawn too often is still accepted
PATHS = {"latest": "acceptance.npz", "best": "acceptance-best.npz"}


class Acceptance(NamedTuple):
    """A calibration: log c r(x) = statistics(x) @ weights[digit] + bias[digit]."""

    weights: np.ndarray  # float64 (10, dim)
    bias: np.ndarray  # float64 (10,)

    def probability(self, predictions):
        """The probability of accepting each of some Predictions, float64 (N,) from 0 to 1."""
        digit = np.argmax(predictions.probabilities, 1)
        x = statistics_of(predictions)
        return np.exp(np.minimum(0, np.sum(x * self.weights[digit], 1) + self.bias[digit]))


def statistics(features, probabilities, strokes, xp=np):
    """What the acceptance depends on, (N, dim): features, log odds of the digit, doubt and ink.

    `strokes` is what ink.measure gives, `xp` NumPy or keras.ops.
    """
    top = xp.max(probabilities, axis=1, keepdims=True)
    others = xp.where(probabilities < top, probabilities, 0.0)
    doubt = xp.sum(others, axis=1, keepdims=True)  # 1 - top, without cancellation
    log_odds = xp.log(top + 1e-7) - xp.log(doubt + 1e-7)
    return xp.concatenate([features, log_odds, xp.sqrt(doubt), xp.sqrt(strokes)], axis=1)


def statistics_of(predictions):
    """The statistics of some Predictions, float64 (N, dim)."""
    strokes = ink.measure_pixels(predictions.pixels)
    return statistics(predictions.features, predictions.probabilities.astype(np.float64), strokes)


def network_with_probability(network, acceptance):
    """A classifier and Acceptance.probability as one Keras model, for export.

    Maps images (batch, 28, 28, 1) to the probabilities of the ten digits, (batch, 10), and that of
    being accepted, (batch, 1).
    """
    levels = keras.ops.round((network.inputs[0] + 1.0) * 127.5)  # as data.to_pixels does
    levels = keras.ops.clip(levels, 0.0, 255.0)
    x = data.to_model_range(levels)
    outputs = {}
    for layer in network.layers[1:]:
        x = outputs[layer.name] = layer(x)
    features, probabilities = outputs["features"], outputs["digit"]
    strokes = ink.measure(levels[..., 0] / 255.0, keras.ops)
    log_cr = keras.layers.Dense(10, name="log_cr")
    each = log_cr(statistics(features, probabilities, strokes, keras.ops))
    log_cr.set_weights([acceptance.weights.T, acceptance.bias])
    top = keras.ops.max(probabilities, axis=1, keepdims=True)
    own = keras.ops.sum(keras.ops.where(probabilities < top, 0.0, each), axis=1, keepdims=True)
    accepted = keras.ops.exp(keras.ops.minimum(own, 0.0))
    return keras.Model(network.inputs, [probabilities, accepted], name="classifier")


def calibrate(real, generated):
    """The Acceptance of a generator, from Predictions for real images and for samples of it.

    Accepted samples have each digit as often as the real images, unless it is drawn much too
    seldom or too often.
    """
    x, y = statistics_of(real), statistics_of(generated)
    both = np.concatenate([x, y])
    mean, scale = both.mean(0), both.std(0) + 1e-9
    x, y = (x - mean) / scale, (y - mean) / scale
    x_digits, y_digits = (np.argmax(each.probabilities, 1) for each in (real, generated))
    weights, bias = np.zeros((10, len(mean))), np.zeros(10)
    for digit in range(10):
        wanted, drawn = x[x_digits == digit], y[y_digits == digit]
        if len(wanted) and len(drawn):
            ratio = len(wanted) / len(x) * len(y) / len(drawn)
            rate = min(MAX_RATE, max(ratio, MIN_RATIO) / DRAWS_PER_SAMPLE)
            *weights[digit], bias[digit] = balance(drawn, wanted.mean(0), rate)
    weights /= scale
    return Acceptance(weights, bias - weights @ mean)


def balance(x, target, rate, steps=100):
    """Weights (dim + 1,), the bias last, of the probability min(1, exp(x @ weights + bias)).

    With it, a share `rate` of x (N, dim) is accepted, and the accepted have the mean
    `target`, up to a ridge penalty: the minimum of a convex loss, found by Newton's method.
    """
    x, target = np.column_stack([x, np.ones(len(x))]), np.append(target, 1)
    penalty = RIDGE * (np.arange(len(target)) < len(target) - 1)

    def loss(weights):
        log_cr = x @ weights
        # of min(1, exp(t)) over t up to log_cr
        integral = np.where(log_cr < 0, np.exp(np.minimum(0, log_cr)), 1 + log_cr)
        return integral.mean() - rate * target @ weights + penalty @ weights**2 / 2

    weights = np.zeros(len(target))
    weights[-1] = np.log(rate)
    for _ in range(steps):
        log_cr = x @ weights
        accepted = np.exp(np.minimum(0, log_cr))
        gradient = accepted @ x / len(x) - rate * target + penalty * weights
        curvature = (x * (accepted * (log_cr < 0))[:, None]).T @ x / len(x)
        step = np.linalg.solve(curvature + np.diag(penalty + 1e-6), gradient)
        before, descent = loss(weights), gradient @ step
        while loss(weights - step) > before - 1e-4 * descent and descent > 1e-12:
            step, descent = step / 2, descent / 2
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def load_or_calibrate(folder, which, generator, classifier):
    """The Acceptance of a run's generator, `latest` or `best`; made and kept if there is none.

    It is recomputed if either network's weights or the constants above have changed; after an edit
    of the formula, delete the file.
    """
    path = folder / PATHS[which]
    origin = origin_of(generator, classifier)
    with contextlib.suppress(UserError):  # of a damaged one
        arrays = read_npz(path) if path.is_file() else {}
        if str(arrays.pop("origin", "")) == origin and arrays.keys() == {*Acceptance._fields}:
            return Acceptance(**arrays)
    say("Calibrating which digits to accept, once for this generator")
    acceptance = calibrate_generator(generator, classifier)
    if runs.ships(folder):  # never write into the included run
        return acceptance
    try:
        with files.atomic_file(path) as file:
            np.savez(file, origin=np.array(origin), **acceptance._asdict())
    except UserError:
        say(f"note: {folder} cannot be written, so the calibration is not kept")
    return acceptance


def origin_of(generator, classifier):
    """What a calibration depends on, as text: both networks' weights and the constants above."""
    constants = (DRAWS_PER_SAMPLE, NUM_CALIBRATION, CALIBRATION_SEED, RIDGE, MAX_RATE, MIN_RATIO)
    return f"{weights_sha256(generator)} {classifier.sha256} {constants}"


def calibrate_generator(generator, classifier):
    """The Acceptance of a generator that learned MNIST, from its training images and samples."""
    real = classifier.predict(data.load_images(MNIST))
    samples = np.concatenate([*Sampler(generator).sample(NUM_CALIBRATION, CALIBRATION_SEED)])
    return calibrate(real, classifier.predict(samples))


def reason_for_raw(folder):
    """Why a run's samples are drawn without rejection, or None if the run learned MNIST."""
    learned = runs.images_learned(folder)
    if learned is None:
        return f"{folder / 'settings.json'} does not say what the run was trained on"
    if learned != data.MNIST_DIGEST:
        return "the run was trained on images other than MNIST, which the classifier cannot judge"
    return None
