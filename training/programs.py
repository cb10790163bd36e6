"""Many steps in one call: in TensorFlow's graph, or as programs of XLA, which a GPU runs faster."""

import functools

import numpy as np
import tensorflow as tf

from sampling.randomness import TRAINING, box_muller_noise, normal_noise
from training.distributed import can_leave_xla
from training.losses import R1_INTERVAL
from training.progress import METRICS


class Programs:
    """Runs the steps of `trainer`, a step.Trainer; `compiled`: with XLA, on one device."""

    def __init__(self, trainer, compiled):
        self.trainer, self.compiled, self.has_compiled = trainer, compiled, False

    def take_steps(self, order, count):
        """The METRICS of `count` steps, float32 (count, 4), with batches from `order`."""
        if self.compiled:
            try:
                return self.run_compiled(order, count)
            except tf.errors.OpError as error:  # the compiler's, if it is the first program
                if self.has_compiled or not can_leave_xla(self.trainer.settings, error):
                    raise
                self.compiled = False
        return self.steps_without_xla(order, np.array(count, np.int32)).numpy()

    def run_compiled(self, order, count):
        """take_steps with XLA: one step at a time, or all those between two penalties at once."""
        metrics, dataset, order = [], self.dataset_on_device, tf.constant(order, tf.int64)
        step = self.trainer.steps_done
        last = step + count
        while step < last:
            since_penalty = step % R1_INTERVAL
            all_fit = since_penalty == 1 and step + R1_INTERVAL - 1 <= last
            taken = R1_INTERVAL - 1 if all_fit else 1
            first = tf.constant(step, tf.int64)
            metrics.append(self.steps_with_xla(dataset, order, first, since_penalty == 0, taken))
            self.has_compiled = True
            step += taken
            with tf.device("CPU:0"):
                self.trainer.step.assign(step)
        return tf.concat(metrics, 0).numpy()

    @functools.cached_property
    def dataset_on_device(self):
        """The images and their clusters where XLA's programs read them, copied once."""
        return tf.identity(self.trainer.images), tf.identity(self.trainer.clusters)

    @tf.function
    def steps_without_xla(self, order, count):
        """`count` steps, operation by operation; the host gathers the batches."""
        trainer = self.trainer
        metrics = tf.TensorArray(tf.float32, count, element_shape=[len(METRICS)])
        for i in tf.range(count):
            with tf.device("CPU:0"):  # so that choosing the penalty does not wait for a GPU
                step = trainer.step.value()
                has_penalty = step % R1_INTERVAL == 0
                rows = order[step % tf.shape(order, tf.int64)[0]]
                batch = [tf.gather(each, rows) for each in (trainer.images, trainer.clusters)]
            shape = [order.shape[1], trainer.noise_dim]
            z = normal_noise(TRAINING, trainer.settings.seed, step, shape)
            metrics = metrics.write(i, trainer.take_step(batch, z, step, has_penalty))
            trainer.step.assign_add(1)
        return metrics.stack()

    @tf.function(jit_compile=True)
    def steps_with_xla(self, dataset, order, first, has_penalty, count):
        """`count` steps from step `first`, all with or all without a penalty, as one program.

        It never waits for the host: its loop has a fixed length, and it has no branches.
        """
        trainer = self.trainer
        metrics = tf.TensorArray(tf.float32, count, element_shape=[len(METRICS)])
        for i in tf.range(count):
            step = first + tf.cast(i, tf.int64)
            rows = tf.gather(order, step % order.shape[0])
            batch = [tf.gather(each, rows) for each in dataset]
            shape = [order.shape[1], trainer.noise_dim]
            z = box_muller_noise(TRAINING, trainer.settings.seed, step, shape)
            metrics = metrics.write(i, trainer.take_step(batch, z, step, has_penalty))
        return metrics.stack()
