"""The networks (Radford et al. 2016), one layer a line, with the shape of what it returns."""

import keras
from keras.layers import Activation, Flatten, LeakyReLU, MaxPooling2D, ReLU, Reshape

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


def build_generator(noise_dim=200, num_codes=64):
    """Network from noise (batch, noise_dim) to images (batch, 28, 28, 1) in [-1, 1].

    Batch normalisation cancels the scale of the layer before it, if its variance is well above
    epsilon, so with small initial weights each step of Adam changes them more, relative to their
    size. The last layer has a learning-rate multiplier instead. Training and drawing find the
    layers `code` and `dense` by these names.
    """
    hidden = {"use_bias": False, "stddev": 0.001}
    last = {"stddev": 0.005, "lr_multiplier": 10, "bias_lr_multiplier": 1, "dtype": "float32"}
    noise = keras.Input((noise_dim,), name="noise")
    x = DiscreteCode(num_codes, name="code")(noise)  # (batch, noise_dim)
    x = Dense(7 * 7 * 256, name="dense", **hidden)(x)  # (batch, 12544)
    x = Reshape((7, 7, 256))(x)  # (batch, 7, 7, 256)
    x = BatchNormalization(name="dense_normalisation")(x)
    x = ReLU()(x)
    x = Conv2DTranspose(32, 4, 2, name="up_14", **hidden)(x)  # (batch, 14, 14, 32)
    x = BatchNormalization(name="up_14_normalisation")(x)
    x = ReLU()(x)
    x = Conv2DTranspose(32, 4, 2, name="up_28", **hidden)(x)  # (batch, 28, 28, 32)
    x = BatchNormalization(name="up_28_normalisation")(x)
    x = ReLU()(x)
    x = Conv2DTranspose(1, 5, 1, activation="tanh", name="pixels", **last)(x)
    return keras.Model(noise, x, name="generator")  # (batch, 28, 28, 1)


def build_discriminator(dropout=0.1, num_codes=64, ink_channel=True):
    """Network from images (batch, 28, 28, 1) in [-1, 1] to probabilities (batch, 1) of being real.

    The second input is the key of the dropout mask, int64 (2,), or None outside training; with
    `num_codes` a third one is the code that each image should look like, int64 (batch,). The
    second output is the logit, because losses computed from it stay exact where a sigmoid
    saturates. A unit of the second convolution sees 21x21 pixels, so that it can judge more than
    strokes.
    """
    images = keras.Input((28, 28, 1), name="images")
    key = keras.Input(batch_shape=(2,), dtype="int64", optional=True, name="key")
    # Made first: the initial weights that belong to a seed depend on the order.
    logits = Dense(1, lr_multiplier=10, bias_lr_multiplier=1, dtype="float32", name="logits")
    x = InkChannel(dtype="float32", name="ink")(images) if ink_channel else images
    x = Conv2D(32, 5, 2, lr_multiplier=10, name="down_14")(x)  # (batch, 14, 14, 32)
    x = LeakyReLU(0.02)(x)
    x = Conv2D(96, 9, 3, lr_multiplier=10, name="down_5")(x)  # (batch, 5, 5, 96)
    x = LeakyReLU(0.02)(x)
    x = Dropout(dropout)(x, key)
    x = Flatten()(x)  # (batch, 2400)
    inputs, logit = [images, key], logits(x)  # (batch, 1)
    if num_codes:
        inputs.append(keras.Input((), dtype="int64", name="code"))
        options = {"lr_multiplier": 10, "dtype": "float32", "name": "code_logits"}
        logit += CodeLogit(num_codes, **options)(x, inputs[-1])
    probability = Activation("sigmoid", dtype="float32")(logit)
    return keras.Model(inputs, [probability, logit], name="discriminator")


def build_classifier():
    """Network from images (batch, 28, 28, 1) in [-1, 1] to digit probabilities (batch, 10).

    Its layer `features`, (batch, 64), is what the scores of generated images are computed in.
    """

    def convolution(filters, kernel_size, name):
        options = {"padding": "same", "use_bias": False, "kernel_initializer": "he_normal"}
        return keras.layers.Conv2D(filters, kernel_size, name=name, **options)

    def normalisation(name):
        return BatchNormalization(momentum=0.99, name=name)

    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            convolution(24, 5, "at_28"),
            MaxPooling2D(),  # (batch, 14, 14, 24)
            normalisation("at_28_normalisation"),  # after the pooling, where it costs a quarter
            ReLU(),
            convolution(32, 3, "at_14"),  # (batch, 14, 14, 32)
            normalisation("at_14_normalisation"),
            ReLU(),
            convolution(48, 3, "at_14_again"),
            MaxPooling2D(),  # (batch, 7, 7, 48)
            normalisation("at_14_again_normalisation"),
            ReLU(),
            convolution(64, 3, "at_7"),  # (batch, 7, 7, 64)
            normalisation("at_7_normalisation"),
            ReLU(),
            Flatten(),  # (batch, 3136)
            keras.layers.Dropout(0.3),
            keras.layers.Dense(64, activation="relu", name="features"),  # (batch, 64)
            keras.layers.Dense(10, activation="softmax", name="digit"),  # (batch, 10)
        ],
        name="classifier",
    )
