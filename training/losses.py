"""The losses of both networks (Goodfellow et al. 2014) and the discriminator's R1 penalty.

All take the discriminator's logits, D(x) = sigmoid(logits). With softplus(l) = log(1 + exp(l)),
-log D = softplus(-l) and -log(1 - D) = softplus(l), which neither overflow nor saturate.
"""

import tensorflow as tf

from cli import UserError

# The penalty is computed every 16th step, with 16 times the weight (Karras et al. 2020). There it
# has a step of the optimizer to itself; here its gradient is added to that of the loss.
R1_INTERVAL = 16


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(G(z))), averaged over the batch; both logits are (batch, 1)."""
    real_loss = tf.reduce_mean(tf.nn.softplus(-real_logits))
    return real_loss + tf.reduce_mean(tf.nn.softplus(fake_logits))


def generator_loss(fake_logits):
    """-log D(G(z)), the non-saturating loss, averaged; fake_logits of shape (batch, 1)."""
    return tf.reduce_mean(tf.nn.softplus(-fake_logits))


def generator_gradient(discriminator_gradient, real_logits, fake_logits):
    """Gradient of the generator's loss at the fake images, from the discriminator's.

    Both losses depend on a fake image only through its own logit l. So one backward pass through
    the discriminator serves both networks: the gradient (batch, 28, 28, 1) of its loss, times the
    ratio of the losses' derivatives with respect to l, is the generator's. For the losses above
    the ratio is -sigmoid(-l) / sigmoid(l) = -exp(-l). It needs a discriminator that does not mix
    the images of a batch (`check_images_stay_apart`), whose loss rises with l (`check_losses`).
    """
    of_generator, of_discriminator = derivatives(real_logits, fake_logits)
    factor = tf.math.divide_no_nan(of_generator, of_discriminator)  # 0 where sigmoid(l) underflows
    return discriminator_gradient * factor[:, :, None, None]


def describe_losses():
    """Both losses at a few logits: numbers by which a run recognises the losses it began with."""
    with tf.device("CPU:0"):
        logits = tf.constant([[-2.0], [0.5], [3.0]])
        losses = generator_loss(logits), discriminator_loss(logits[::-1], logits)
    return [round(float(loss), 4) for loss in losses]


def derivatives(real_logits, fake_logits):
    """The derivatives of both losses with respect to the fake logits, each (batch, 1)."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(fake_logits)
        losses = generator_loss(fake_logits), discriminator_loss(real_logits, fake_logits)
    return [tape.gradient(loss, fake_logits) for loss in losses]


def check_losses():
    """Raise UserError unless the discriminator's loss increases with the logit of a fake image."""
    logits = tf.range(-30, 30.5, 0.5)[:, None]
    _, slopes = derivatives(tf.zeros_like(logits), logits)
    bad = logits[~((slopes > 0) & tf.math.is_finite(slopes))]
    if len(bad):
        raise UserError(
            "training/losses.py: discriminator_loss must increase with the logit of a fake image, "
            f"and does not at {bad[0]:g}; hinge and least-squares losses need a backward pass for "
            "the generator: see 'A loss with a second backward pass' in docs/change.md"
        )


def check_images_stay_apart(logits_of, weights, images):
    """Raise ValueError if one image's logit depends on the other images of its batch.

    `logits_of` maps images (batch, 28, 28, 1) to logits (batch, 1) in training mode. Batch
    normalisation, for example, fails. The network's `weights` are perturbed for the check, because
    a weight that starts at 0 can hide what its layer does, and then restored.
    """
    first = [weight.numpy() for weight in weights]
    for number, (weight, array) in enumerate(zip(weights, first)):
        weight.assign(array + 0.1 * tf.random.stateless_normal(array.shape, [0, number]))
    others = tf.concat([images[:1], images[1:] / 2], 0)  # other means and other variances
    before, after = logits_of(images)[0], logits_of(others)[0]
    for weight, array in zip(weights, first):
        weight.assign(array)
    if not tf.reduce_all(tf.abs(after - before) <= 1e-3 * (1 + tf.abs(before))):
        raise ValueError(
            "the discriminator's output for an image depends on the rest of the batch (batch "
            "normalisation?), and then one backward pass cannot serve both networks: see "
            "generator_gradient in training/losses.py"
        )


def r1_penalty(logits_of, real):
    """|d logits / d x|^2 / 2 at real images (batch, 28, 28, 1), averaged (Mescheder et al. 2018).

    It keeps the discriminator from becoming steep, and so from memorising its images.
    """
    with tf.GradientTape() as tape:
        tape.watch(real)
        logits = logits_of(real)
    slopes = tape.gradient(logits, real)
    return tf.reduce_mean(tf.reduce_sum(tf.square(slopes), [1, 2, 3])) / 2
