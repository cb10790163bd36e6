"""MNIST, pixels and batches."""

import numpy as np

import data
from config import MNIST


def test_the_bundled_images_are_the_training_set():
    images = data.load_images(MNIST)
    assert images.shape == (60000, 28, 28) and images.dtype == np.uint8
    expected = "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757"
    assert data.digest(images) == expected


def test_pixels_survive_the_round_trip():
    pixels = np.arange(256, dtype=np.uint8)
    values = data.to_model_range(pixels.astype(np.float32))
    assert values.min() == -1 and values.max() == 1
    np.testing.assert_array_equal(data.to_pixels(values), pixels)
    np.testing.assert_array_equal(data.to_pixels([-1.5, 1.5]), [0, 255])


def test_an_epoch_takes_each_image_at_most_once_in_its_own_order():
    order = data.epoch_order(103, 10, seed=3, epoch=5)
    assert order.shape == (10, 10) and order.dtype == np.int32
    assert len(set(order.ravel())) == 100 and order.min() >= 0 and order.max() < 103
    np.testing.assert_array_equal(order, data.epoch_order(103, 10, seed=3, epoch=5))
    for seed, epoch in ((3, 6), (4, 5)):
        assert (order != data.epoch_order(103, 10, seed, epoch)).any()
