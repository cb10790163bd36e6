"""Weights by name: a network's or an optimizer's variables to arrays and back."""

import hashlib
import itertools

import keras
import numpy as np

import models
from cli import UserError
from config import LARGEST_NOISE_DIM

# Attributes of layers that decide what the same weights compute, and their usual values.
NUMBERS = {
    "activation": keras.activations.linear,
    "bias_lr_multiplier": 1,
    "epsilon": 0.001,
    "interpolation": "nearest",
    "lr_multiplier": 1,
    "negative_slope": 0,
    "scale": 1,
}
# The layers of a generator whose snapshot, from before they were described, does not say.
FORMERLY = (
    b"DiscreteCode scale=6.0, Dense, Reshape, BatchNormalization, ReLU, Conv2DTranspose, "
    b"BatchNormalization, ReLU, Conv2DTranspose, BatchNormalization, ReLU, "
    b"Conv2DTranspose activation=tanh lr_multiplier=10"
)


def named_variables(holder):
    """Weights of a network, or variables of an optimizer, by layer and name: dense/kernel."""
    variables = holder.weights if isinstance(holder, keras.Model) else holder.variables
    return {"/".join(variable.path.split("/")[-2:]): variable for variable in variables}


def assign_all(variables, arrays, source):
    """Give each named variable its array; raises UserError, naming one, unless all fit.

    Arrays of earlier versions lack the codes' biases, which were 0.
    """
    biases = {name: variables[name].numpy() for name in variables if name.endswith("code/bias")}
    arrays = {name: np.zeros_like(bias) for name, bias in biases.items()} | arrays

    def outline(array):
        """Shape and kind ('f' float, 'i' integer) of an array, of any width."""
        return (*array.shape, array.dtype.kind)

    for name in sorted(variables.keys() | arrays.keys()):
        wanted = outline(variables[name].numpy()) if name in variables else "nothing"
        found = outline(arrays[name]) if name in arrays else "nothing"
        if wanted != found:
            raise UserError(
                f"{source}: does not fit this network: {name} is {found}, expected {wanted}; "
                f"another version of the code wrote it (here is Keras {keras.__version__})"
            )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def describe_layers(network):
    """Its layers and operations, and the numbers of those whose outputs each takes.

    These are left out where it takes only the output of the one before. Text, as uint8 (length,).
    """
    if not hasattr(network, "operations"):  # a Sequential is a chain; subclassed models do not say
        return np.frombuffer(describe_chain(network).encode(), np.uint8)
    names = {id(each): f"input {number}" for number, each in enumerate(network.inputs, 1)}

    def names_of(tensors):
        """Where tensors come from; of a layer's calls only the first is known."""
        return ", ".join(
            names.get(id(each), "another call") for each in keras.tree.flatten(tensors)
        )

    descriptions, last = [], "input 1"
    for operation in network.operations:
        if isinstance(operation, keras.layers.InputLayer):
            continue
        taken = names_of(operation.input)
        if type(operation).__name__ == "Cast":  # which Keras adds for bfloat16
            names[id(operation.output)] = taken
            continue
        descriptions.append(describe(operation) + (f" of {taken}" if taken != last else ""))
        last = str(len(descriptions))
        names |= {id(each): last for each in keras.tree.flatten(operation.output)}
    if names_of(network.outputs) != last:
        descriptions.append(f"outputs {names_of(network.outputs)}")
    return np.frombuffer("; ".join(descriptions).encode(), np.uint8)


def describe_chain(network):
    """Its layers as text, except those that stand for inputs, and not how they are connected."""
    layers = (each for each in network.layers if not isinstance(each, keras.layers.InputLayer))
    return "; ".join(map(describe, layers))


def describe(operation):
    """The kind of a layer or operation, and those of its NUMBERS that are not the usual ones."""
    words = [type(operation).__name__]
    for name, usual in NUMBERS.items():
        value = getattr(operation, name, usual)
        if value != usual:
            words.append(f"{name}={getattr(value, '__name__', value)}")
    return " ".join(words)


def check_layers(network, described, source):
    """Raise UserError, naming one, unless the network has the layers that were described."""
    before = bytes(described).decode(errors="replace")
    if ";" in before:
        now = bytes(describe_layers(network)).decode()
    else:  # earlier versions described the layers alone
        before, now = before.replace(",", ";"), describe_chain(network)
    both = itertools.zip_longest(before.split("; "), now.split("; "))
    for number, (old, new) in enumerate(both, 1):
        if old != new:
            raise UserError(
                f"{source}: comes from another network: layer {number} was {old or 'missing'}, "
                f"and is {new or 'missing'} in models.py; undo that edit, or train another --run "
                f"(here is Keras {keras.__version__})"
            )


def weights_sha256(network):
    """SHA-256 of a network's weights and their names, except those of zeros, in hexadecimal."""
    sha256 = hashlib.sha256()
    for name, variable in sorted(named_variables(network).items()):
        array = np.asarray(variable.numpy(), "<f4")
        if array.any():  # older generators have no bias of codes, which is 0
            sha256.update(name.encode() + array.tobytes())
    return sha256.hexdigest()


def load_generator(snapshot, networks=None):
    """A generator with the weights of a Snapshot; raises UserError when they do not fit.

    `networks` has the function build_generator that it was trained with; by default it is models.
    """
    kernel = snapshot.arrays.get("dense/kernel")
    if kernel is None or kernel.ndim != 2 or not 0 < kernel.shape[0] <= LARGEST_NOISE_DIM:
        raise UserError(f"{snapshot}: is not a generator snapshot (no dense/kernel that fits)")
    noise_dim, num_codes = kernel.shape[0], snapshot.num_codes
    if num_codes > noise_dim:
        raise UserError(f"{snapshot}: has more codes ({num_codes}) than noise ({noise_dim})")
    generator = (networks or models).build_generator(noise_dim, num_codes)
    check_layers(generator, FORMERLY if snapshot.layers is None else snapshot.layers, snapshot)
    assign_all(named_variables(generator), snapshot.arrays, snapshot)
    bad = [name for name, array in snapshot.arrays.items() if not np.isfinite(array).all()]
    if bad:
        raise UserError(f"{snapshot}: not finite: {', '.join(bad[:3])}; draw with another run")
    return generator
