"""Layers that Keras lacks or computes more slowly."""

import math

import keras
import tensorflow as tf

FEW_CHANNELS = 2  # the most that `downsample_few_channels` pays for


class LearningRateMultiplier:
    """Mixin for layers whose weights learn `lr_multiplier` times as fast.

    The weights are stored `lr_multiplier` times smaller and multiplied by it where they are used
    (`lr_multiplier` in Karras et al. 2019). Adam moves each stored weight by about its learning
    rate, whatever the size of the gradient, so the weights in use move that many times as far.
    The bias has the kernel's multiplier unless `bias_lr_multiplier` gives another one. First
    weights, as used, are normal with standard deviation `stddev`, or that of He et al. 2015.
    """

    def __init__(self, *args, stddev=None, lr_multiplier=1, bias_lr_multiplier=None, **kwargs):
        initializers = keras.initializers
        normal = initializers.RandomNormal(stddev=stddev) if stddev else initializers.HeNormal()

        def initializer(shape, dtype):
            return normal(shape, dtype) / lr_multiplier

        super().__init__(*args, kernel_initializer=initializer, **kwargs)
        self.lr_multiplier = lr_multiplier
        self.bias_lr_multiplier = bias_lr_multiplier or lr_multiplier

    def finish(self, outputs):
        """Add the bias, if there is one, and apply the activation function."""
        if self.use_bias:
            outputs += self.bias * self.bias_lr_multiplier
        return self.activation(outputs)


class Dense(LearningRateMultiplier, keras.layers.Dense):
    """Fully connected layer, (batch, inputs) to (batch, units)."""

    def call(self, inputs, training=False):
        return self.finish(tf.matmul(inputs, self.kernel * self.lr_multiplier))


class DiscreteCode(keras.layers.Layer):
    """Replaces the first `num_codes` numbers of normal noise (batch, dim) by a one-hot code.

    The code is `scale` at the position of the largest of them and 0 elsewhere; the other numbers
    pass unchanged. A continuous generator maps connected noise to connected images, so that some
    of its samples must lie between two digits (Khayatkhoei et al. 2018; Tanielian et al. 2020). A
    code lets it jump: the dense layer that follows learns a template for each code. All codes are
    equally likely, unless `bias` (num_codes,), which is added to the numbers before they are
    compared, says otherwise. Raises ValueError when there are more codes than numbers.
    """

    def __init__(self, num_codes, scale=6.0, **kwargs):
        super().__init__(dtype="float32", **kwargs)  # rounded noise may have another largest number
        self.num_codes, self.scale = num_codes, scale

    def build(self, input_shape):
        if self.num_codes > input_shape[1]:
            raise ValueError(f"{self.num_codes} codes need more than {input_shape[1]} numbers")
        if self.num_codes:
            self.bias = self.add_weight((self.num_codes,), "zeros", trainable=False, name="bias")

    def codes_of(self, noise):
        """The codes of noise (batch, dim), int64 (batch,); 0 without codes."""
        if not self.num_codes:
            return tf.zeros(tf.shape(noise)[:1], tf.int64)
        return tf.argmax(noise[:, : self.num_codes] + self.bias, 1)

    def call(self, inputs):
        if not self.num_codes:
            return inputs
        one_hot = tf.one_hot(self.codes_of(inputs), self.num_codes, self.scale, dtype=inputs.dtype)
        return tf.concat([one_hot, inputs[:, self.num_codes :]], 1)


class InkChannel(keras.layers.Layer):
    """Adds a channel of pale ink to images (batch, h, w, 1) in [-1, 1]: (batch, h, w, 2).

    Its value, from 0 to 1, is 16 x^2 (1 - m)^2, where x is a pixel's ink, from 0 to 1, and m the
    largest x in its 3x3 neighbourhood. Dirt and strokes without a dark core have high values, real
    digits values near 0. The channel's slope is small there too, so the gradient penalty at real
    images hardly affects it.
    """

    def call(self, inputs):
        ink = (inputs + 1) / 2
        largest = tf.nn.max_pool2d(ink, 3, 1, "SAME")
        return tf.concat([inputs, 16 * tf.square(ink * (1 - largest))], -1)


class CodeLogit(keras.layers.Layer):
    """The product of features (batch, dim) with a learned vector for each code: (batch, 1).

    Added to the logit, it asks whether an image looks like its code, int (batch,), and not only
    whether it is real (projection discriminator, Miyato & Koyama 2018).
    """

    def __init__(self, num_codes, lr_multiplier=1, **kwargs):
        super().__init__(**kwargs)
        self.num_codes, self.lr_multiplier = num_codes, lr_multiplier

    def build(self, features_shape, codes_shape):
        shape = (self.num_codes, features_shape[1])
        self.kernel = self.add_weight(shape=shape, initializer="zeros", name="kernel")

    def call(self, features, codes):
        logits = tf.matmul(features, self.kernel * self.lr_multiplier, transpose_b=True)
        chosen = logits * tf.one_hot(codes, self.num_codes)  # (batch, num_codes)
        return tf.reduce_sum(chosen, 1, keepdims=True)


class Conv2D(LearningRateMultiplier, keras.layers.Conv2D):
    """Convolution of (batch, height, width, channels), with padding "same"."""

    def __init__(self, filters, kernel_size, strides, **kwargs):
        super().__init__(filters, kernel_size, strides, "same", **kwargs)

    def call(self, inputs):
        kernel = self.kernel * self.lr_multiplier
        height, width, channels = inputs.shape[1:]
        is_even = height % 2 == width % 2 == 0
        fits = is_even and self.kernel_size == (5, 5) and self.strides == (2, 2)
        if channels <= FEW_CHANNELS and fits:
            return self.finish(downsample_few_channels(inputs, kernel))
        return self.finish(self.convolution_op(inputs, kernel))


class Conv2DTranspose(LearningRateMultiplier, keras.layers.Conv2DTranspose):
    """Transposed convolution of (batch, height, width, channels), with padding "same"."""

    def __init__(self, filters, kernel_size, strides, **kwargs):
        super().__init__(filters, kernel_size, strides, "same", **kwargs)

    def call(self, inputs):
        kernel = self.kernel * self.lr_multiplier
        return self.finish(
            keras.ops.conv_transpose(inputs, kernel, list(self.strides), self.padding)
        )


@tf.custom_gradient
def downsample_few_channels(x, kernel):
    """Convolution (n, 2h, 2w, b) to (n, h, w, c) by kernel (5, 5, b, c), stride 2.

    TensorFlow's own, but its gradient is `upsample_few_channels`.
    """

    def gradients(upstream):
        return upsample_few_channels(upstream, kernel), kernel_gradient(x, upstream, kernel)

    return tf.nn.conv2d(x, kernel, 2, "SAME"), gradients


@tf.custom_gradient
def upsample_few_channels(x, kernel):
    """Transposed convolution (n, h, w, c) to (n, 2h, 2w, b), the adjoint of the above.

    Each of the four phases of the result is a 3x3 convolution of x (Shi et al. 2016). TensorFlow's
    own takes 2 to 3 times as long on a CPU when the result has one or two channels.
    """

    def gradients(upstream):
        return downsample_few_channels(upstream, kernel), kernel_gradient(upstream, x, kernel)

    _, _, few, channels = kernel.shape
    kernel_6 = tf.pad(kernel, [[1, 0], [1, 0], [0, 0], [0, 0]])
    # Pixel 2i + a takes from x[i + d] what entry a + 2 - 2d of the 6x6 kernel says, d = -1, 0, 1.
    phases = tf.reverse(tf.reshape(kernel_6, [3, 2, 3, 2, few, channels]), [0, 2])
    phases = tf.reshape(tf.transpose(phases, [0, 2, 5, 1, 3, 4]), [3, 3, channels, 4 * few])
    return tf.nn.depth_to_space(tf.nn.conv2d(x, phases, 1, "SAME"), 2), gradients


def kernel_gradient(large, small, kernel):
    """Gradient of the kernel that leads from (n, 2h, 2w, b) to (n, h, w, c), or back."""
    return tf.raw_ops.Conv2DBackpropFilter(
        input=large,
        filter_sizes=kernel.shape,
        out_backprop=small,
        strides=[1, 2, 2, 1],
        padding="SAME",
    )


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation (Ioffe & Szegedy 2015) over all but the last axis of (batch, h, w, c).

    On one replica it is TensorFlow's fused operation, which Keras 3 does not use; several
    replicas share their statistics. The moving variance starts at 0, because from 1 it would take
    a hundred steps down to that of small activations, and until then all samples would be grey.
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


class Dropout(keras.layers.Layer):
    """Dropout (Srivastava et al. 2014) whose mask is a function of `key`, int64 (2,).

    The mask of Keras' own depends on how many replicas share the batch. Here the batch is n real
    images, then n fake ones, and each replica uses its rows of the whole batch's mask. The rate is
    rounded to 1/256: one random byte decides one unit.
    """

    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.dropped = round(rate * 256)

    def call(self, inputs, key=None, training=False):
        if not training or not self.dropped:
            return inputs
        replica = tf.distribute.get_replica_context()
        number, replicas = replica.replica_id_in_sync_group, replica.num_replicas_in_sync
        shape = [2, replicas, inputs.shape[0] // 2, *inputs.shape[1:]]
        words = tf.random.stateless_uniform(
            [-(-math.prod(shape) // 4)], key, None, None, tf.int32, alg="philox"
        )
        random_bytes = tf.reshape(tf.bitcast(words, tf.uint8), [-1])[: math.prod(shape)]
        own_bytes = tf.reshape(tf.reshape(random_bytes, shape)[:, number], inputs.shape)
        kept = tf.cast(own_bytes >= self.dropped, inputs.dtype)
        return inputs * kept * (256 / (256 - self.dropped))
