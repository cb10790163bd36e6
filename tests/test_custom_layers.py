"""Layers of our own compute what Keras' do, forwards and backwards, twice."""

import layers
import keras
import numpy as np
import pytest
import tensorflow as tf

import models


def slopes(layer, inputs, upstream):
    """Its outputs, their gradients by inputs and kernel, and the first's by kernel and upstream."""
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


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_a_convolution_of_one_channel_is_keras_own(size):
    keras.utils.set_random_seed(size)
    kinds = layers.Conv2D, keras.layers.Conv2D
    ours, theirs = (kind(3, size, 2, "same") for kind in kinds)
    inputs, upstream = tf.random.normal([2, 8, 8, 1]), tf.random.normal([2, 4, 4, 3])
    for layer in (ours, theirs):
        layer.build(inputs.shape)
        layer.bias.assign(np.arange(3) + 0.5)
    ours.kernel.assign(theirs.kernel)
    for found, expected in zip(*(slopes(layer, inputs, upstream) for layer in (ours, theirs))):
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_batch_normalisation_is_keras_own(digits):
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
    masks = []
    for step in (0, 0, 1):
        layer.key = models.key(models.DROPOUT, 3, step)
        masks.append(layer(ones, training=True).numpy())
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[0] != masks[2]).any()
    assert set(np.unique(masks[0])) == {np.float32(0), np.float32(4 / 3)}
    assert np.mean(masks[0] == 0) == pytest.approx(0.25, abs=0.01)
    np.testing.assert_array_equal(layer(ones, training=False), ones)
