"""The losses on logits, the generator's gradient from the discriminator's, the R1 penalty."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cli import UserError
from models import build_discriminator
from storage.runs import FORMERLY
from training import losses

REAL_LOGITS = tf.constant([[2.0], [-0.3], [0.7], [-4.0]])
FAKE_LOGITS = tf.constant([[-1.0], [0.4], [3.0], [-9.0]])
IMAGES = tf.random.stateless_uniform([4, 28, 28, 1], [0, 0], -1, 1)

# A loss of each network, as somebody might put in the place of ours.
RELATIVISTIC = (
    lambda fake: tf.reduce_mean(tf.nn.softplus(-3 * fake)),
    lambda real, fake: tf.reduce_mean(tf.nn.softplus(fake - tf.reduce_mean(real))),
)
HINGE = (
    lambda fake: -tf.reduce_mean(fake),
    lambda real, fake: tf.reduce_mean(tf.nn.relu(1 - real)) + tf.reduce_mean(tf.nn.relu(1 + fake)),
)


def replace_losses(monkeypatch, pair):
    """Put other losses in the place of ours."""
    for name, loss in zip(("generator_loss", "discriminator_loss"), pair):
        monkeypatch.setattr(losses, name, loss)


def test_losses_are_keras_binary_cross_entropy():
    cross_entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    real, fake = tf.ones([4, 1]), tf.zeros([4, 1])
    expected = cross_entropy(real, REAL_LOGITS) + cross_entropy(fake, FAKE_LOGITS)
    found = losses.discriminator_loss(REAL_LOGITS, FAKE_LOGITS)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    expected = cross_entropy(real, FAKE_LOGITS)
    np.testing.assert_allclose(losses.generator_loss(FAKE_LOGITS), expected, rtol=1e-6)
    assert losses.describe_losses() == FORMERLY["losses"]  # as older runs had them


@pytest.mark.parametrize(
    ("shift", "pair", "compiled", "num_codes"),
    [
        (-70.0, None, False, 0),  # where a logit is hopeless the gradient is as large as ever
        (-20.0, None, True, 0),
        (10.0, None, False, 0),
        (0.0, None, False, 3),
        (0.0, RELATIVISTIC, False, 0),
    ],
)
def test_the_generator_gradient_is_that_of_its_own_loss(
    shift, pair, compiled, num_codes, monkeypatch
):
    """One backward pass serves both networks, wherever the logits are and whatever the losses."""
    if pair:
        replace_losses(monkeypatch, pair)
    losses.check_losses()
    keras.utils.set_random_seed(0)
    network = build_discriminator(num_codes=num_codes, ink_channel=bool(num_codes))
    codes = [tf.range(12, dtype=tf.int64) % num_codes] if num_codes else []
    if num_codes:
        network.get_layer("code_logits").kernel.assign(tf.random.normal([num_codes, 2400]) / 100)
    network.get_layer("logits").bias.assign([shift])
    real, fake = (tf.random.normal([6, 28, 28, 1]) for _ in range(2))

    @tf.function(jit_compile=compiled)
    def gradients():
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(fake)
            _, logits = network([tf.concat([real, fake], 0), None, *codes])
            real_logits, fake_logits = tf.split(logits, 2)
            own_loss = losses.generator_loss(fake_logits)
            loss = losses.discriminator_loss(real_logits, fake_logits)
        found = losses.generator_gradient(tape.gradient(loss, fake), real_logits, fake_logits)
        return found, tape.gradient(own_loss, fake), fake_logits

    found, expected, fake_logits = gradients()
    assert np.ptp(fake_logits) > 0.1  # the factor differs from image to image
    tolerance = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=tolerance)


def test_losses_whose_gradient_cannot_serve_both_networks_are_refused(monkeypatch):
    replace_losses(monkeypatch, HINGE)
    with pytest.raises(UserError, match="discriminator_loss must increase"):
        losses.check_losses()


def of_layers(*layers):
    """A network from images to logits (batch, 1) with these layers before its last."""
    last = [keras.layers.Flatten(), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((28, 28, 1)), *layers, *last])


class Residual(keras.layers.Layer):
    """Adds batch normalisation whose scale starts at 0, so that at first it adds nothing."""

    def build(self, input_shape):
        self.normalisation = keras.layers.BatchNormalization(gamma_initializer="zeros")
        self.normalisation.build(input_shape)

    def call(self, inputs, training=False):
        return inputs + self.normalisation(inputs, training=training)


def check_apart(network):
    losses.check_images_stay_apart(lambda x: network(x, training=True), network.weights, IMAGES)


@pytest.mark.parametrize("make_layer", [keras.layers.BatchNormalization, Residual])
def test_a_discriminator_that_mixes_images_is_refused(make_layer):
    with pytest.raises(ValueError, match="depends on the rest of the batch"):
        check_apart(of_layers(make_layer()))


def test_the_penalty_is_that_of_a_known_slope():
    """The logit w x has the slope w everywhere, so the penalty is |w|^2 / 2, its gradient w."""
    plane = of_layers()
    weights, bias = plane.trainable_variables
    with tf.GradientTape() as tape:
        penalty = losses.r1_penalty(plane, IMAGES)
    slope, of_bias = tape.gradient(penalty, [weights, bias])
    assert float(penalty) == pytest.approx(float(tf.reduce_sum(weights**2)) / 2, rel=1e-4)
    np.testing.assert_allclose(slope, weights, rtol=1e-3, atol=1e-6)
    assert of_bias is None
