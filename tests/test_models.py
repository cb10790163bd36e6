"""What the tests of other files do not see of the networks."""

import keras
import numpy as np
import tensorflow as tf

import models


def test_the_discriminator_gives_probabilities_and_their_logits():
    discriminator = models.build_discriminator()
    images = tf.random.normal([6, 28, 28, 1])
    probabilities, logits = discriminator([images, None], training=False)
    assert probabilities.shape == logits.shape == (6, 1) and np.ptp(logits) > 0.1
    np.testing.assert_allclose(probabilities, tf.sigmoid(logits), rtol=1e-6)
    dropped = discriminator([images, tf.constant([0, 1], tf.int64)], training=True)[1]
    assert np.abs(dropped - logits).max() > 0.01
    for kind in (keras.layers.Conv2D, keras.layers.LeakyReLU):
        assert sum(isinstance(layer, kind) for layer in discriminator.layers) == 2
