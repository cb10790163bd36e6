"""Properties of the networks that no other file tests."""

import keras
import numpy as np
import tensorflow as tf

import models


def test_transposed_convolutions_give_all_pixels_equal_shares():
    """Kernels that their strides do not divide draw checkerboards."""
    network = models.build_generator()
    transposed = [each for each in network.layers if "Transpose" in type(each).__name__]
    for layer in transposed:
        assert all(k % s == 0 for k, s in zip(layer.kernel_size, layer.strides))
    assert len(transposed) == 3


def test_a_generator_without_codes_is_the_plain_one_to_the_bit():
    keras.utils.set_random_seed(0)
    generator = models.build_generator(num_codes=0)
    keras.utils.set_random_seed(0)
    codes = models.build_generator()
    plain = keras.Model(codes.get_layer("code").output, codes.outputs)
    z = tf.random.normal([5, 200])
    np.testing.assert_array_equal(generator(z), plain(z))


def test_the_discriminator_gives_probabilities_and_their_logits():
    discriminator = models.build_discriminator()
    images = tf.random.normal([6, 28, 28, 1])
    codes = tf.range(6, dtype=tf.int64)
    probabilities, logits = discriminator([images, None, codes], training=False)
    assert probabilities.shape == logits.shape == (6, 1) and np.ptp(logits) > 0.1
    np.testing.assert_allclose(probabilities, tf.sigmoid(logits), rtol=1e-6)
    dropped = discriminator([images, tf.constant([0, 1], tf.int64), codes], training=True)[1]
    assert np.abs(dropped - logits).max() > 0.01
    for kind in (keras.layers.Conv2D, keras.layers.LeakyReLU):
        assert sum(isinstance(layer, kind) for layer in discriminator.layers) == 2
