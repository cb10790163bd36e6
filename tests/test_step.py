"""One step of the game, and the state that a resumed run goes on from."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import data
from cli import UserError
from config import TrainSettings
from first_steps import PLAYERS, RECORDED, take_first_steps
from helpers import TinyNetworks
from layers import BatchNormalization, Dense
from readers import read_npz
from training.losses import R1_INTERVAL
from training.step import Trainer

SETTINGS = TrainSettings(batch_size=8)
CODES = tf.zeros([8], tf.int64)
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


def tiny_trainer(digits, **settings):
    """A Trainer of TinyNetworks, with these settings changed."""
    settings = dataclasses.replace(SETTINGS, **settings)
    return Trainer(settings, digits[:40], networks=TinyNetworks)


def values(network):
    """The trainable weights of a network."""
    return [variable.numpy() for variable in network.trainable_variables]


def check_states(found, expected, rtol=1e-3, atol=1e-5):
    """Fail unless two training states have the same arrays, nearly."""
    assert found.keys() == expected.keys()
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name], rtol, atol, err_msg=name)


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


def test_one_step_moves_every_weight_of_both_players(trainer):
    before = [values(getattr(trainer, player)) for player in PLAYERS]
    trainer.take_steps(ORDER, 1)
    assert trainer.steps_done == 1
    after = [values(getattr(trainer, player)) for player in PLAYERS]
    for old, new in zip(before[0] + before[1], after[0] + after[1]):
        assert (old != new).any()


def test_the_penalty_comes_every_so_many_steps(digits):
    """Steps 1 to 15 are the same with and without it; steps 0 and 16 are not."""
    without, with_penalty = (tiny_trainer(digits, gradient_penalty=each) for each in (0.0, 100.0))
    same = []
    for _ in range(R1_INTERVAL + 1):
        without.load_state(with_penalty.state())
        for trainer in (without, with_penalty):
            trainer.take_steps(ORDER, 1)
        pairs = zip(values(without.discriminator), values(with_penalty.discriminator))
        same.append(all(np.allclose(a, b, atol=1e-6) for a, b in pairs))
    assert same == [False] + [True] * 15 + [False]


def test_the_penalty_is_smaller_in_the_first_epochs(trainer):
    real = tf.random.stateless_uniform([8, 28, 28, 1], [0, 0], -1, 1)
    none = [tf.zeros_like(weight) for weight in trainer.discriminator.trainable_variables]
    before, after = (
        trainer.add_penalty_gradients(none, real, CODES, tf.constant(step, tf.int64))
        for step in (135_000 - 1, 135_000)  # 18 times 60,000 images, 8 a step
    )
    assert max(np.abs(each).max() for each in after) > 1e-3
    for small, full in zip(before, after):
        np.testing.assert_allclose(small, 0.3 * full, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "replacement", "says"),
    [
        ("models.LeakyReLU", lambda _: keras.layers.BatchNormalization(), "depends on the rest"),
        ("models.ReLU", BatchNormalization, "name the layers .* batch_normalization"),
    ],
)
def test_what_one_step_cannot_train_is_refused_at_the_start(
    digits, monkeypatch, name, replacement, says
):
    monkeypatch.setattr(name, replacement)
    with pytest.raises(ValueError, match=says):
        Trainer(SETTINGS, digits[:40])


def test_noise_that_bypasses_the_code_is_refused_at_the_start(digits):
    class Networks(TinyNetworks):
        def build_generator(noise_dim, num_codes):
            network = TinyNetworks.build_generator(noise_dim, num_codes)
            skip = Dense(784, name="skip")(network.inputs[0])
            pixels = network.outputs[0] + keras.layers.Reshape((28, 28, 1))(skip)
            return keras.Model(network.inputs[0], pixels)

    with pytest.raises(UserError, match="bypasses its layer `code`"):
        Trainer(SETTINGS, digits[:40], networks=Networks)


def test_the_layer_after_the_code_needs_its_name(digits, monkeypatch):
    def build_dense(units, name=None, **options):
        return Dense(units, name="first" if name == "dense" else name, **options)

    monkeypatch.setattr("models.Dense", build_dense)
    with pytest.raises(UserError, match="layer that follows `code` `dense`"):
        Trainer(SETTINGS, digits[:40])


def test_the_average_is_its_formula(trainer):
    for ema, new in zip(trainer.generator_ema.variables, trainer.generator.variables):
        np.testing.assert_array_equal(ema, new)
    before = trainer.generator_ema.get_weights()
    trainer.take_steps(ORDER, 1)
    decay = min(SETTINGS.ema_decay, 2 / 11)
    own = trainer.generator.get_weights()
    expected = [decay * old + (1 - decay) * new for old, new in zip(before, own)]
    names = [variable.path for variable in trainer.generator_ema.variables]
    dense = names.index("dense/kernel")
    of_noise = slice(SETTINGS.num_codes, None)  # these rows keep the norm of the generator's own
    norms = [np.linalg.norm(each[dense][of_noise]) for each in (own, expected)]
    assert norms[1] < 0.999 * norms[0]
    expected[dense][of_noise] *= norms[0] / norms[1]
    for ema, wanted in zip(trainer.generator_ema.get_weights(), expected):
        np.testing.assert_allclose(ema, wanted, rtol=1e-5, atol=1e-7)


def test_two_steps_at_once_are_two_steps(digits):
    together, apart = tiny_trainer(digits), tiny_trainer(digits)
    metrics = together.take_steps(ORDER, 2)
    one_by_one = [apart.take_steps(ORDER, 1) for _ in range(2)]
    np.testing.assert_allclose(metrics, np.concatenate(one_by_one), rtol=1e-3)
    check_states(apart.state(), together.state())


def test_a_state_put_back_goes_on_as_if_nothing_had_been(digits):
    trainer, other = tiny_trainer(digits), tiny_trainer(digits)
    check_states(other.state(), trainer.state(), 0, 0)  # a function of the seed
    trainer.take_steps(ORDER, 2)
    state = trainer.state()
    other.load_state(state)
    check_states(other.state(), state, 0, 0)
    for each in (trainer, other):
        each.take_steps(ORDER, 1)
    check_states(other.state(), trainer.state())


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"num_codes": 4}, {"codes": "free", "ink_channel": "off"}])
def test_programs_of_xla_take_the_same_steps(digits, options):
    """Steps 8 to 39, with penalties at 16 and 32, the last ones resumed from a state."""
    # At the usual learning rate training amplifies rounding tenfold in every few steps.
    settings = dataclasses.replace(SETTINGS, learning_rate=1e-6, **options)
    expected, first, second = (
        Trainer(settings, digits[:40], compiled=xla) for xla in (False, True, True)
    )
    for trainer in (expected, first):
        trainer.step.assign(8)
        trainer.find_clusters()
    metrics = [first.take_steps(ORDER, 24)]
    second.load_state(first.state())
    metrics += [second.take_steps(ORDER, 8)]
    np.testing.assert_allclose(np.concatenate(metrics), expected.take_steps(ORDER, 32), rtol=1e-4)
    found = second.state()
    for name, array in expected.state().items():
        largest = np.abs(array).max()
        if name.startswith("discriminator_optimizer"):  # with beta_1 = 0, moments of gradients
            np.testing.assert_allclose(found[name], array, atol=0.02 * largest)
        elif not name.startswith("generator_optimizer"):  # whose gradients amplify rounding
            np.testing.assert_allclose(found[name], array, atol=1e-3 * (largest + 0.1))


@pytest.mark.slow
def test_bfloat16_keeps_its_variables_and_logits_in_float32(trainer, digits):
    half = Trainer(dataclasses.replace(SETTINGS, precision="bfloat16"), digits[:40])
    metrics = [each.take_steps(ORDER, 1) for each in (half, trainer)]
    assert all(v.dtype in ("float32", "int64") for v in half.generator.variables)
    assert half.discriminator.get_layer("down_14").compute_dtype == "bfloat16"
    assert half.discriminator.get_layer("logits").compute_dtype == "float32"
    np.testing.assert_allclose(*metrics, atol=0.05)


def test_a_state_of_another_network_is_refused_by_name(digits, trainer, monkeypatch):
    monkeypatch.setattr("models.LeakyReLU", lambda slope: keras.layers.LeakyReLU(0.2))
    steeper = Trainer(SETTINGS, digits[:40])
    with pytest.raises(UserError, match=r"discriminator: .* layer 3 was .*=0.02, and is .*=0.2 "):
        steeper.load_state(trainer.state())
    later = ("/layers", "/code/bias")  # what earlier versions did not save
    earlier = {n: array for n, array in trainer.state().items() if not n.endswith(later)}
    trainer.load_state(earlier)
