"""Our layers as stock Keras 3 ones: a network that any backend runs without this repository."""

import keras

import layers
from cli import UserError

FOLDINGS = {  # our layers that differ from stock ones only in training, except for the multipliers
    layers.Dense: keras.layers.Dense,
    layers.Conv2D: keras.layers.Conv2D,
    layers.Conv2DTranspose: keras.layers.Conv2DTranspose,
    layers.BatchNormalization: keras.layers.BatchNormalization,
}
TRAINING_ONLY = ("kernel_initializer", "synchronized")  # in the configuration of these layers


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
    kind = type(operation)
    if kind is layers.DiscreteCode:
        return fold_code(operation, x)
    stock = FOLDINGS.get(kind, kind)
    # A Lambda holds code, which safe mode refuses to load.
    if getattr(keras.layers, stock.__name__, None) is not stock or stock is keras.layers.Lambda:
        raise UserError(
            f"layer {operation.name!r} ({kind.__name__}) has no counterpart in stock Keras; add "
            "one to FOLDINGS in storage/folding.py, or export to another format"
        )
    config, weights = operation.get_config(), operation.get_weights()
    folded = stock.from_config({key: config[key] for key in config if key not in TRAINING_ONLY})
    outputs = folded(x)
    if isinstance(operation, layers.LearningRateMultiplier):
        multipliers = (operation.lr_multiplier, operation.bias_lr_multiplier)
        weights = [array * multiplier for array, multiplier in zip(weights, multipliers)]
    folded.set_weights(weights)
    return outputs


def fold_code(layer, x):
    """layers.DiscreteCode in operations of Keras."""
    if not layer.num_codes:
        return x
    codes = keras.ops.argmax(x[:, : layer.num_codes] + layer.bias.numpy(), axis=1)
    one_hot = layer.scale * keras.ops.one_hot(codes, layer.num_codes)
    return keras.ops.concatenate([one_hot, x[:, layer.num_codes :]], axis=1)
