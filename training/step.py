"""The two networks in training: the step, and all that changes from step to step."""

import math

import keras
import numpy as np
import tensorflow as tf

import models
from cli import UserError
from sampling.randomness import DROPOUT, random_key
from sampling.sampler import Sampler
from storage.weights import assign_all, check_layers, describe_layers, named_variables
from training.clusters import biases_of, find_clusters
from training.distributed import rows_of_replica
from training.losses import (
    R1_INTERVAL,
    check_images_stay_apart,
    check_losses,
    discriminator_loss,
    generator_gradient,
    generator_loss,
    r1_penalty,
)
from training.programs import Programs

EARLY_IMAGES = 18 * 60_000  # while the penalty is smaller
DESCRIBED = ("generator_ema", "discriminator")  # whose layers a training state describes
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # as Keras names them


class Trainer:
    """A generator and a discriminator in training, and `generator_ema` to draw with.

    `settings` is a config.TrainSettings; `images` are uint8 (N, 28, 28). The replicas of `strategy`
    share each batch: images, noise, dropout and batch statistics are those of the whole batch, so
    the number of replicas changes results only by rounding. `compiled`: use XLA, on one device.
    With clusters, call find_clusters or load_state before the first step: until then every image
    is in cluster 0, and XLA's programs copy the clusters only once.
    `networks` has the functions build_generator and build_discriminator; by default it is models.
    """

    def __init__(self, settings, images, strategy=None, compiled=False, networks=None):
        self.settings, self.noise_dim = settings, settings.noise_dim
        self.strategy = strategy or tf.distribute.get_strategy()
        networks = networks or models
        keras.utils.set_random_seed(settings.seed)  # the initial weights; nothing later uses it
        with self.strategy.scope():
            keras.config.set_dtype_policy(POLICIES[settings.precision])
            # The optimizers' variables are named by these scopes too.
            with keras.name_scope("generator"):
                self.generator = networks.build_generator(settings.noise_dim, settings.num_codes)
            with keras.name_scope("discriminator"):
                self.discriminator = networks.build_discriminator(
                    settings.dropout, settings.num_clusters, settings.ink_channel == "on"
                )
            keras.config.set_dtype_policy("float32")
            self.generator_ema = networks.build_generator(settings.noise_dim, settings.num_codes)
            self.generator_ema.set_weights(self.generator.get_weights())
            self.generator_optimizer = self.build_adam(self.generator)
            self.discriminator_optimizer = self.build_adam(self.discriminator)
        with tf.device("CPU:0"):
            self.step = tf.Variable(0, dtype=tf.int64)
            self.images = tf.constant(images)
            self.clusters = tf.Variable(tf.zeros([len(images)], tf.int64))
        self.programs = Programs(self, compiled)
        self.early_steps = EARLY_IMAGES // settings.batch_size
        self.check_networks()

    def build_adam(self, network):
        """Adam (Kingma & Ba 2015) with its moments made, before the first trace needs them."""
        settings = self.settings
        adam = keras.optimizers.Adam(
            settings.learning_rate, settings.beta_1, settings.beta_2, name="adam"
        )
        adam.build(network.trainable_variables)
        return adam

    def take_steps(self, order, count):
        """Take `count` steps; step t takes the images order[t % steps], int32 (steps, batch).

        Returns the METRICS of each step, float32 (count, 4).
        """
        return self.programs.take_steps(order, count)

    def take_step(self, batch, z, step, has_penalty):
        """One step, on all replicas, and the average; returns the METRICS, float32 (4,)."""
        arguments = (batch, z, step, has_penalty)
        of_replicas = self.strategy.run(self.replica_step, arguments)
        metrics = self.strategy.reduce("MEAN", of_replicas, axis=None)
        self.update_ema(step)
        return metrics

    @tf.function
    def replica_step(self, batch, z, step, has_penalty):
        """One step of both networks on this replica's rows of a batch; the METRICS, float32 (4,).

        The batch holds images, uint8 (n, 28, 28), and their clusters, int64 (n,). `z` is the noise
        (n, noise_dim) of as many fake images.
        """
        pixels, real_codes, z = map(rows_of_replica, (*batch, z))
        real = tf.cast(pixels[..., None], tf.float32) / 127.5 - 1
        fake_codes = self.generator.get_layer("code").codes_of(z)
        replicas = self.strategy.num_replicas_in_sync  # whose gradients Adam sums
        key = random_key(DROPOUT, self.settings.seed, step)

        with tf.GradientTape() as generator_tape:
            fake = self.generator(z, training=True)
        with tf.GradientTape() as discriminator_tape:
            discriminator_tape.watch(fake)
            both = tf.concat([real, fake], 0), tf.concat([real_codes, fake_codes], 0)
            logits = self.logits(*both, key)
            real_logits, fake_logits = tf.split(logits, 2)
            d_loss = discriminator_loss(real_logits, fake_logits)
            scaled_loss = d_loss / replicas

        *d_gradients, fake_gradient = discriminator_tape.gradient(
            scaled_loss, [*self.discriminator.trainable_variables, fake]
        )
        g_gradients = generator_tape.gradient(
            fake,
            self.generator.trainable_variables,
            output_gradients=generator_gradient(fake_gradient, real_logits, fake_logits),
        )
        if self.settings.gradient_penalty and has_penalty:  # a tf.cond where this is a tensor
            d_gradients = self.add_penalty_gradients(d_gradients, real, real_codes, step)
        self.generator_optimizer.apply(g_gradients)
        self.discriminator_optimizer.apply(d_gradients)
        outputs = (tf.reduce_mean(tf.sigmoid(each)) for each in (real_logits, fake_logits))
        return tf.stack([generator_loss(fake_logits), d_loss, *outputs])

    def add_penalty_gradients(self, gradients, real, codes, step):
        """Add the gradients of the weighted R1 penalty at real images (n, 28, 28, 1) of codes (n,).

        Early in training the weight is smaller: a sharper discriminator teaches the generator
        faster, and cannot have memorised its images yet.
        """
        factor = tf.where(step < self.early_steps, float(self.settings.early_penalty), 1.0)
        weight = self.settings.gradient_penalty * factor
        weight *= R1_INTERVAL / self.strategy.num_replicas_in_sync
        with tf.GradientTape() as tape:
            penalty = weight * r1_penalty(lambda images: self.logits(images, codes), real)
        more = tape.gradient(penalty, self.discriminator.trainable_variables)
        # The last bias shifts all logits alike, so the penalty does not depend on it.
        return [a if b is None else a + b for a, b in zip(gradients, more)]

    def update_ema(self, step):
        """Move generator_ema towards the generator, all variables (Yazici et al. 2019).

        ema = decay ema + (1 - decay) generator, decay = min(ema_decay, (1 + t) / (10 + t)) after
        t steps, so that the first, random weights are soon forgotten. With clusters, the norm of
        the noise's weights is then restored.
        """
        t = tf.cast(step + 1, tf.float32)
        decay = tf.minimum(self.settings.ema_decay, (1 + t) / (10 + t))
        for ema, new in zip(self.generator_ema.variables, self.generator.variables):
            ema.assign_sub((1 - decay) * (ema - new))
        if self.settings.num_clusters:
            self.restore_noise_weights()

    def restore_noise_weights(self):
        """Rescale the EMA's dense kernel, in the rows of the noise, to the generator's norm.

        The code's rows stay as they are. Averaging shrinks weights that fluctuate; without this,
        the samples of a code vary too little.
        """
        num_codes, networks = self.settings.num_codes, (self.generator_ema, self.generator)
        ema, own = (network.get_layer("dense").kernel for network in networks)
        # Rows first, because slicing the kernel would copy it.
        norm, own_norm = (tf.norm(tf.norm(each, axis=1)[num_codes:]) for each in (ema, own))
        is_code = tf.range(self.noise_dim) < num_codes
        ema.assign(ema * tf.where(is_code, 1.0, own_norm / norm)[:, None])

    def check_networks(self):
        """Raise an error unless one backward pass can serve both networks and layers have names.

        That is a UserError for a loss that does not fit or a generator that cannot be drawn with,
        and a ValueError for a discriminator that mixes images or a layer without a name. Keras
        numbers unnamed layers over the whole process, so another process could not match their
        weights.
        """
        with tf.device("CPU:0"):  # so that a GPU loads no libraries for four images
            check_losses()
            images = tf.random.stateless_uniform([4, 28, 28, 1], [0, 0], -1, 1)
            codes, key = tf.zeros([4], tf.int64), random_key(DROPOUT, 0, 0)
            weights = self.discriminator.weights
            check_images_stay_apart(lambda x: self.logits(x, codes, key), weights, images)
            Sampler(self.generator_ema)  # raises UserError if the noise bypasses the code
        if "dense" not in {layer.name for layer in self.generator_ema.layers}:
            raise UserError(
                "models.py: name the generator's layer that follows `code` `dense`; training and "
                "drawing find it by that name"
            )
        names, others = map(named_variables, (self.generator, self.generator_ema))
        if names.keys() != others.keys():
            unnamed = ", ".join(sorted(names.keys() - others.keys()))
            raise ValueError(f"models.py: name the layers that have these weights: {unnamed}")

    def logits(self, images, codes, key=None):
        """The discriminator's logits (batch, 1); in training with the `key` of a dropout mask.

        The codes, int64 (batch,), count only if they are clusters of images.
        """
        inputs = [images, key, codes] if self.settings.num_clusters else [images, key]
        return self.discriminator(inputs, training=key is not None)[1]

    def find_clusters(self):
        """Cluster the images of a new run, if the settings say so, and set the codes' biases.

        A code then is as likely as an image of its cluster.
        """
        num, seed = self.settings.num_clusters, self.settings.seed
        if num:
            clusters = find_clusters(self.images.numpy(), num, seed)
            self.clusters.assign(clusters)
            bias = biases_of(np.bincount(clusters, minlength=num) / len(clusters))
            for network in (self.generator, self.generator_ema):
                network.get_layer("code").bias.assign(bias)

    @property
    def steps_done(self):
        """How many steps the networks have taken, over all epochs."""
        return int(self.step.value().numpy())

    def variables(self):
        """The variables of the training state by name: networks, optimizers, clusters and step."""
        owners = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_ema": self.generator_ema,
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }
        named = {
            f"{owner}/{name}": variable
            for owner, holder in owners.items()
            for name, variable in named_variables(holder).items()
        }
        if self.settings.num_clusters:
            named["clusters"] = self.clusters
        return named | {"step": self.step}

    def num_bytes(self):
        """About the size of the training state."""
        return sum(4 * math.prod(variable.shape) for variable in self.variables().values())

    def state(self):
        """The training state as named arrays, with descriptions of the layers."""
        arrays = {name: variable.numpy() for name, variable in self.variables().items()}
        return arrays | {
            f"{name}/layers": describe_layers(getattr(self, name)) for name in DESCRIBED
        }

    def load_state(self, arrays):
        """Put a training state back; raises UserError unless it is one of these networks."""
        arrays, source = dict(arrays), "the training state"
        for name in DESCRIBED:
            layers = arrays.pop(f"{name}/layers", None)
            if layers is not None:  # not so in states of earlier versions
                check_layers(getattr(self, name), layers, f"{source}: {name}")
        assign_all(self.variables(), arrays, source)
