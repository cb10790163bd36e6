"""Weights by name, to arrays and back."""

import types

import keras
import numpy as np
import pytest

from cli import UserError
from models import build_discriminator, build_generator
from storage.snapshots import Snapshot
from storage.weights import (
    assign_all,
    check_layers,
    describe_layers,
    load_generator,
    named_variables,
)


def small_network():
    """A network with two variables."""
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])


def arrays_of(holder):
    """Its variables as arrays."""
    return {name: variable.numpy() for name, variable in named_variables(holder).items()}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dense/kernel": None}, "dense/kernel is nothing"),
        ({"extra/kernel": np.ones(3)}, "extra/kernel is .*expected nothing"),
        ({"dense/kernel": np.ones((3, 4))}, "dense/kernel is .3, 4"),
        ({"dense/bias": np.array(["a", "b"])}, "dense/bias is .2, 'U'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_by_name_and_change_nothing(change, named):
    network = small_network()
    before = arrays_of(network)
    arrays = {name: array + 1 for name, array in before.items()} | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    with pytest.raises(UserError, match=f"a file: does not fit this network: {named}"):
        assign_all(named_variables(network), arrays, "a file")
    for name, array in arrays_of(network).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.fixture(scope="module")
def snapshot():
    """The Snapshot of a generator with a noise of three numbers."""
    return Snapshot("a file", None, 2, arrays_of(build_generator(3, 2)))


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_generator_is_built_for_the_noise_of_its_snapshot(snapshot, kind):
    arrays = {name: array.astype(kind) for name, array in snapshot.arrays.items()}
    generator = load_generator(snapshot._replace(arrays=arrays))
    assert generator.input_shape == (None, 3) and generator.get_layer("code").num_codes == 2
    for name, variable in named_variables(generator).items():
        assert variable.dtype == "float32"
        np.testing.assert_array_equal(variable, arrays[name].astype(np.float32))


EDITS = {  # of models.py: what the error says, and how the generator changes
    "layer 12 was .* lr_multiplier=10, and is .* lr_multiplier=5": ("pixels", "lr_multiplier", 5),
    "layer 1 was DiscreteCode scale=6.0, and is DiscreteCode scale=3": ("code", "scale", 3),
    "layer 13 was missing, and is ReLU": None,
}


@pytest.mark.parametrize("says", EDITS)
@pytest.mark.parametrize("is_described", [True, False])
def test_a_snapshot_of_another_network_is_refused_by_the_layer(snapshot, says, is_described):
    """Weights that fit are not enough; snapshots that lack a description have today's layers."""

    def build_edited(*arguments):
        generator = build_generator(*arguments)
        if not EDITS[says]:
            return keras.Model(generator.inputs, keras.layers.ReLU()(generator.outputs[0]))
        name, number, value = EDITS[says]
        setattr(generator.get_layer(name), number, value)
        return generator

    if is_described:
        snapshot = snapshot._replace(layers=describe_layers(build_generator(3, 2)))
    load_generator(snapshot)
    networks = types.SimpleNamespace(build_generator=build_edited)
    with pytest.raises(UserError, match=f"a file: comes from another network: {says}"):
        load_generator(snapshot, networks)
    load_generator(snapshot._replace(layers=describe_layers(build_edited(3, 2))), networks)


REWIRED = {  # how a small network is connected, and what is said of it
    "layer 1 was Dense, and is Dense of input 2": {"first": 1},
    "layer 3 was Add of 1, 2, and is Add of input 2, 2": {"added": 1},
    "layer 4 was outputs 2, 3, and is outputs 3, 2": {"order": -1},
}


@pytest.mark.parametrize("says", REWIRED)
def test_layers_that_are_connected_in_another_way_are_refused(says):
    def build(first=0, added=2, order=1):
        inputs = [keras.Input((3,)), keras.Input((3,))]
        hidden = keras.layers.Dense(3)(inputs[first])
        outputs = [keras.layers.Dense(3)(hidden)]
        outputs.append([*inputs, hidden][added] + outputs[0])
        return keras.Model(inputs, outputs[::order])

    check_layers(build(), describe_layers(build()), "a file")
    with pytest.raises(UserError, match=says):
        check_layers(build(**REWIRED[says]), describe_layers(build()), "a file")
    earlier = np.frombuffer(b"Dense, Dense", np.uint8)  # which does not say how they are connected
    check_layers(build(**REWIRED[says]), earlier, "a file")


def test_a_network_is_described_alike_in_both_precisions_and_as_a_list():
    described = describe_layers(build_discriminator(num_codes=3))
    keras.config.set_dtype_policy("mixed_bfloat16")
    half = build_discriminator(num_codes=3)
    keras.config.set_dtype_policy("float32")
    check_layers(half, described, "a file")
    added = keras.Sequential()
    for layer in small_network().layers:
        added.add(layer)
    check_layers(added, describe_layers(small_network()), "a file")


def test_what_is_no_generator_or_not_finite_is_refused(snapshot):
    # The larger shape would take the memory of a whole machine.
    for name, shape in (("kernel", 3), ("dense/kernel", (0, 12544)), ("dense/kernel", (10**9, 0))):
        with pytest.raises(UserError, match="a file: is not a generator snapshot"):
            load_generator(snapshot._replace(arrays={name: np.empty(shape)}))
    bad = {"dense/kernel": snapshot.arrays["dense/kernel"] * np.nan}
    with pytest.raises(UserError, match="a file: not finite: dense/kernel"):
        load_generator(snapshot._replace(arrays=snapshot.arrays | bad))
