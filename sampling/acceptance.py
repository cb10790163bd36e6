"""Which drawn digits to accept, so that those accepted look like real ones to the classifier.

A sample x is accepted with probability min(1, c r(x)), where r is the density ratio of real to
generated images (discriminator rejection sampling, Azadi et al. 2019), estimated in the features
of the digit classifier (Ding et al. 2020), and c is chosen for a budget of draws (Verine et al.
2024). The classifier has seen labels; the GAN has not.
"""

import contextlib
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

import data
from cli import UserError, say
from config import MNIST
from machine import files
from readers import read_npz
from sampling.sampler import Sampler
from storage import runs
from storage.weights import weights_sha256

DRAWS_PER_SAMPLE = 1.45  # the budget: at most so many draws for one accepted sample, on average
EXACT_SHARE = 0.8  # fraction of draws with c r(x) <= 1, if the budget permits
NUM_CALIBRATION = 30_000  # real and generated images that the ratio is estimated from
CALIBRATION_SEED = 2**31  # outside the range of --seed
RIDGE = 1e-3  # L2 penalty of the logistic regression, per image
PATHS = {"latest": "acceptance.npz", "best": "acceptance-best.npz"}


class Acceptance(NamedTuple):
    """A calibration: log c r(x) = (statistics(x) - mean) / scale @ weights + bias."""

    mean: np.ndarray  # float64 (dim,)
    scale: np.ndarray  # float64 (dim,)
    weights: np.ndarray  # float64 (dim,)
    bias: np.ndarray  # float64 ()

    def probability(self, predictions):
        """The probability of accepting each of some Predictions, float64 (N,) from 0 to 1."""
        x = (statistics(predictions) - self.mean) / self.scale
        return np.exp(np.minimum(0, x @ self.weights + self.bias))


def statistics(predictions):
    """What the ratio is a function of: features, log odds of the label, and their squares."""
    top = np.sort(predictions.probabilities, 1)[:, -1].astype(np.float64)
    log_odds = np.log(top + 1e-7) - np.log(1 - top + 1e-7)
    x = np.column_stack([predictions.features, log_odds])
    return np.concatenate([x, x**2], 1)


def network_with_probability(network, acceptance):
    """A classifier's network, (features, probabilities), as one that other runtimes may run.

    It gives for images (batch, 28, 28, 1) the probabilities of the ten digits, (batch, 10), and
    that of being accepted, (batch, 1): Acceptance.probability in operations of Keras.
    """
    features, probabilities = network.outputs
    top = keras.ops.max(probabilities, axis=1, keepdims=True)
    others = keras.ops.where(probabilities < top, probabilities, 0.0)
    rest = keras.ops.sum(others, axis=1, keepdims=True)  # 1 - top, where float32 has no digits left
    log_odds = keras.ops.log(top + 1e-7) - keras.ops.log(rest + 1e-7)
    x = keras.ops.concatenate([features, log_odds], axis=1)
    log_ratio = keras.layers.Dense(1, name="log_ratio")
    log_cr = log_ratio(keras.ops.concatenate([x, x * x], axis=1))
    weights = acceptance.weights / acceptance.scale
    log_ratio.kernel.assign(weights[:, None])
    log_ratio.bias.assign([acceptance.bias - acceptance.mean @ weights])
    accepted = keras.ops.exp(keras.ops.minimum(log_cr, 0.0))
    return keras.Model(network.inputs, [probabilities, accepted], name="classifier")


def calibrate(real, generated):
    """The Acceptance of a generator, from Predictions for real images and for samples of it."""
    x = np.concatenate([statistics(real), statistics(generated)])
    is_real = np.arange(len(x)) < len(real.pixels)
    mean, scale = x.mean(0), x.std(0) + 1e-9
    coefficients = fit_logistic((x - mean) / scale, is_real)
    log_ratio = (x[~is_real] - mean) / scale @ coefficients[:-1]
    return Acceptance(mean, scale, coefficients[:-1], np.array(log_constant(log_ratio)))


def fit_logistic(x, y, steps=25):
    """Coefficients (dim + 1,), the intercept last, of a logistic regression with a ridge penalty.

    Newton's method on x (N, dim) and y bool (N,).
    """
    x = np.column_stack([x, np.ones(len(x))])
    penalty = RIDGE * len(x) * np.eye(x.shape[1])
    penalty[-1, -1] = 0
    coefficients = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(x @ coefficients, -30, 30)))
        gradient = x.T @ (p - y) + penalty @ coefficients
        step = np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + penalty, gradient)
        coefficients -= step
        if np.abs(step).max() < 1e-6:
            break
    return coefficients


def log_constant(log_ratio):
    """log c for the log r of some draws, float (N,), up to a constant.

    c r reaches 1 at the EXACT_SHARE quantile of r, so that all below are accepted in proportion,
    unless that would take more than DRAWS_PER_SAMPLE draws for each accepted sample.
    """
    low, high = -np.quantile(log_ratio, EXACT_SHARE), -log_ratio.min()
    for _ in range(60):
        middle = (low + high) / 2
        if acceptance_rate(log_ratio + low) >= 1 / DRAWS_PER_SAMPLE:
            break
        if acceptance_rate(log_ratio + middle) < 1 / DRAWS_PER_SAMPLE:
            low = middle
        else:
            high = middle
    return low


def acceptance_rate(log_cr):
    """Mean of min(1, c r) over draws with these log c r, float (N,)."""
    return np.exp(np.minimum(0, log_cr)).mean()


def load_or_calibrate(folder, which, generator, classifier):
    """The Acceptance of a run's generator, `latest` or `best`; made and kept if there is none.

    It is recomputed if the generator's or the classifier's weights have changed.
    """
    path = folder / PATHS[which]
    origin = f"{weights_sha256(generator)} {classifier.sha256}"
    with contextlib.suppress(UserError):  # of a damaged one
        arrays = read_npz(path) if path.is_file() else {}
        if str(arrays.pop("origin", "")) == origin and arrays.keys() == {*Acceptance._fields}:
            return Acceptance(**arrays)
    say("Calibrating which digits to accept, once for this generator")
    acceptance = calibrate_generator(generator, classifier)
    if runs.ships(folder):  # never write into the included run
        return acceptance
    try:
        with files.replacing(path) as file:
            np.savez(file, origin=np.array(origin), **acceptance._asdict())
    except UserError:
        say(f"note: {folder} cannot be written, so the calibration is not kept")
    return acceptance


def calibrate_generator(generator, classifier):
    """The Acceptance of a generator that learned MNIST, from its training images and samples."""
    images = data.load_images(MNIST)
    chosen = np.random.Generator(np.random.Philox(key=[0, 0])).permutation(len(images))
    real = classifier.predict(images[chosen[:NUM_CALIBRATION]])
    samples = np.concatenate([*Sampler(generator).sample(NUM_CALIBRATION, CALIBRATION_SEED)])
    return calibrate(real, classifier.predict(samples))


def reason_for_raw(folder):
    """Why a run's samples are drawn without rejection, or None: it must have learned MNIST."""
    try:
        learned = runs.load_settings(folder)["run"].get("images")
    except UserError:
        return f"{Path(folder) / 'settings.json'} does not say what the run learned"
    if learned != data.MNIST_DIGEST:
        return "the run learned other images than MNIST, which the classifier cannot judge"
    return None
