"""Layers of our own compute what Keras' do, forwards and backwards, twice."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import custom_layers
import models


def slopes(layer, inputs, upstream):
    """Its outputs, their gradients by kernel and inputs, and those gradients' by the kernel."""
    with tf.GradientTape() as outer:
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
    )


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("name", ["OneChannelConv2D", "OneChannelConv2DTranspose"])
def test_layers_of_one_channel_are_keras_own(name, size):
    keras.utils.set_random_seed(size)
    theirs = {
        "OneChannelConv2D": keras.layers.Conv2D,
        "OneChannelConv2DTranspose": keras.layers.Conv2DTranspose,
    }[name]
    filters, channels, side, side_after = (
        (3, 1, 8, 4) if name == "OneChannelConv2D" else (1, 3, 4, 8)
    )
    layers = [each(filters, size, 2, "same") for each in (getattr(custom_layers, name), theirs)]
    inputs = tf.random.normal([2, side, side, channels])
    upstream = tf.random.normal([2, side_after, side_after, filters])
    for layer in layers:
        layer.build(inputs.shape)
        layer.bias.assign(np.arange(filters) + 0.5)
    layers[0].kernel.assign(layers[1].kernel)
    for ours, expected in zip(*(slopes(layer, inputs, upstream) for layer in layers)):
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_batch_normalisation_is_keras_own(digits):
    inputs = np.random.default_rng(0).normal(2, 3, (8, 5, 5, 4)).astype(np.float32)
    ours = custom_layers.FusedBatchNormalization()
    theirs = keras.layers.BatchNormalization(momentum=0.9)
    for training in (True, False):
        np.testing.assert_allclose(
            ours(inputs, training=training), theirs(inputs, training=training), atol=1e-5
        )
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-5)


def test_dropout_is_a_function_of_its_key():
    layer = custom_layers.KeyedDropout(0.25)
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
