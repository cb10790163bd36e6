"""The networks (Radford et al. 2016), their noise, and how digits are drawn with them.

Randomness is a function of (seed, purpose, step): nothing here keeps a hidden random state.
"""

import contextlib

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from config import UserError
from custom_layers import FusedBatchNormalization, KeyedDropout, OneChannelConv2D

BLOCK = 100  # digits drawn in one call, always: a digit's bits must not depend on its neighbours
TRAINING, DRAWING, DROPOUT = 0, 1, 2  # purposes of random numbers
# Adam moves every weight by about its step size. So a layer learns GAIN times as fast whose weights
# are that much smaller and whose outputs are multiplied by it (the reverse of Karras et al. 2018).
GAIN = 10


def use_cpu():
    """Leave the GPUs to others: drawing is quick enough, and the same everywhere, on the CPU.

    Where this process has begun to compute, for one that trained before it draws, it is too late.
    """
    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")


def build_generator(noise_dim=200):
    """Noise (batch, noise_dim) to digits (batch, 28, 28, 1) in [-1, 1].

    Batch normalisation makes a layer deaf to the scale of its weights: small ones learn faster.
    The last layer has none after it, but a GAIN.
    """

    def normal(stddev):
        return keras.initializers.RandomNormal(stddev=stddev)

    def convolve(filters, kernel_size, strides, stddev, **options):
        options["kernel_initializer"] = normal(stddev)
        return layers.Conv2DTranspose(filters, kernel_size, strides, "same", **options)

    return keras.Sequential(
        [
            keras.Input((noise_dim,)),
            layers.Dense(12544, use_bias=False, kernel_initializer=normal(0.001), name="dense"),
            layers.Reshape((7, 7, 256)),  # (batch, 7, 7, 256)
            FusedBatchNormalization(name="dense_normalisation"),
            layers.ReLU(),
            convolve(32, 4, 2, 0.001, use_bias=False, name="up_14"),  # (batch, 14, 14, 32)
            FusedBatchNormalization(name="up_14_normalisation"),
            layers.ReLU(),
            convolve(32, 4, 2, 0.001, use_bias=False, name="up_28"),  # (batch, 28, 28, 32)
            FusedBatchNormalization(name="up_28_normalisation"),
            layers.ReLU(),
            layers.Rescaling(GAIN),
            convolve(1, 5, 1, 0.005 / GAIN, activation="tanh", dtype="float32", name="pixels"),
        ],  # (batch, 28, 28, 1)
        name="generator",
    )


def build_discriminator(dropout=0.1):
    """Digits (batch, 28, 28, 1) in [-1, 1] to the probability (batch, 1) that each is real.

    One unit of the second convolution sees 21x21 pixels, so that it can judge wholes, not strokes.
    """

    def start():
        """He et al. 2015, but for the GAIN."""
        return keras.initializers.VarianceScaling(2 / GAIN**2)

    def downsample(layer, filters, kernel_size, strides, name):
        options = {"kernel_initializer": start(), "name": name}
        return layer(filters, kernel_size, strides, "same", **options)

    verdict = {"kernel_initializer": start(), "activation": "sigmoid", "dtype": "float32"}
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            downsample(OneChannelConv2D, 32, 5, 2, "down_14"),  # (batch, 14, 14, 32)
            layers.Rescaling(GAIN),
            layers.LeakyReLU(0.02),
            downsample(layers.Conv2D, 96, 9, 3, "down_5"),  # (batch, 5, 5, 96)
            layers.Rescaling(GAIN),
            layers.LeakyReLU(0.02),
            KeyedDropout(dropout, name="dropout"),
            layers.Flatten(),  # (batch, 2400)
            layers.Rescaling(GAIN),
            layers.Dense(1, name="verdict", **verdict),  # (batch, 1)
        ],
        name="discriminator",
    )


def build_classifier():
    """Digits (batch, 28, 28, 1) in [-1, 1] to the probability (batch, 10) of each digit.

    Its layer `features`, (batch, 64), is what the scores of generated digits look at.
    """

    def convolution(filters, kernel_size, name, pool=False):
        options = dict(padding="same", use_bias=False, kernel_initializer="he_normal", name=name)
        yield layers.Conv2D(filters, kernel_size, **options)
        if pool:  # before the normalisation, which then costs a quarter
            yield layers.MaxPooling2D()
        yield FusedBatchNormalization(momentum=0.99, name=f"{name}_normalisation")
        yield layers.ReLU()

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            *convolution(24, 5, "at_28", pool=True),  # (batch, 14, 14, 24)
            *convolution(32, 3, "at_14"),  # (batch, 14, 14, 32)
            *convolution(48, 3, "at_14_again", pool=True),  # (batch, 7, 7, 48)
            *convolution(64, 3, "at_7"),  # (batch, 7, 7, 64)
            layers.Flatten(),  # (batch, 3136)
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu", name="features"),  # (batch, 64)
            layers.Dense(10, activation="softmax", name="digit"),  # (batch, 10)
        ],
        name="classifier",
    )


def noise(purpose, seed, index, shape):
    """Standard normal noise, float32 of the given shape, named by purpose, seed and index."""
    return tf.random.stateless_normal(shape, key(purpose, seed, index), alg="philox")


def key(purpose, seed, index):
    """The int64 (2,) that names one draw of random numbers."""
    return tf.stack([tf.cast(seed, tf.int64) + (purpose << 32), tf.cast(index, tf.int64)])


def build_drawing(generator, truncation=1.0):
    """A function (num_samples, seed) that yields digits, float32 (at most BLOCK, 28, 28) a time.

    Digit i of a seed is the same picture whatever num_samples is. All noise is times `truncation`.
    """

    @tf.function
    def draw_block(seed, block):
        z = noise(DRAWING, seed, block, [BLOCK, generator.input_shape[1]])
        return generator(z * truncation, training=False)[..., 0]

    def draw(num_samples, seed):
        for first in range(0, num_samples, BLOCK):
            digits = draw_block(tf.constant(seed), tf.constant(first // BLOCK)).numpy()
            yield digits[: num_samples - first]

    return draw


def draw_noise(generator, z):
    """Yield the digits of noise (N, dim), float32 (at most BLOCK, 28, 28) a time."""

    @tf.function
    def draw_block(z):
        return generator(z, training=False)[..., 0]

    for first in range(0, len(z), BLOCK):
        rows = z[first : first + BLOCK]
        yield draw_block(np.pad(rows, ((0, BLOCK - len(rows)), (0, 0)))).numpy()[: len(rows)]


def named_variables(holder):
    """Weights of a network, or variables of an optimizer, by layer and name: dense/kernel."""
    variables = holder.weights if isinstance(holder, keras.Model) else holder.variables
    return {"/".join(variable.path.split("/")[-2:]): variable for variable in variables}


def assign_all(variables, arrays, source):
    """Give each named variable its array; raises UserError, naming one, unless all fit."""

    def outline(array):
        """Shape and kind ('f' float, 'i' integer) of an array, of any width."""
        return (*array.shape, array.dtype.kind)

    for name in sorted(variables.keys() | arrays.keys()):
        wanted = outline(variables[name].numpy()) if name in variables else "nothing"
        found = outline(arrays[name]) if name in arrays else "nothing"
        if wanted != found:
            raise UserError(
                f"{source}: does not fit this network: {name} is {found}, wanted is {wanted}; "
                f"another version of the code wrote it (here is Keras {keras.__version__})"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def load_generator(arrays, source):
    """A generator with the weights of a snapshot; raises UserError when they do not fit."""
    kernel = arrays.get("dense/kernel")
    if kernel is None or kernel.ndim != 2:
        raise UserError(f"{source}: is not a generator snapshot (no dense/kernel)")
    generator = build_generator(kernel.shape[0])
    assign_all(named_variables(generator), arrays, source)
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        raise UserError(f"{source}: no longer finite: {', '.join(bad[:3])}; draw with another run")
    return generator
