"""The networks, the losses and one step of the game."""

import dataclasses
import math

import dcgan
import keras
import numpy as np
import pytest
import tensorflow as tf

import data
import models
from config import TrainSettings, UserError

SETTINGS = TrainSettings(batch_size=8, noise_dim=6, seed=3)
ORDER = data.epoch_order(32, 8, seed=3, epoch=0)


@pytest.fixture
def gan(digits):
    return dcgan.DCGAN(SETTINGS, digits[:32])


def take_steps(gan, count):
    gan.train_steps(ORDER, np.array(count, np.int32))


def values(network):
    return [variable.numpy() for variable in network.trainable_variables]


def test_the_generator_draws_28x28_in_range():
    generator = models.build_generator()
    assert generator.input_shape == (None, 200)
    generator.set_weights([100 * weight for weight in generator.get_weights()])
    digits = generator(tf.random.normal([5, 200])).numpy()
    assert digits.shape == (5, 28, 28, 1) and digits.dtype == np.float32
    assert -1 <= digits.min() < -0.5 and 0.5 < digits.max() <= 1


def test_the_generator_has_the_promised_outline():
    shapes = [tuple(layer.output.shape[1:]) for layer in models.build_generator().layers]
    assert shapes[:2] == [(12544,), (7, 7, 256)]
    assert shapes[-1] == (28, 28, 1)
    transposed = [
        layer for layer in models.build_generator().layers if "Transpose" in type(layer).__name__
    ]
    assert [layer.strides for layer in transposed].count((2, 2)) == 2
    for layer in transposed:  # else pixels get unequal shares: a checkerboard
        assert all(k % s == 0 for k, s in zip(layer.kernel_size, layer.strides))


def test_the_discriminator_gives_probabilities():
    discriminator = models.build_discriminator()
    outputs = discriminator(tf.random.normal([5, 28, 28, 1])).numpy()
    assert outputs.shape == (5, 1) and outputs.min() >= 0 and outputs.max() <= 1
    assert discriminator.layers[-1].activation is keras.activations.sigmoid
    for kind in (keras.layers.Conv2D, keras.layers.LeakyReLU):
        assert sum(isinstance(layer, kind) for layer in discriminator.layers) == 2


def test_losses_of_an_undecided_discriminator():
    undecided = tf.fill([8, 1], 0.5)
    assert float(dcgan.generator_loss(undecided)) == pytest.approx(math.log(2), abs=1e-6)
    assert float(dcgan.discriminator_loss(undecided)) == pytest.approx(2 * math.log(2), abs=1e-6)


def test_losses_know_which_half_is_real():
    outputs = tf.constant([[0.9], [0.9], [0.2], [0.2]])
    expected = -math.log(0.9) - math.log(0.8)
    assert float(dcgan.discriminator_loss(outputs)) == pytest.approx(expected, abs=1e-5)
    assert float(dcgan.generator_loss(outputs)) == pytest.approx(-math.log(0.2), abs=1e-5)


def test_a_hopeless_verdict_keeps_its_loss_and_gradient():
    @tf.function
    def loss_and_gradient(logit):
        with tf.GradientTape() as tape:
            tape.watch(logit)
            loss = dcgan.binary_crossentropy(tf.ones_like(logit), tf.sigmoid(logit))
        return loss, tape.gradient(loss, logit)

    loss, gradient = loss_and_gradient(tf.constant([[-60.0]]))
    assert float(loss[0]) == pytest.approx(60.0)
    assert float(gradient[0, 0]) == pytest.approx(-1.0)


@pytest.mark.parametrize("logit", [-50.0, -20.0, -1.0, 0.0, 3.0])
def test_the_loss_ratio_is_that_of_the_two_gradients(logit):
    @tf.function
    def gradients(logits):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(logits)
            outputs = tf.sigmoid(logits)
            d_loss, g_loss = dcgan.discriminator_loss(outputs), dcgan.generator_loss(outputs)
        ratio = dcgan.loss_ratio(outputs)[1:]
        return tape.gradient(d_loss, logits)[1:] * ratio, tape.gradient(g_loss, logits)[1:]

    through_ratio, direct = gradients(tf.constant([[1.0], [logit]]))
    np.testing.assert_allclose(through_ratio, direct, rtol=1e-4)


def test_the_penalty_is_that_of_a_known_slope(gan):
    """With D(x) = sigmoid(w x) the log odds have the slope w, so the penalty's gradient is w."""
    plane = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")]
    )
    gan.discriminator = plane
    real = tf.random.stateless_uniform([4, 28, 28, 1], [0, 0], -1, 1)
    slope, bias = gan.penalty_gradients(real)
    weight = dcgan.PENALTY_EVERY * SETTINGS.gradient_penalty
    np.testing.assert_allclose(slope, weight * plane.weights[0].numpy(), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(bias, 0, atol=1e-6)


def test_the_penalty_comes_every_so_many_steps(digits):
    """Steps 1 to 15 are the same with and without it; steps 0 and 16 are not."""
    gans = {
        weight: dcgan.DCGAN(dataclasses.replace(SETTINGS, gradient_penalty=weight), digits[:32])
        for weight in (0.0, 100.0)
    }
    same = []
    for _ in range(17):
        gans[0.0].load_state(gans[100.0].state())
        for gan in gans.values():
            take_steps(gan, 1)
        pairs = zip(*(values(gan.discriminator) for gan in gans.values()))
        same.append(all(np.allclose(a, b, atol=1e-6) for a, b in pairs))
    assert same == [False] + [True] * 15 + [False]


def test_log_odds_undo_the_sigmoid_and_stay_finite():
    logits = tf.constant([[-8.0], [0.0], [3.0]])
    np.testing.assert_allclose(dcgan.log_odds(tf.sigmoid(logits)), logits, rtol=1e-3, atol=1e-6)
    assert np.isfinite(dcgan.log_odds(tf.constant([0.0, 1.0]))).all()


def test_one_step_moves_every_weight_of_both_players(gan):
    before = values(gan.generator), values(gan.discriminator)
    take_steps(gan, 1)
    after = values(gan.generator), values(gan.discriminator)
    for old, new in zip(before[0] + before[1], after[0] + after[1]):
        assert (old != new).any()


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_step_of_one_player_leaves_the_other(gan, player):
    other = {"generator": "discriminator", "discriminator": "generator"}[player]
    getattr(gan, f"{other}_optimizer").learning_rate = 0.0
    before = values(getattr(gan, player)), values(getattr(gan, other))
    take_steps(gan, 1)
    assert (values(getattr(gan, player))[0] != before[0][0]).any()
    for old, new in zip(before[1], values(getattr(gan, other))):
        np.testing.assert_array_equal(old, new)


def test_the_generators_gradient_is_that_of_its_own_loss(digits):
    """The step's one backward pass gives the generator the gradient of a pass of its own."""
    settings = TrainSettings(batch_size=8, noise_dim=6, seed=3, dropout=0.0)
    gan = dcgan.DCGAN(settings, digits[:32])

    @tf.function
    def own_gradient():
        z = models.noise(models.TRAINING, 3, 0, [8, 6])
        with tf.GradientTape() as tape:
            fake = gan.generator(z, training=True)
            loss = dcgan.generator_loss(gan.discriminator(tf.concat([0 * fake, fake], 0)))
        return tape.gradient(loss, gan.generator.trainable_variables)

    expected = own_gradient()
    take_steps(gan, 1)
    # After one step Adam's first moment is (1 - beta_1) times the gradient.
    variables = named_variables(gan.generator_optimizer)
    for weight, gradient in zip(gan.generator.trainable_variables, expected):
        name = f"adam/{weight.path.replace('/', '_')}_momentum"
        found = variables[name] / (1 - settings.beta_1)
        np.testing.assert_allclose(found, gradient, rtol=1e-3, atol=1e-6)


def test_the_average_is_its_formula(gan):
    for average, new in zip(gan.generator_ema.variables, gan.generator.variables):
        np.testing.assert_array_equal(average, new)
    before = gan.generator_ema.get_weights()
    take_steps(gan, 1)
    decay = min(SETTINGS.ema_decay, 2 / 11)
    for old, average, new in zip(
        before, gan.generator_ema.get_weights(), gan.generator.get_weights()
    ):
        np.testing.assert_allclose(average, decay * old + (1 - decay) * new, rtol=1e-5, atol=1e-7)


def test_two_steps_at_once_are_two_steps(digits):
    together, apart = (dcgan.DCGAN(SETTINGS, digits[:32]) for _ in range(2))
    take_steps(together, 2)
    take_steps(apart, 1)
    take_steps(apart, 1)
    assert together.train_steps.experimental_get_tracing_count() == 1
    assert apart.train_steps.experimental_get_tracing_count() == 1
    for name, array in together.state().items():
        np.testing.assert_allclose(array, apart.state()[name], rtol=1e-3, atol=1e-5)


def test_xla_computes_the_same_step(digits):
    plain, compiled = (
        dcgan.DCGAN(SETTINGS, digits[:32], compiled=compiled) for compiled in (False, True)
    )
    take_steps(plain, 2)
    take_steps(compiled, 2)
    np.testing.assert_allclose(plain.sums, compiled.sums, rtol=1e-3)
    found = named_variables(compiled.generator_ema)
    for name, variable in named_variables(plain.generator_ema).items():
        np.testing.assert_allclose(variable, found[name], rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_bfloat16_keeps_its_variables_and_verdicts_in_float32(digits, compiled):
    settings = TrainSettings(batch_size=8, noise_dim=6, seed=3, precision="bfloat16")
    half = dcgan.DCGAN(settings, digits[:32], compiled=compiled)
    full = dcgan.DCGAN(SETTINGS, digits[:32])
    for gan in (half, full):
        take_steps(gan, 1)
    assert all(v.dtype in ("float32", "int64") for v in half.generator.variables)
    assert half.discriminator.layers[0].compute_dtype == "bfloat16"
    assert half.generator.layers[-1].compute_dtype == "float32"
    np.testing.assert_allclose(half.sums, full.sums, atol=0.05)


def test_a_digit_does_not_depend_on_its_neighbours(gan):
    take_steps(gan, 1)
    few = np.concatenate([*gan.draw(3, 5)])
    many = np.concatenate([*gan.draw(2 * models.BLOCK + 7, 5)])
    assert few.shape == (3, 28, 28) and many.shape == (2 * models.BLOCK + 7, 28, 28)
    np.testing.assert_array_equal(few, many[:3])
    assert len(np.unique(many, axis=0)) == len(many)
    assert (few != np.concatenate([*gan.draw(3, 6)])).any()


def test_a_state_put_back_goes_on_as_if_nothing_had_been(gan, digits):
    take_steps(gan, 2)
    state = gan.state()
    again = dcgan.DCGAN(SETTINGS, digits[:32])
    again.load_state(state)
    for name, array in again.state().items():
        np.testing.assert_array_equal(array, state[name])
    take_steps(gan, 1)
    take_steps(again, 1)
    for name, array in again.state().items():
        np.testing.assert_allclose(array, gan.state()[name], rtol=1e-3, atol=1e-5)


def test_a_state_of_another_network_is_refused_by_name(gan, digits):
    wider = dcgan.DCGAN(TrainSettings(batch_size=8, noise_dim=7), digits[:32])
    with pytest.raises(UserError, match=r"generator/dense/kernel is .7, .* wanted is .6, "):
        gan.load_state(wider.state())
    lacking = gan.state()
    del lacking["generator_optimizer/adam/iteration"]
    with pytest.raises(UserError, match="generator_optimizer/adam/iteration"):
        gan.load_state(lacking)


def test_two_replicas_train_the_same_run_as_one():
    """Same global batch, noise, dropout and statistics; in a process of its own for its devices."""
    from conftest import run_script

    finished = run_script("tests/two_replicas.py")
    assert finished.returncode == 0, finished.stderr
