"""The losses of both networks (Goodfellow et al. 2014) and the discriminator's R1 penalty.

All take the discriminator's logits, D(x) = sigmoid(logits). With softplus(l) = log(1 + exp(l)),
-log D = softplus(-l) and -log(1 - D) = softplus(l), which neither overflow nor saturate.
"""

import tensorflow as tf


def discriminator_loss(real_logits, fake_logits):
    """-log D(x) - log(1 - D(G(z))), averaged over the batch; both logits are (batch, 1)."""
    real_loss = tf.reduce_mean(tf.nn.softplus(-real_logits))
    return real_loss + tf.reduce_mean(tf.nn.softplus(fake_logits))


def generator_loss(fake_logits):
    """-log D(G(z)), the non-saturating loss, averaged; fake_logits of shape (batch, 1)."""
    return tf.reduce_mean(tf.nn.softplus(-fake_logits))


def generator_gradient(discriminator_gradient, fake_logits):
    """Gradient of the generator's loss at the fake images, from the discriminator's.

    Both losses depend on a fake image only through its own logit l. The derivative with respect
    to l is -sigmoid(-l) for the generator's softplus(-l) and sigmoid(l) for the discriminator's
    softplus(l); their ratio is -exp(-l). So one backward pass through the discriminator serves
    both networks: the gradient (batch, 28, 28, 1) of its loss, times this factor for each image,
    is the generator's. It needs a discriminator that does not mix the images of a batch
    (`check_images_stay_apart`). The exponent is clipped at 60 to avoid overflow.
    """
    factor = -tf.exp(tf.minimum(-fake_logits, 60.0))
    return discriminator_gradient * factor[:, :, None, None]


def check_images_stay_apart(logits_of, images):
    """Raise ValueError if one image's logit depends on the other images of its batch.

    `logits_of` maps images (batch, 28, 28, 1) to logits (batch, 1) as in training; batch
    normalisation in a discriminator, for one, makes it fail.
    """
    others = tf.concat([images[:1], images[1:] / 2], 0)  # other means and other variances
    before, after = logits_of(images)[0], logits_of(others)[0]
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
