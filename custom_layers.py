"""Layers that Keras does not have, or has slower: the same formulas in fewer milliseconds."""

import math

import tensorflow as tf
from keras import layers


class OneChannelConv2D(layers.Conv2D):
    """Conv2D of one channel with stride 2, "same", and a kernel of 2x2 to 6x6."""

    def convolution_op(self, inputs, kernel):
        return downsample(inputs, tf.convert_to_tensor(kernel))


@tf.custom_gradient
def downsample(x, kernel):
    """Convolution (n, 2h, 2w, 1) to (n, h, w, c) by kernel (k, k, 1, c), k from 2 to 6, stride 2.

    TensorFlow's own, but its gradient is `upsample`.
    """

    def gradients(upstream):
        return upsample(upstream, kernel), kernel_gradient(x, upstream, kernel)

    return tf.nn.conv2d(x, kernel, 2, "SAME"), gradients


@tf.custom_gradient
def upsample(x, kernel):
    """Transposed convolution (n, h, w, c) to (n, 2h, 2w, 1), the reverse of `downsample`.

    Each of the four phases of the result is a 3x3 convolution of x (Shi et al. 2016). TensorFlow's
    own takes 2 to 3 times as long on a CPU when the result has one channel.
    """

    def gradients(upstream):
        return downsample(upstream, kernel), kernel_gradient(upstream, x, kernel)

    size, channels = kernel.shape[0], kernel.shape[-1]
    before = 2 - (size - 2) // 2
    padding = [before, 6 - size - before]
    kernel_6 = tf.pad(kernel[:, :, 0], [padding, padding, [0, 0]])
    # Pixel 2i + a takes from x[i + d] what entry a + 2 - 2d of the 6x6 kernel says, d = -1, 0, 1.
    phases = tf.reverse(tf.reshape(kernel_6, [3, 2, 3, 2, channels]), [0, 2])
    phases = tf.reshape(tf.transpose(phases, [0, 2, 4, 1, 3]), [3, 3, channels, 4])
    return tf.nn.depth_to_space(tf.nn.conv2d(x, phases, 1, "SAME"), 2), gradients


def kernel_gradient(large, small, kernel):
    """Gradient of the kernel that leads from (n, 2h, 2w, 1) to (n, h, w, c), or back."""
    return tf.raw_ops.Conv2DBackpropFilter(
        input=large,
        filter_sizes=kernel.shape,
        out_backprop=small,
        strides=[1, 2, 2, 1],
        padding="SAME",
    )


class FusedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation (Ioffe & Szegedy 2015) over all but the last axis of (batch, h, w, c).

    On one replica it is TensorFlow's fused operation, which Keras 3 does not use; several
    replicas share their statistics. The moving variance starts at 0, because from 1 it would take
    a hundred steps down to that of small activations, and until then all digits would be grey.
    """

    def __init__(self, momentum=0.9, **kwargs):
        kwargs |= {"synchronized": True, "moving_variance_initializer": "zeros"}
        super().__init__(momentum=momentum, **kwargs)

    def call(self, inputs, training=False):
        if training and tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return super().call(inputs, training=True)
        mean, variance = self.moving_mean.value, self.moving_variance.value
        outputs, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(
            inputs,
            self.gamma.value,
            self.beta.value,
            None if training else mean,
            None if training else variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            n = math.prod(inputs.shape[:-1])
            batch_variance *= (n - 1) / n  # the operation returns the unbiased estimate
            self.moving_mean.assign(mean + (batch_mean - mean) * (1 - self.momentum))
            self.moving_variance.assign(
                variance + (batch_variance - variance) * (1 - self.momentum)
            )
        return outputs


class KeyedDropout(layers.Layer):
    """Dropout (Srivastava et al. 2014) whose mask is a function of `key`, int64 (2,).

    It takes a batch of as many real digits as fake ones; a replica uses its share of the mask of
    the whole batch. The rate is rounded to 1/256: one random byte decides one unit.
    """

    key = None  # set before each call in training

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.dropped = round(rate * 256)

    def call(self, inputs, training=False):
        if not training or not self.dropped:
            return inputs
        replica = tf.distribute.get_replica_context()
        number, replicas = replica.replica_id_in_sync_group, replica.num_replicas_in_sync
        shape = [2, replicas, inputs.shape[0] // 2, *inputs.shape[1:]]
        words = tf.random.stateless_uniform(
            [-(-math.prod(shape) // 4)], self.key, None, None, tf.int32, alg="philox"
        )
        random_bytes = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[: math.prod(shape)]
        mine = tf.reshape(tf.reshape(random_bytes, shape)[:, number], inputs.shape)
        kept = tf.cast(mine >= self.dropped, inputs.dtype)
        return inputs * kept * (256 / (256 - self.dropped))
