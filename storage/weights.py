"""Weights by name: a network's or an optimizer's variables to arrays and back."""

import hashlib

import keras
import numpy as np

from cli import UserError
from config import LARGEST_NOISE_DIM
from models import build_generator
from storage.runs import read_num_codes


def named_variables(holder):
    """Weights of a network, or variables of an optimizer, by layer and name: dense/kernel."""
    variables = holder.weights if isinstance(holder, keras.Model) else holder.variables
    return {"/".join(variable.path.split("/")[-2:]): variable for variable in variables}


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


def weights_sha256(network):
    """SHA-256 of a network's weights and their names, in hexadecimal."""
    sha256 = hashlib.sha256()
    for name, variable in sorted(named_variables(network).items()):
        sha256.update(name.encode() + np.asarray(variable.numpy(), "<f4").tobytes())
    return sha256.hexdigest()


def load_generator(arrays, source):
    """A generator with the weights of a snapshot; raises UserError when they do not fit."""
    kernel = arrays.get("dense/kernel")
    if kernel is None or kernel.ndim != 2 or not 0 < kernel.shape[0] <= LARGEST_NOISE_DIM:
        raise UserError(f"{source}: is not a generator snapshot (no dense/kernel that fits)")
    num_codes = read_num_codes(arrays, source)
    if num_codes > kernel.shape[0]:
        raise UserError(f"{source}: has more codes ({num_codes}) than noise ({kernel.shape[0]})")
    generator = build_generator(kernel.shape[0], num_codes)
    weights = {name: array for name, array in arrays.items() if name != "num_codes"}
    assign_all(named_variables(generator), weights, source)
    bad = [name for name, array in weights.items() if not np.isfinite(array).all()]
    if bad:
        raise UserError(f"{source}: no longer finite: {', '.join(bad[:3])}; draw with another run")
    return generator
