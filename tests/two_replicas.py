"""Two logical CPUs train the same steps as one: run by a test, in a process of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import tensorflow as tf

import data
from config import TrainSettings
from sampling.randomness import TRAINING, normal_noise
from sampling.sampler import Sampler
from training.distributed import rows_of_replica
from training.step import Trainer

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
digits = np.random.default_rng(0).integers(0, 256, (64, 28, 28), np.uint8)
# Without the ink channel, whose maximum can amplify rounding.
settings = TrainSettings(batch_size=16, noise_dim=6, num_codes=3, dropout=0.25, ink_channel="off")
order = data.epoch_order(64, 16, seed=0, epoch=0)

one = Trainer(settings, digits)
two = Trainer(settings, digits, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
for each in (one, two):
    each.find_clusters()
metrics = [each.take_steps(order, 3) for each in (one, two)]

# Each replica takes its rows of the same batch and the same noise.
for whole in (order[2], normal_noise(TRAINING, 0, 2, [16, 6]).numpy()):
    parts = two.strategy.run(rows_of_replica, (tf.constant(whole),)).values
    assert len(parts) == 2
    np.testing.assert_array_equal(np.concatenate(parts), whole)

np.testing.assert_allclose(*metrics, rtol=1e-4)
samples = [next(Sampler(each.generator_ema).sample(100, 0)).astype(int) for each in (one, two)]
assert np.abs(samples[0] - samples[1]).mean() < 0.1
moments = "discriminator_optimizer/adam/discriminator_logits_kernel_momentum"
np.testing.assert_allclose(one.state()[moments], two.state()[moments], rtol=0.01, atol=1e-5)
