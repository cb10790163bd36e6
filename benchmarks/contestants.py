"""This repo's training and that of TensorFlow's tutorial; each function returns one to be timed.

A contestant is a callable that takes a number of steps and returns when they are done.
"""

import functools
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

import data
from config import TrainSettings
from machine.loading import importing_tensorflow

MULTIPLYING = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "MatMul")


def count_flops(function):
    """Floating point operations of the convolutions and matrix products that a call needs.

    A multiplication and an addition count as two. The rest of a step is small beside them, and
    what only some steps do (the penalty) is not counted.
    """
    graph = function.graph
    waiting = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    needed = set()  # gradients that nobody uses are in the graph, but are never computed
    while waiting:
        operation = waiting.pop()
        if operation not in needed:
            needed.add(operation)
            waiting += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
    return sum(map(flops_of, needed))


def flops_of(operation):
    """Twice the multiplications in one convolution or matrix product; 0 for all else."""
    if operation.type not in MULTIPLYING:
        return 0
    result = operation.outputs[0].shape
    if operation.type == "MatMul":
        inner = operation.inputs[0].shape[0 if operation.get_attr("transpose_a") else 1]
        return 2 * result.num_elements() * inner
    if operation.type == "Conv2D":
        kernel, spread = operation.inputs[1].shape, result
    elif operation.type == "Conv2DBackpropInput":
        kernel, spread = operation.inputs[1].shape, operation.inputs[2].shape
    else:
        kernel, spread = result, operation.inputs[2].shape
    # Each place of the smaller, strided side meets the whole kernel.
    return 2 * kernel.num_elements() * spread[0] * spread[1] * spread[2]


def matmul_gflops():
    """The device's best rate for large float32 matrix products (TF32 where it is on), in GFLOP/s.

    Their sum alone leaves the device; a GPU is given a hundred at once.
    """
    import tensorflow as tf

    products, n = 100 if tf.config.get_visible_devices("GPU") else 1, 2048
    a, b = tf.random.normal([products, n, n]), tf.random.normal([n, n])
    multiply = tf.function(lambda: tf.reduce_sum(tf.matmul(a, b)))
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        multiply().numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * products * n**3 / min(seconds) / 1e9


def peak_megabytes():
    """The most memory that this process has held: of the GPU, if it uses one, else of the host."""
    torch, tf = sys.modules.get("torch"), sys.modules.get("tensorflow")
    if torch and torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    if tf and tf.config.get_visible_devices("GPU"):
        return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
    units = 2 ** (20 if sys.platform == "darwin" else 10)  # of the system's, in a megabyte
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units


def ours(batch_size, **settings):
    """This repo's networks and loop, with the script's own settings except those given.

    With `tf32` off, float32 products on an NVIDIA GPU keep all their bits.
    """
    with importing_tensorflow(use_gpu=True):
        import tensorflow as tf

        from sampling.sampler import Sampler
        from training import distributed
        from training.step import Trainer

        settings = TrainSettings(batch_size=batch_size, **settings)
        strategy = distributed.connect(settings)
        pixels = data.load_images(settings.data)
        trainer = Trainer(settings, pixels, strategy, distributed.use_xla(settings, strategy))
        trainer.find_clusters()
    sampler = Sampler(trainer.generator_ema)

    @functools.cache
    def order_of(epoch):
        return data.epoch_order(len(pixels), batch_size, settings.seed, epoch)

    def run(steps):
        while steps:
            epoch, done = divmod(trainer.steps_done, len(pixels) // batch_size)
            order = order_of(epoch)
            count = min(steps, len(order) - done)
            trainer.take_steps(order, count)
            steps -= count

    run.draw = lambda num: np.concatenate([*sampler.sample(num, settings.seed)])
    run.flops = lambda: count_flops(
        trainer.replica_step.get_concrete_function(
            [tf.TensorSpec([batch_size, 28, 28], tf.uint8), tf.TensorSpec([batch_size], tf.int64)],
            tf.TensorSpec([batch_size, settings.noise_dim], tf.float32),
            tf.TensorSpec([], tf.int64),
            tf.TensorSpec([], tf.bool),
        )
    )
    return run


def tutorial(batch_size, seed=0, ema_decay=0.0):
    """The network and loop of TensorFlow's DCGAN tutorial, written anew from its description.

    100-d noise; 5x5 kernels; generator 256, 128, 64 with leaky ReLU; discriminator 64, 128 with
    dropout 0.3; Keras' Adam 1e-4 as it comes; tf.data; one Python call a step. With `ema_decay`,
    an EMA of the generator's variables is kept too, which the tutorial does not have: `draw_ema`
    draws with it.
    """
    with importing_tensorflow(use_gpu=True):
        import keras
        import tensorflow as tf
        from keras import layers

    keras.utils.set_random_seed(seed)
    generator = keras.Sequential([keras.Input((100,)), layers.Dense(7 * 7 * 256, use_bias=False)])
    generator.add(layers.BatchNormalization())
    generator.add(layers.LeakyReLU())
    generator.add(layers.Reshape((7, 7, 256)))
    for filters, strides in ((128, 1), (64, 2)):
        generator.add(layers.Conv2DTranspose(filters, 5, strides, padding="same", use_bias=False))
        generator.add(layers.BatchNormalization())
        generator.add(layers.LeakyReLU())
    last = layers.Conv2DTranspose(1, 5, 2, padding="same", use_bias=False, activation="tanh")
    generator.add(last)
    discriminator = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in (64, 128):
        discriminator.add(layers.Conv2D(filters, 5, 2, padding="same"))
        discriminator.add(layers.LeakyReLU())
        discriminator.add(layers.Dropout(0.3))
    discriminator.add(layers.Flatten())
    discriminator.add(layers.Dense(1))
    averaged = keras.models.clone_model(generator)

    g_adam, d_adam = keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4)
    crossentropy = keras.losses.BinaryCrossentropy(from_logits=True)
    pixels = data.to_model_range(data.load_images(TrainSettings().data).astype(np.float32))
    batches = tf.data.Dataset.from_tensor_slices(pixels[..., None]).shuffle(60000)
    batches = iter(batches.batch(batch_size, drop_remainder=True).repeat())

    @tf.function
    def step(real):
        noise = tf.random.normal([batch_size, 100])
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fake = generator(noise, training=True)
            on_real, on_fake = (discriminator(x, training=True) for x in (real, fake))
            g_loss = crossentropy(tf.ones_like(on_fake), on_fake)
            d_loss = crossentropy(tf.ones_like(on_real), on_real)
            d_loss += crossentropy(tf.zeros_like(on_fake), on_fake)
        variables = generator.trainable_variables, discriminator.trainable_variables
        g_adam.apply_gradients(zip(g_tape.gradient(g_loss, variables[0]), variables[0]))
        d_adam.apply_gradients(zip(d_tape.gradient(d_loss, variables[1]), variables[1]))
        if ema_decay:
            steps = tf.cast(g_adam.iterations.value, tf.float32)
            decay = tf.minimum(ema_decay, (1 + steps) / (10 + steps))
            for ema, new in zip(averaged.variables, generator.variables):
                ema.assign_sub((1 - decay) * (ema - new))
        return g_loss

    def run(steps):
        for _ in range(steps):
            loss = step(next(batches))
        loss.numpy()

    def draw_with(network, num):
        noise = tf.random.stateless_normal([num, 100], [0, 0])
        digits = [network(z, training=False) for z in tf.split(noise, num // 100)]
        return data.to_pixels(tf.concat(digits, 0)[..., 0])

    run.draw = functools.partial(draw_with, generator)
    run.draw_ema = functools.partial(draw_with, averaged)
    run.flops = lambda: count_flops(
        step.get_concrete_function(tf.TensorSpec([batch_size, 28, 28, 1], tf.float32))
    )
    return run
