"""Our layers match Keras' own: outputs, gradients, and gradients of gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import layers
from sampling.randomness import DROPOUT, random_key
from training.clusters import biases_of


def slopes(layer, inputs, upstream):
    """Outputs; their gradients by inputs and kernel; second gradients by kernel and upstream."""
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(upstream)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            value = tf.reduce_sum(outputs * upstream)
        by_inputs = tape.gradient(value, inputs)
        size = tf.reduce_sum(tf.square(by_inputs))
    return (
        outputs,
        by_inputs,
        tape.gradient(value, layer.kernel),
        outer.gradient(size, layer.kernel),
        outer.gradient(size, upstream),
    )


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("size", "shape"),
    [*((size, (8, 8)) for size in (3, 4, 5)), (5, (7, 7)), (5, (8, 7)), ((5, 3), (8, 8))],
)
def test_a_convolution_of_few_channels_is_keras_own(size, shape, channels):
    keras.utils.set_random_seed(0)
    ours, theirs = layers.Conv2D(3, size, 2), keras.layers.Conv2D(3, size, 2, "same")
    inputs, upstream = tf.random.normal([2, *shape, channels]), tf.random.normal([2, 4, 4, 3])
    for layer in (ours, theirs):
        layer.build(inputs.shape)
        layer.bias.assign(np.arange(3) + 0.5)
    ours.kernel.assign(theirs.kernel)
    for found, expected in zip(*(slopes(layer, inputs, upstream) for layer in (ours, theirs))):
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_ink_channel_is_pale_ink_without_a_core():
    """A pale pixel alone counts in full, one beside a stroke and white paper not at all."""
    images = np.full((1, 28, 28, 1), -1, np.float32)
    images[0, 5, 5] = 0  # half black, alone
    images[0, 10:20, 14] = 1
    images[0, 12, 15] = 0
    found = layers.InkChannel()(images).numpy()
    np.testing.assert_array_equal(found[..., :1], images)
    expected = np.zeros((28, 28))
    expected[5, 5] = 1
    np.testing.assert_allclose(found[0, ..., 1], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "arguments", "shape"),
    [
        ("Dense", (4,), (2, 6)),
        ("Conv2D", (4, 5, 2), (2, 8, 8, 3)),
        ("Conv2D", (4, 5, 2), (2, 8, 8, 1)),
        ("Conv2DTranspose", (4, 4, 2), (2, 8, 8, 3)),
    ],
)
def test_a_multiplier_makes_weights_and_steps_so_many_times_larger(kind, arguments, shape):
    multipliers = {"lr_multiplier": 10, "bias_lr_multiplier": 3}
    ours = getattr(layers, kind)(*arguments, activation="tanh", **multipliers)
    padding = {} if kind == "Dense" else {"padding": "same"}
    theirs = getattr(keras.layers, kind)(*arguments, activation="tanh", **padding)
    keras.utils.set_random_seed(0)
    for layer in (ours, theirs):
        layer.build(shape)
    ours.bias.assign([0.1, -0.2, 0.3, -0.4])
    theirs.kernel.assign(10 * ours.kernel)
    theirs.bias.assign(3 * ours.bias)
    inputs, moves = tf.random.normal(shape), []
    np.testing.assert_allclose(ours(inputs), theirs(inputs), rtol=1e-4, atol=1e-5)
    for layer in (ours, theirs):
        optimizer = keras.optimizers.Adam(0.001, epsilon=1e-12)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(inputs) ** 2)
        weights = layer.trainable_variables
        before = [weight.numpy() for weight in weights]
        optimizer.apply(tape.gradient(loss, weights), weights)
        moves.append([new - old for old, new in zip(before, weights)])
    for multiplier, found, expected in zip((10, 3), *moves):
        in_use = multiplier * found
        np.testing.assert_allclose(in_use, multiplier * expected, rtol=0.01, atol=1e-6)


def test_first_weights_are_as_large_in_use_as_without_a_multiplier():
    for options, expected in (({"stddev": 0.02}, 0.02), ({}, (2 / 400) ** 0.5)):
        layer = layers.Dense(500, lr_multiplier=10, **options)
        layer.build((1, 400))
        assert np.std(10 * layer.kernel) == pytest.approx(expected, rel=0.02)


def test_batch_normalisation_is_keras_own():
    inputs = np.random.default_rng(0).normal(2, 3, (8, 5, 5, 4)).astype(np.float32)
    ours = layers.BatchNormalization()
    theirs = keras.layers.BatchNormalization(momentum=0.9, moving_variance_initializer="zeros")
    for training in (True, False):
        np.testing.assert_allclose(
            ours(inputs, training=training), theirs(inputs, training=training), atol=1e-5
        )
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-5)


def test_dropout_is_a_function_of_its_key():
    layer = layers.Dropout(0.25)
    ones = tf.ones([4, 50, 50, 3])
    masks = [layer(ones, random_key(DROPOUT, 3, step), training=True) for step in (0, 0, 1)]
    masks = [mask.numpy() for mask in masks]
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()
    assert set(np.unique(masks[0])) == {np.float32(0), np.float32(4 / 3)}
    assert np.mean(masks[0] == 0) == pytest.approx(0.25, abs=0.01)
    np.testing.assert_array_equal(layer(ones, training=False), ones)


def test_a_code_is_uniform_for_normal_noise_and_a_function_of_it():
    noise = tf.random.stateless_normal([40_000, 12], [0, 0])
    found = layers.DiscreteCode(8)(noise).numpy()
    codes = noise.numpy()[:, :8].argmax(1)
    expected = len(noise) / 8
    chi_square = np.sum((np.bincount(codes, minlength=8) - expected) ** 2 / expected)
    assert chi_square < 24.3  # what one in a thousand exceeds, of 7 degrees of freedom
    np.testing.assert_array_equal(found[:, :8], 6 * np.eye(8)[codes])
    np.testing.assert_array_equal(found[:, 8:], noise[:, 8:])


def test_bfloat16_does_not_round_the_numbers_that_choose_the_code():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = layers.DiscreteCode(2)
    keras.config.set_dtype_policy("float32")
    np.testing.assert_array_equal(layer(np.float32([[1, 1.001]])).numpy(), [[0, 6]])


def test_biases_make_codes_as_likely_as_they_should_be():
    shares = np.array([0.05, 0.1, 0.15, 0.3, 0.4])
    layer, noise = layers.DiscreteCode(5), tf.random.stateless_normal([40_000, 5], [0, 1])
    layer.build(noise.shape)
    layer.bias.assign(biases_of(shares))
    found = np.bincount(layer.codes_of(noise), minlength=5) / len(noise)
    np.testing.assert_allclose(found, shares, atol=0.01)
    np.testing.assert_array_equal(layer(noise).numpy().argmax(1), layer.codes_of(noise))
    assert abs(biases_of(np.full(64, 1 / 64))).max() < 1e-3
    assert np.isfinite(biases_of(np.array([0.0, 0.5, 0.5]))).all()
