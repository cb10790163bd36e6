"""The losses on logits, the generator's gradient from the discriminator's, the R1 penalty."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from models import build_discriminator, without_sigmoid
from sampling.randomness import DROPOUT, random_key
from training.losses import (
    check_images_stay_apart,
    discriminator_loss,
    generator_gradient,
    generator_loss,
    r1_penalty,
)

REAL_LOGITS = tf.constant([[2.0], [-0.3], [0.7], [-4.0]])
FAKE_LOGITS = tf.constant([[-1.0], [0.4], [3.0], [-9.0]])


def logit(probability):
    """The logit of a probability, float32 (1, 1)."""
    return tf.constant([[math.log(probability / (1 - probability))]])


def test_losses_of_an_undecided_discriminator():
    undecided = tf.zeros([8, 1])
    assert float(generator_loss(undecided)) == pytest.approx(math.log(2), abs=1e-6)
    assert float(discriminator_loss(undecided, undecided)) == pytest.approx(2 * math.log(2))


def test_losses_know_which_logits_are_of_real_images():
    expected = -math.log(0.9) - math.log(0.8)
    assert float(discriminator_loss(logit(0.9), logit(0.2))) == pytest.approx(expected, abs=1e-5)
    assert float(generator_loss(logit(0.2))) == pytest.approx(-math.log(0.2), abs=1e-5)


def test_losses_are_keras_binary_cross_entropy():
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    real, fake = tf.ones([4, 1]), tf.zeros([4, 1])
    expected = cross_entropy(real, REAL_LOGITS) + cross_entropy(fake, FAKE_LOGITS)
    np.testing.assert_allclose(discriminator_loss(REAL_LOGITS, FAKE_LOGITS), expected, rtol=1e-6)
    expected = cross_entropy(real, FAKE_LOGITS)
    np.testing.assert_allclose(generator_loss(FAKE_LOGITS), expected, rtol=1e-6)


def test_a_hopeless_logit_keeps_its_loss_and_gradient():
    logits = tf.constant([[-60.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = generator_loss(logits)
    assert float(loss) == pytest.approx(60.0)
    assert float(tape.gradient(loss, logits)[0, 0]) == pytest.approx(-1.0)


@pytest.mark.parametrize("shift", [-50.0, -20.0, 0.0, 10.0])
def test_the_generator_gradient_is_that_of_its_own_loss_through_the_discriminator(shift):
    """One backward pass through a discriminator serves both players, wherever its logits are."""
    keras.utils.set_random_seed(0)
    logits_of = without_sigmoid(build_discriminator(dropout=0.0))
    logits_of.get_layer("logits").bias.assign([shift])
    real, fake = (tf.random.normal([6, 28, 28, 1]) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch(fake)
        own_loss = generator_loss(logits_of(fake))
    expected = tape.gradient(own_loss, fake)
    with tf.GradientTape() as tape:
        tape.watch(fake)
        real_logits, fake_logits = tf.split(logits_of(tf.concat([real, fake], 0)), 2)
        loss = discriminator_loss(real_logits, fake_logits)
    found = generator_gradient(tape.gradient(loss, fake), fake_logits)
    assert np.ptp(fake_logits) > 0.1  # the factor differs from image to image
    tolerance = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=tolerance)


def test_the_generator_gradient_does_not_overflow():
    gradient, logits = tf.fill([1, 28, 28, 1], 1e-30), tf.constant([[-200.0]])
    assert np.isfinite(generator_gradient(gradient, logits)).all()


def of_layers(*layers):
    """A network from images to logits (batch, 1) with these layers before its last."""
    last = [keras.layers.Flatten(), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((28, 28, 1)), *layers, *last])


class MinibatchStatistics(keras.layers.Layer):
    """Adds the standard deviation over the batch as a channel (Karras et al. 2018)."""

    def call(self, inputs):
        deviation = tf.reduce_mean(tf.math.reduce_std(inputs, 0))
        return tf.concat([inputs, tf.ones_like(inputs) * deviation], -1)


IMAGES = tf.random.stateless_uniform([4, 28, 28, 1], [0, 0], -1, 1)


@pytest.mark.parametrize(
    "layer", [keras.layers.BatchNormalization(), MinibatchStatistics()], ids=lambda x: x.name
)
def test_a_discriminator_that_mixes_images_is_refused(layer):
    network = of_layers(layer)
    with pytest.raises(ValueError, match="depends on the rest of the batch"):
        check_images_stay_apart(lambda x: network(x, training=True), IMAGES)


def test_a_discriminator_that_judges_each_image_by_itself_is_accepted():
    network = without_sigmoid(build_discriminator())
    network.get_layer("dropout").key = random_key(DROPOUT, 0, 0)
    check_images_stay_apart(lambda x: network(x, training=True), IMAGES)


def test_the_penalty_is_that_of_a_known_slope():
    """The logit w x has the slope w everywhere, so the penalty is |w|^2 / 2, its gradient w."""
    plane = of_layers()
    weights, bias = plane.trainable_variables
    with tf.GradientTape() as tape:
        penalty = r1_penalty(plane, IMAGES)
    slope, of_bias = tape.gradient(penalty, [weights, bias])
    assert float(penalty) == pytest.approx(float(tf.reduce_sum(weights**2)) / 2, rel=1e-4)
    np.testing.assert_allclose(slope, weights, rtol=1e-3, atol=1e-6)
    assert of_bias is None
