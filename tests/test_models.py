"""The networks keep the outlines that the README promises."""

import keras
import numpy as np
import tensorflow as tf

import models


def test_the_generator_draws_28x28_in_range():
    generator = models.build_generator()
    assert generator.input_shape == (None, 200)
    generator.set_weights([100 * weight for weight in generator.get_weights()])
    images = generator(tf.random.normal([5, 200])).numpy()
    assert images.shape == (5, 28, 28, 1) and images.dtype == np.float32
    assert -1 <= images.min() < -0.5 and 0.5 < images.max() <= 1


def test_the_generator_has_the_promised_outline():
    generator = models.build_generator()
    shapes = [tuple(layer.output.shape[1:]) for layer in generator.layers[1:]]
    assert shapes[:3] == [(200,), (12544,), (7, 7, 256)]
    assert shapes[-1] == (28, 28, 1)
    transposed = [layer for layer in generator.layers if "Transpose" in type(layer).__name__]
    assert [layer.strides for layer in transposed].count((2, 2)) == 2
    for layer in transposed:  # else pixels get unequal shares: a checkerboard
        assert all(k % s == 0 for k, s in zip(layer.kernel_size, layer.strides))


def test_a_generator_without_codes_is_the_plain_one_to_the_bit():
    keras.utils.set_random_seed(0)
    generator = models.build_generator(num_codes=0)
    keras.utils.set_random_seed(0)
    codes = models.build_generator()
    plain = keras.Model(codes.get_layer("code").output, codes.outputs)
    z = tf.random.normal([5, 200])
    np.testing.assert_array_equal(generator(z), plain(z))
    keras.utils.set_random_seed(0)
    assert np.abs(generator(z) - models.build_generator(num_codes=32)(z)).max() > 0


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


def test_the_classifier_gives_probabilities_and_has_features():
    classifier = models.build_classifier()
    probabilities = classifier(tf.random.normal([3, 28, 28, 1]))
    assert probabilities.shape == (3, 10)
    np.testing.assert_allclose(tf.reduce_sum(probabilities, 1), 1, rtol=1e-5)
    assert classifier.get_layer("features").output.shape == (None, 64)
