"""Our layers as stock Keras 3 ones: a network that any backend runs without this repository."""

import keras

import layers
from cli import UserError


def fold(network, input_name, output_names, batch_size=None):
    """The network, as it is outside training, as a keras.Model of stock layers and operations only.

    Its input is float32 (batch_size, ...). Its output is one tensor, or a dictionary if there are
    several `output_names`. Raises UserError for a layer without a stock counterpart.
    """
    folded = keras.models.clone_model(
        keras.Model(network.inputs[0], network.outputs, name=network.name),
        keras.Input(network.input_shape[1:], batch_size, name=input_name),
        clone_function=lambda layer: layer,
        call_function=apply_folded,
    )
    outputs = {
        name: keras.layers.Identity(name=name)(output)
        for name, output in zip(output_names, folded.outputs)
    }
    if len(outputs) == 1:
        [outputs] = outputs.values()
    return keras.Model(folded.inputs[0], outputs, name=network.name)


def apply_folded(operation, x, *args, **options):
    """The outputs of a layer's counterpart, or of an operation of keras.ops, for x."""
    if not isinstance(operation, keras.layers.Layer):
        return operation(x, *args, **options)
    return folding_of(operation)(operation, x)


def folding_of(layer):
    """The function (layer, x) -> outputs that folds this kind of layer; raises UserError."""
    kind = type(layer)
    if kind in FOLDINGS:
        return FOLDINGS[kind]
    # A Lambda holds code, which safe mode refuses to load.
    if getattr(keras.layers, kind.__name__, None) is kind and kind is not keras.layers.Lambda:
        return copy
    raise UserError(
        f"layer {layer.name!r} ({kind.__name__}) has no counterpart in stock Keras; add one to "
        "FOLDINGS in storage/folding.py, or export to another format"
    )


def copy(layer, x):
    """A layer that is stock already."""
    return with_weights(type(layer).from_config(layer.get_config()), x, layer.get_weights())


def fold_dense(layer, x):
    """layers.Dense: the multipliers are folded into the kernel and the bias."""
    options = {"use_bias": layer.use_bias, "activation": layer.activation, "name": layer.name}
    return with_weights(keras.layers.Dense(layer.units, **options), x, folded_weights(layer))


def fold_convolution(layer, x):
    """layers.Conv2D and layers.Conv2DTranspose, likewise."""
    stock = keras.layers.Conv2D
    if isinstance(layer, keras.layers.Conv2DTranspose):
        stock = keras.layers.Conv2DTranspose
    options = {"use_bias": layer.use_bias, "activation": layer.activation, "name": layer.name}
    new = stock(layer.filters, layer.kernel_size, layer.strides, layer.padding, **options)
    return with_weights(new, x, folded_weights(layer))


def fold_normalisation(layer, x):
    """layers.BatchNormalization, which differs from Keras' own only in training."""
    options = {"momentum": layer.momentum, "epsilon": layer.epsilon, "name": layer.name}
    return with_weights(keras.layers.BatchNormalization(**options), x, layer.get_weights())


def fold_code(layer, x):
    """layers.DiscreteCode, which becomes operations of Keras."""
    if not layer.num_codes:
        return x
    codes = keras.ops.argmax(x[:, : layer.num_codes], axis=1)
    one_hot = layer.scale * keras.ops.one_hot(codes, layer.num_codes)
    return keras.ops.concatenate([one_hot, x[:, layer.num_codes :]], axis=1)


def folded_weights(layer):
    """The kernel and the bias, if any, of a layers.LearningRateMultiplier, as they are used."""
    multipliers = (layer.lr_multiplier, layer.bias_lr_multiplier)
    return [array * multiplier for array, multiplier in zip(layer.get_weights(), multipliers)]


def with_weights(layer, x, arrays):
    """The outputs of a new layer for x, once it has these weights."""
    outputs = layer(x)
    if arrays:
        layer.set_weights(arrays)
    return outputs


FOLDINGS = {
    layers.DiscreteCode: fold_code,
    layers.Dense: fold_dense,
    layers.Conv2D: fold_convolution,
    layers.Conv2DTranspose: fold_convolution,
    layers.BatchNormalization: fold_normalisation,
}
