"""Two logical CPUs train the same steps as one: run by a test, in a process of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import dcgan
import numpy as np
import tensorflow as tf

import data
from config import TrainSettings

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
digits = np.random.default_rng(0).integers(0, 256, (64, 28, 28), np.uint8)
settings = TrainSettings(batch_size=16, noise_dim=6, dropout=0.25)
order = data.epoch_order(64, 16, seed=0, epoch=0)

one = dcgan.DCGAN(settings, digits)
two = dcgan.DCGAN(settings, digits, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
for gan in (one, two):
    gan.train_steps(order, np.array(3, np.int32))

# Each replica takes its rows of the same batch and the same noise.
for whole in (order[2], dcgan.noise(dcgan.TRAINING, 0, 2, [16, 6]).numpy()):
    parts = two.strategy.run(dcgan.share, (tf.constant(whole),)).values
    assert len(parts) == 2
    np.testing.assert_array_equal(np.concatenate(parts), whole)

np.testing.assert_allclose(one.sums, two.sums, rtol=1e-4)
drawn = [data.to_pixels(next(gan.draw(100, 0))).astype(int) for gan in (one, two)]
assert np.abs(drawn[0] - drawn[1]).mean() < 0.1
moments = "discriminator_optimizer/adam/discriminator_verdict_kernel_momentum"
np.testing.assert_allclose(one.state()[moments], two.state()[moments], rtol=0.01, atol=1e-5)
