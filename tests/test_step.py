"""One step of the game, and the state that a resumed run goes on from."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import data
from cli import UserError
from config import TrainSettings
from first_steps import PLAYERS, RECORDED, first_moments, take_first_steps
from helpers import TinyNetworks
from layers import BatchNormalization
from readers import read_npz
from sampling.randomness import TRAINING, normal_noise
from training.losses import generator_loss
from training.progress import METRICS
from training.step import R1_INTERVAL, Trainer

SETTINGS = TrainSettings(batch_size=8)
ORDER = data.epoch_order(40, 8, seed=0, epoch=0)


@pytest.fixture(scope="module")
def traced(digits):
    """A Trainer, and its first state."""
    trainer = Trainer(SETTINGS, digits[:40])
    return trainer, trainer.state()


@pytest.fixture
def trainer(traced):
    """A Trainer that has taken no step."""
    trainer, first_state = traced
    trainer.load_state(first_state)
    return trainer


@pytest.fixture(scope="module")
def twin(digits):
    """Another one; tracing its step takes a while."""
    return Trainer(SETTINGS, digits[:40])


def take_steps(trainer, count, order=ORDER):
    """Take steps; return their metrics, float32 (count, 4)."""
    return trainer.take_steps(order, count)


def values(network):
    """The trainable weights of a network."""
    return [variable.numpy() for variable in network.trainable_variables]


def test_the_first_steps_are_those_that_were_recorded(mnist):
    """They differ by less than this from processor to processor.

    Recorded before the losses were on logits and the layers had multipliers; to record them anew:
    python tests/first_steps.py.
    """
    found, expected = take_first_steps(mnist["x_train"]), read_npz(RECORDED)
    np.testing.assert_allclose(found["metrics"], expected["metrics"], rtol=2e-3)
    norms = expected["gradient_norms"]
    tolerance = 0.05 * (norms + norms.max(0))  # early on some norms change tenfold a step
    assert (np.abs(found["gradient_norms"] - norms) <= tolerance).all()
    np.testing.assert_allclose(found["samples"], expected["samples"], atol=0.01)


def test_a_step_returns_its_metrics(trainer):
    metrics = take_steps(trainer, 3)
    assert metrics.shape == (3, len(METRICS)) and metrics.dtype == np.float32
    assert trainer.steps_done == 3
    assert np.isfinite(metrics).all()
    assert (metrics[:, 2:] > 0).all() and (metrics[:, 2:] < 1).all()
    assert len(np.unique(metrics[:, 0])) == 3


def test_one_step_moves_every_weight_of_both_players(trainer):
    before = [values(getattr(trainer, player)) for player in PLAYERS]
    take_steps(trainer, 1)
    after = [values(getattr(trainer, player)) for player in PLAYERS]
    for old, new in zip(before[0] + before[1], after[0] + after[1]):
        assert (old != new).any()


@pytest.mark.parametrize(("player", "other"), [PLAYERS, PLAYERS[::-1]])
def test_a_step_of_one_player_leaves_the_other(trainer, player, other):
    getattr(trainer, f"{other}_optimizer").learning_rate = 0.0
    before = values(getattr(trainer, player)), values(getattr(trainer, other))
    take_steps(trainer, 1)
    assert (values(getattr(trainer, player))[0] != before[0][0]).any()
    for old, new in zip(before[1], values(getattr(trainer, other))):
        np.testing.assert_array_equal(old, new)


@pytest.fixture(scope="module")
def plain(digits):
    """A Trainer without dropout and without the R1 penalty, otherwise of the same settings."""
    return Trainer(dataclasses.replace(SETTINGS, dropout=0.0, gradient_penalty=0.0), digits[:40])


def test_the_generators_gradient_is_that_of_its_own_loss(plain, traced):
    """The step's one backward pass gives the generator the gradient of a pass of its own."""
    plain.load_state(traced[-1])

    @tf.function
    def own_gradient():
        z = normal_noise(TRAINING, 0, 0, [8, 200])
        with tf.GradientTape() as tape:
            fake = plain.generator(z, training=True)
            loss = generator_loss(plain.logits(fake))
        return tape.gradient(loss, plain.generator.trainable_variables)

    expected = own_gradient()
    take_steps(plain, 1)
    for found, gradient in zip(first_moments(plain, "generator"), expected):
        np.testing.assert_allclose(found, gradient, rtol=1e-3, atol=1e-6)


def test_the_penalty_comes_every_so_many_steps(digits):
    """Steps 1 to 15 are the same with and without it; steps 0 and 16 are not."""
    without, with_penalty = (
        Trainer(
            dataclasses.replace(SETTINGS, gradient_penalty=weight),
            digits[:40],
            networks=TinyNetworks,
        )
        for weight in (0.0, 100.0)
    )
    same = []
    for _ in range(R1_INTERVAL + 1):
        without.load_state(with_penalty.state())
        for trainer in (without, with_penalty):
            take_steps(trainer, 1)
        pairs = zip(values(without.discriminator), values(with_penalty.discriminator))
        same.append(all(np.allclose(a, b, atol=1e-6) for a, b in pairs))
    assert same == [False] + [True] * 15 + [False]


def test_the_penalty_is_smaller_in_the_first_epochs(trainer):
    real = tf.random.stateless_uniform([8, 28, 28, 1], [0, 0], -1, 1)
    none = [tf.zeros_like(weight) for weight in trainer.discriminator.trainable_variables]
    before, after = (
        trainer.add_penalty_gradients(none, real, tf.constant(step, tf.int64))
        for step in (135_000 - 1, 135_000)  # 18 times 60,000 images, 8 a step
    )
    assert max(np.abs(each).max() for each in after) > 1e-3
    for small, full in zip(before, after):
        np.testing.assert_allclose(small, 0.3 * full, rtol=1e-3, atol=1e-6)


class Mixing(keras.layers.Layer):
    """Adds to each image the mean of the batch."""

    def call(self, inputs):
        return inputs + tf.reduce_mean(inputs, 0, keepdims=True)


def hinge_loss(real_logits, fake_logits):
    """The discriminator's hinge loss (Lim & Ye 2017)."""
    return tf.reduce_mean(tf.nn.relu(1 - real_logits)) + tf.reduce_mean(tf.nn.relu(1 + fake_logits))


@pytest.mark.parametrize(
    ("name", "replacement", "says"),
    [
        ("models.LeakyReLU", lambda slope: Mixing(), "depends on the rest of the batch"),
        ("training.losses.discriminator_loss", hinge_loss, "does not rise with a fake"),
        ("models.ReLU", BatchNormalization, "name the layers .* batch_normalization"),
    ],
)
def test_what_one_step_cannot_train_is_refused_at_the_start(
    digits, monkeypatch, name, replacement, says
):
    monkeypatch.setattr(name, replacement)
    with pytest.raises(ValueError, match=says):
        Trainer(SETTINGS, digits[:40])


def test_the_average_is_its_formula(trainer):
    for ema, new in zip(trainer.generator_ema.variables, trainer.generator.variables):
        np.testing.assert_array_equal(ema, new)
    before = trainer.generator_ema.get_weights()
    take_steps(trainer, 1)
    decay = min(SETTINGS.ema_decay, 2 / 11)
    for old, ema, new in zip(
        before, trainer.generator_ema.get_weights(), trainer.generator.get_weights()
    ):
        np.testing.assert_allclose(ema, decay * old + (1 - decay) * new, rtol=1e-5, atol=1e-7)


def test_the_first_state_is_a_function_of_the_seed(trainer, twin):
    for name, array in trainer.state().items():
        np.testing.assert_array_equal(array, twin.state()[name])


def test_two_steps_at_once_are_two_steps(trainer):
    first_state = trainer.state()
    together, state = take_steps(trainer, 2), trainer.state()
    trainer.load_state(first_state)
    apart = np.concatenate([take_steps(trainer, 1), take_steps(trainer, 1)])
    np.testing.assert_allclose(together, apart, rtol=1e-3)
    assert trainer.interpreted_steps.experimental_get_tracing_count() == 1
    for name, array in trainer.state().items():
        np.testing.assert_allclose(array, state[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_programs_of_xla_take_the_same_steps(digits):
    """Steps 8 to 39, with penalties at 16 and 32, the last ones resumed from a state."""
    # At the usual learning rate training amplifies rounding tenfold in every few steps.
    settings = dataclasses.replace(SETTINGS, learning_rate=1e-6)
    expected, *compiled = (Trainer(settings, digits[:40], None, xla) for xla in (False, True, True))
    for trainer in (expected, compiled[0]):
        trainer.step.assign(8)
    metrics = [take_steps(compiled[0], 24)]
    compiled[1].load_state(compiled[0].state())
    metrics += [take_steps(compiled[1], 8)]
    np.testing.assert_allclose(np.concatenate(metrics), take_steps(expected, 32), rtol=1e-4)
    found, wanted = compiled[1].state(), expected.state()
    for name, array in wanted.items():
        largest = np.abs(array).max()
        if name.startswith("discriminator_optimizer"):  # with beta_1 = 0, moments of gradients
            np.testing.assert_allclose(found[name], array, atol=0.02 * largest)
        elif not name.startswith("generator_optimizer"):  # whose gradients amplify rounding
            np.testing.assert_allclose(found[name], array, atol=1e-3 * (largest + 0.1))


@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_bfloat16_keeps_its_variables_and_logits_in_float32(trainer, digits, compiled):
    half = Trainer(dataclasses.replace(SETTINGS, precision="bfloat16"), digits[:40], None, compiled)
    metrics = [take_steps(each, 1) for each in (half, trainer)]
    assert all(v.dtype in ("float32", "int64") for v in half.generator.variables)
    assert half.discriminator.get_layer("down_14").compute_dtype == "bfloat16"
    assert half.discriminator.get_layer("logits").compute_dtype == "float32"
    assert half.generator.get_layer("pixels").compute_dtype == "float32"
    np.testing.assert_allclose(*metrics, atol=0.05)


@pytest.mark.parametrize("into", ["trainer", pytest.param("twin", marks=pytest.mark.slow)])
def test_a_state_put_back_goes_on_as_if_nothing_had_been(trainer, into, request):
    take_steps(trainer, 2)
    state = trainer.state()
    take_steps(trainer, 1)
    expected, other = trainer.state(), request.getfixturevalue(into)
    other.load_state(state)
    for name, array in other.state().items():
        np.testing.assert_array_equal(array, state[name])
    take_steps(other, 1)
    for name, array in other.state().items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-3, atol=1e-5)


def test_a_state_of_another_network_is_refused_by_name(trainer, digits, monkeypatch):
    wider = Trainer(TrainSettings(batch_size=8, noise_dim=7), digits[:40])
    with pytest.raises(UserError, match=r"generator/dense/kernel is .7, .* wanted is .200, "):
        trainer.load_state(wider.state())
    lacking = trainer.state()
    del lacking["generator_optimizer/adam/iteration"]
    with pytest.raises(UserError, match="generator_optimizer/adam/iteration"):
        trainer.load_state(lacking)
    monkeypatch.setattr("models.LeakyReLU", lambda slope: keras.layers.LeakyReLU(0.2))
    steeper = Trainer(SETTINGS, digits[:40])
    with pytest.raises(UserError, match=r"discriminator: .* layer 2 was .*=0.02, and is .*=0.2 "):
        steeper.load_state(trainer.state())
    earlier = {name: array for name, array in trainer.state().items() if "/layers" not in name}
    trainer.load_state(earlier)  # of a version that did not describe the layers


def test_the_size_of_a_state_is_known_before_it_is_written(trainer):
    held = sum(array.nbytes for array in trainer.state().values())
    assert trainer.num_bytes() == pytest.approx(held, rel=0.01)
