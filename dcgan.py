"""The game of the two players: losses, the training step, and all that changes in training.

Goodfellow et al. 2014, with the non-saturating generator loss.
"""

import math

import keras
import numpy as np
import tensorflow as tf

from models import (
    DROPOUT,
    TRAINING,
    assign_all,
    build_discriminator,
    build_drawing,
    build_generator,
    key,
    named_variables,
    noise,
)

PENALTY_EVERY = 16  # steps
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # as Keras names them


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


def loss_ratio(verdicts):
    """d generator loss / d discriminator loss of fake digits judged `verdicts`: (D - 1) / D.

    With logit l and D = sigmoid(l): d(-log D)/dl = D - 1 and d(-log(1 - D))/dl = D. Below D = 1e-26
    (logit -60) the ratio stays put, lest it overflow.
    """
    return (verdicts - 1) / tf.maximum(verdicts, 1e-26)


def log_odds(verdicts):
    """Log of the odds of being real, of verdicts of any shape; rounding bounds it by 15."""
    verdicts = tf.clip_by_value(verdicts, 3e-7, 1 - 3e-7)
    return tf.math.log(verdicts) - tf.math.log1p(-verdicts)


def copy_to_each_device(array, strategy):
    """The array on each of the strategy's devices here, as one value for strategy.run."""
    if strategy.num_replicas_in_sync == 1:
        return tf.constant(array)
    devices = strategy.extended.worker_devices

    def copy(context):
        with tf.device(devices[context.replica_id_in_sync_group % len(devices)]):
            return tf.constant(array)

    return strategy.experimental_distribute_values_from_function(copy)


def share(whole):
    """This replica's rows of what belongs to a whole batch."""
    replica = tf.distribute.get_replica_context()
    parts = tf.reshape(whole, [replica.num_replicas_in_sync, -1, *whole.shape[1:]])
    return parts[replica.replica_id_in_sync_group]


class DCGAN:
    """A generator and a discriminator in training, and the averaged generator to draw with.

    `settings` is a config.TrainSettings; `images` uint8 (N, 28, 28), kept on each device. The
    replicas of `strategy` share each batch: images, noise, dropout and batch statistics are those
    of the whole batch, so their number changes the run only by rounding. `compiled`: by XLA.
    """

    def __init__(self, settings, images, strategy=None, compiled=False):
        self.settings, self.noise_dim = settings, settings.noise_dim
        self.strategy = strategy or tf.distribute.get_strategy()
        self.is_cluster = isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy)
        keras.utils.set_random_seed(settings.seed)  # the initial weights; nothing later uses it
        with self.strategy.scope():
            keras.config.set_dtype_policy(POLICIES[settings.precision])
            self.generator = build_generator(settings.noise_dim)
            self.discriminator = build_discriminator(settings.dropout)
            keras.config.set_dtype_policy("float32")
            self.averaged_generator = build_generator(settings.noise_dim)
            self.averaged_generator.set_weights(self.generator.get_weights())
            self.generator_adam = self.build_adam(self.generator)
            self.discriminator_adam = self.build_adam(self.discriminator)
            self.sums = tf.Variable(tf.zeros([4]))  # of what a step returns, over this epoch
        with tf.device("CPU:0"):  # where batches are chosen and noise gets its key
            self.step = tf.Variable(0, dtype=tf.int64)
        # TensorFlow gathers no bytes on a GPU, but words of eight.
        words = images.reshape(len(images), -1).view(np.int64)
        self.words = copy_to_each_device(words, self.strategy)
        self.draw = build_drawing(self.averaged_generator)
        self.replica_step = tf.function(self.train_replica, jit_compile=compiled)

    def build_adam(self, network):
        """Adam (Kingma & Ba 2015) with its moments made, before the first trace needs them."""
        settings = self.settings
        adam = keras.optimizers.Adam(
            settings.learning_rate, settings.beta_1, settings.beta_2, name="adam"
        )
        adam.build(network.trainable_variables)
        return adam

    @tf.function
    def train_steps(self, order, count):
        """Take `count` steps; `order`, int32 (steps, batch), says which images each holds."""
        for _ in tf.range(count):
            batch = order[self.step % tf.shape(order, tf.int64)[0]]
            # Drawn out here, because XLA makes other normal numbers from the same key.
            z = noise(TRAINING, self.settings.seed, self.step, [len(batch), self.noise_dim])
            means = self.strategy.run(self.replica_step, (self.words, batch, z, self.step.value()))
            self.sums.assign_add(self.strategy.reduce("MEAN", means, axis=None))
            self.step.assign_add(1)
            self.average_generator()

    @property
    def steps_done(self):
        """How many steps the networks have taken, over all epochs."""
        return int(self.step.numpy())

    def means(self, steps):
        """Mean of each of the four numbers of a step over the epoch so far, of `steps` at most."""
        return (self.sums.numpy() / ((self.steps_done - 1) % steps + 1)).tolist()

    def start_epoch(self):
        """Forget the sums over the last epoch."""
        self.sums.assign(tf.zeros([4]))

    def agree(self, numbers):
        """The largest of each of several whole numbers over all replicas."""
        if not self.is_cluster:
            return numbers
        return self.largest(tf.constant(numbers)).numpy().tolist()

    @tf.function
    def largest(self, numbers):
        """The largest of each number, int32 (n,), over all replicas."""
        rows = self.strategy.run(lambda: numbers[None])
        return tf.reduce_max(self.strategy.gather(rows, axis=0), axis=0)

    def share_state(self):
        """Give every worker of a cluster the first one's training state."""
        if self.is_cluster:
            self.take_first_replica()

    @tf.function
    def take_first_replica(self):
        """Give every replica the first one's training state."""

        def of_first(value):
            first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
            return tf.where(first, value, tf.zeros_like(value))

        for variable in self.variables().values():
            values = self.strategy.run(of_first, (variable,))
            variable.assign(self.strategy.reduce("SUM", values, axis=None))

    def train_replica(self, words, batch, z, step):
        """This replica's share of a step of both players, on images `batch` (n,) and noise z.

        Returns float32 (4,): both losses (generator's first), mean verdict on real and on fake.
        """
        batch, z = share(batch), share(z)
        pixels = tf.reshape(tf.bitcast(tf.gather(words, batch), tf.uint8), [-1, 28, 28, 1])
        real = tf.cast(pixels, tf.float32) / 127.5 - 1
        self.discriminator.get_layer("dropout").key = key(DROPOUT, self.settings.seed, step)
        with tf.GradientTape() as generator_tape:
            fake = self.generator(z, training=True)
        with tf.GradientTape() as discriminator_tape:
            discriminator_tape.watch(fake)
            verdicts = self.discriminator(tf.concat([real, fake], 0), training=True)
            loss = discriminator_loss(verdicts)
            # Adam sums the gradients of the replicas.
            part = loss / self.strategy.num_replicas_in_sync
        *gradients, fake_gradient = discriminator_tape.gradient(
            part, [*self.discriminator.trainable_variables, fake]
        )
        if self.settings.gradient_penalty:
            gradients = tf.cond(
                step % PENALTY_EVERY == 0,
                lambda: [*map(tf.add, gradients, self.penalty_gradients(real))],
                lambda: gradients,
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

    def penalty_gradients(self, real):
        """Gradients of the R1 penalty (Mescheder et al. 2018) on real digits (n, 28, 28, 1).

        gradient_penalty / 2 |d log_odds(D(x)) / dx|^2, averaged: near real digits the discriminator
        may not be steep. Taken every so many steps with so many times the weight (Karras 2020).
        """
        variables = self.discriminator.trainable_variables
        weight = self.settings.gradient_penalty / 2 * PENALTY_EVERY
        with tf.GradientTape() as tape:
            with tf.GradientTape() as inner:
                inner.watch(real)
                odds = log_odds(self.discriminator(real, training=False))
            slopes = tf.reduce_sum(tf.square(inner.gradient(odds, real)), [1, 2, 3])
            penalty = weight * tf.reduce_mean(slopes) / self.strategy.num_replicas_in_sync
        return tape.gradient(penalty, variables, unconnected_gradients="zero")

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
        """About the size of the training state."""
        return sum(4 * math.prod(variable.shape) for variable in self.variables().values())

    def state(self):
        """The training state as named arrays."""
        return {name: variable.numpy() for name, variable in self.variables().items()}

    def load_state(self, arrays):
        """Put a training state back; raises UserError unless it has this network's arrays."""
        assign_all(self.variables(), arrays, "the training state")
