"""The networks and the game they play (Goodfellow et al. 2014; Radford et al. 2016).

Randomness is a function of (seed, purpose, step): nothing here keeps a hidden random state.
"""

import math

import keras
import tensorflow as tf
from keras import layers

from config import UserError

BLOCK = 100  # digits drawn in one call, always: a digit's bits must not depend on its neighbours
TRAINING, DRAWING, DROPOUT = 0, 1, 2  # purposes of random numbers
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # as Keras names them


def use_cpu():
    """Leave the GPUs to others: drawing is quick enough, and the same everywhere, on the CPU."""
    tf.config.set_visible_devices([], "GPU")


def build_generator(noise_dim=200):
    """Noise (batch, noise_dim) to digits (batch, 28, 28, 1) in [-1, 1]."""
    weights = keras.initializers.RandomNormal(stddev=0.02)
    common = dict(padding="same", kernel_initializer=weights)
    return keras.Sequential(
        [
            keras.Input((noise_dim,)),
            layers.Dense(7 * 7 * 256, use_bias=False, kernel_initializer=weights, name="dense"),
            layers.Reshape((7, 7, 256)),  # (batch, 7, 7, 256)
            FusedBatchNormalization(name="dense_normalisation"),
            layers.ReLU(),
            layers.Conv2DTranspose(64, 4, 2, use_bias=False, name="up_14", **common),  # 14, 14, 64
            FusedBatchNormalization(name="up_14_normalisation"),
            layers.ReLU(),
            layers.Conv2DTranspose(
                1, 6, 2, activation="tanh", dtype="float32", name="up_28", **common
            ),  # 28, 28, 1
        ],
        name="generator",
    )


def build_discriminator(dropout=0.1):
    """Digits (batch, 28, 28, 1) in [-1, 1] to the probability (batch, 1) that each is real."""
    common = dict(padding="same", kernel_initializer="he_normal")
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 5, 2, name="down_14", **common),  # (batch, 14, 14, 32)
            layers.LeakyReLU(0.2),
            layers.Conv2D(128, 7, 2, name="down_7", **common),  # (batch, 7, 7, 128)
            layers.LeakyReLU(0.2),
            KeyedDropout(dropout, name="dropout"),
            layers.Flatten(),  # (batch, 6272)
            layers.Dense(1, activation="sigmoid", dtype="float32", name="verdict"),  # (batch, 1)
        ],
        name="discriminator",
    )


class FusedBatchNormalization(layers.BatchNormalization):
    """Batch normalisation (Ioffe & Szegedy 2015) over all but the last axis of (batch, h, w, c).

    On one replica it is TensorFlow's fused operation, which Keras 3 does not use; several
    replicas share their statistics.
    """

    def __init__(self, **kwargs):
        super().__init__(momentum=0.9, synchronized=True, **kwargs)

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


def binary_crossentropy(truth, verdicts):
    """-log of the probability given to the truth, each digit: (batch, 1) twice -> (batch,).

    Inside a tf.function Keras computes it from the sigmoid's logits, so a verdict that rounds to
    0 or 1 keeps its loss and its gradient; `verdicts` must therefore be the sigmoid's own output.
    """
    return keras.losses.binary_crossentropy(truth, verdicts)


def discriminator_loss(verdicts):
    """-log D(x) - log(1 - D(G(z))), averaged; verdicts (2n, 1) on n real, then n fake digits."""
    real, fake = tf.split(tf.ones_like(verdicts), 2)
    return 2 * tf.reduce_mean(binary_crossentropy(tf.concat([real, 0 * fake], 0), verdicts))


def generator_loss(verdicts):
    """-log D(G(z)), averaged: the generator wants the second half of (2n, 1) called real."""
    _, fake_losses = tf.split(binary_crossentropy(tf.ones_like(verdicts), verdicts), 2)
    return tf.reduce_mean(fake_losses)


def noise(purpose, seed, index, shape):
    """Standard normal noise, float32 of the given shape, named by purpose, seed and index."""
    return tf.random.stateless_normal(shape, key(purpose, seed, index), alg="philox")


def key(purpose, seed, index):
    """The int64 (2,) that names one draw of random numbers."""
    return tf.stack([tf.cast(seed, tf.int64) + (purpose << 32), tf.cast(index, tf.int64)])


def build_drawing(generator):
    """A function (num_samples, seed) that yields digits, float32 (at most BLOCK, 28, 28) a time.

    Digit i of a seed is the same picture whatever num_samples is.
    """

    @tf.function
    def draw_block(seed, block):
        z = noise(DRAWING, seed, block, [BLOCK, generator.input_shape[1]])
        return generator(z, training=False)[..., 0]

    def draw(num_samples, seed):
        for first in range(0, num_samples, BLOCK):
            digits = draw_block(tf.constant(seed), tf.constant(first // BLOCK)).numpy()
            yield digits[: num_samples - first]

    return draw


def named_variables(holder):
    """Variables of a network or an optimizer by layer and name, such as dense/kernel."""
    return {"/".join(variable.path.split("/")[-2:]): variable for variable in holder.variables}


def assign_all(variables, arrays, source):
    """Give each named variable its array; raises UserError, naming one, unless all fit."""

    def outline(array):
        """Shape and kind ('f' float, 'i' integer) of an array, of any width."""
        return (*array.shape, array.dtype.kind)

    for name in sorted(variables.keys() | arrays.keys()):
        wanted = outline(variables[name].numpy()) if name in variables else "nothing"
        found = outline(arrays[name]) if name in arrays else "nothing"
        if wanted != found:
            raise UserError(
                f"{source}: does not fit this network: {name} is {found}, wanted is {wanted}; "
                f"another version of the code wrote it (here is Keras {keras.__version__})"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def load_generator(arrays, source):
    """A generator with the weights of a snapshot; raises UserError when they do not fit."""
    kernel = arrays.get("dense/kernel")
    if kernel is None or kernel.ndim != 2:
        raise UserError(f"{source}: is not a generator snapshot (no dense/kernel)")
    generator = build_generator(kernel.shape[0])
    assign_all(named_variables(generator), arrays, source)
    return generator


class DCGAN:
    """A generator and a discriminator in training, and the averaged generator to draw with.

    `settings` is a config.TrainSettings; `images` uint8 (N, 28, 28), kept on each device. The
    replicas of `strategy` share each batch: images, noise, dropout and batch statistics are those
    of the whole batch, so their number changes the run only by rounding. `compiled`: by XLA.
    """

    def __init__(self, settings, images, strategy=None, compiled=False):
        self.settings, self.noise_dim = settings, settings.noise_dim
        self.strategy = strategy or tf.distribute.get_strategy()
        keras.utils.set_random_seed(settings.seed)  # the initial weights; nothing later uses it
        with self.strategy.scope():
            self.images = tf.Variable(images[..., None], trainable=False)
            keras.config.set_dtype_policy(POLICIES[settings.precision])
            self.generator = build_generator(settings.noise_dim)
            self.discriminator = build_discriminator(settings.dropout)
            keras.config.set_dtype_policy("float32")
            self.averaged_generator = build_generator(settings.noise_dim)
            self.averaged_generator.set_weights(self.generator.get_weights())
            self.generator_adam = self.build_adam(self.generator)
            self.discriminator_adam = self.build_adam(self.discriminator)
            self.step = tf.Variable(0, dtype=tf.int64)
            self.sums = tf.Variable(tf.zeros([4]))  # of what a step returns, over this epoch
        self.draw = build_drawing(self.averaged_generator)
        self.replica_step = tf.function(self.train_replica, jit_compile=compiled)

    def build_adam(self, network):
        """Adam (Kingma & Ba 2015) with its moments made, before the first trace needs them."""
        settings = self.settings
        adam = keras.optimizers.Adam(settings.learning_rate, settings.beta_1, name="adam")
        adam.build(network.trainable_variables)
        return adam

    @tf.function
    def train_steps(self, order, count):
        """Take `count` steps; `order`, int32 (steps, batch), says which images each holds."""
        for _ in tf.range(count):
            batch = order[self.step % tf.shape(order, tf.int64)[0]]
            # Drawn out here, because XLA makes other normal numbers from the same key.
            z = noise(TRAINING, self.settings.seed, self.step, [len(batch), self.noise_dim])
            means = self.strategy.run(self.replica_step, (batch, z, self.step.value()))
            self.sums.assign_add(self.strategy.reduce("MEAN", means, axis=None))
            self.step.assign_add(1)
            self.average_generator()

    def train_replica(self, batch, z, step):
        """This replica's share of a step of both players, on images `batch` (n,), noise `z`.

        Returns float32 (4,): both losses (generator's first), mean verdict on real and on fake.
        """
        replica = tf.distribute.get_replica_context()
        number, replicas = replica.replica_id_in_sync_group, replica.num_replicas_in_sync
        batch, z = (
            tf.reshape(whole, [replicas, -1, *whole.shape[1:]])[number] for whole in (batch, z)
        )
        real = tf.cast(tf.gather(self.images, batch), tf.float32) / 127.5 - 1
        self.discriminator.get_layer("dropout").key = key(DROPOUT, self.settings.seed, step)
        with tf.GradientTape() as generator_tape:
            fake = self.generator(z, training=True)
        with tf.GradientTape() as discriminator_tape:
            discriminator_tape.watch(fake)
            verdicts = self.discriminator(tf.concat([real, fake], 0), training=True)
            loss = discriminator_loss(verdicts)
            share_of_loss = loss / replicas  # Adam sums the replicas' gradients
        *gradients, fake_gradient = discriminator_tape.gradient(
            share_of_loss, [*self.discriminator.trainable_variables, fake]
        )
        # Both losses look at a fake digit through its one verdict, so the generator's gradient is
        # the discriminator's times a factor for each digit: one backward pass serves both.
        real_verdicts, fake_verdicts = tf.split(verdicts, 2)
        fake_gradient *= loss_ratio(fake_verdicts)[:, :, None, None]
        self.generator_adam.apply(
            generator_tape.gradient(fake, self.generator.trainable_variables, fake_gradient)
        )
        self.discriminator_adam.apply(gradients)
        means = tf.reduce_mean(real_verdicts), tf.reduce_mean(fake_verdicts)
        return tf.stack([generator_loss(verdicts), loss, *means])

    def average_generator(self):
        """Move the averaged generator towards the generator, all variables (Yazici et al. 2019).

        average = decay average + (1 - decay) generator, decay = min(ema_decay, (1 + t) / (10 + t))
        after t steps, so that the first, random weights are soon forgotten.
        """
        t = tf.cast(self.step, tf.float32)
        decay = tf.minimum(self.settings.ema_decay, (1 + t) / (10 + t))
        for average, new in zip(self.averaged_generator.variables, self.generator.variables):
            average.assign_sub((1 - decay) * (average - new))

    def variables(self):
        """All that changes in training, by name: the whole training state."""
        owners = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "averaged_generator": self.averaged_generator,
            "generator_adam": self.generator_adam,
            "discriminator_adam": self.discriminator_adam,
        }
        named = {
            f"{owner}/{name}": variable
            for owner, holder in owners.items()
            for name, variable in named_variables(holder).items()
        }
        return named | {"step": self.step, "sums": self.sums}

    def num_bytes(self):
        """Size of the training state."""
        return sum(variable.numpy().nbytes for variable in self.variables().values())

    def state(self):
        """The training state as named arrays."""
        return {name: variable.numpy() for name, variable in self.variables().items()}

    def load_state(self, arrays):
        """Put a training state back; raises UserError unless it has this network's arrays."""
        assign_all(self.variables(), arrays, "the training state")

    def snapshot(self):
        """The averaged generator's weights as named arrays."""
        return {n: v.numpy() for n, v in named_variables(self.averaged_generator).items()}


def loss_ratio(verdicts):
    """d generator loss / d discriminator loss of fake digits judged `verdicts`: (D - 1) / D.

    With logit l and D = sigmoid(l): d(-log D)/dl = D - 1 and d(-log(1 - D))/dl = D. Below D = 1e-26
    (logit -60) the ratio stays put, lest it overflow.
    """
    return (verdicts - 1) / tf.maximum(verdicts, 1e-26)
