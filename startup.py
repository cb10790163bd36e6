"""Loading TensorFlow, which takes seconds: quietly, and only once the settings are known good."""

import contextlib
import os
import tempfile

from cli import UserError


@contextlib.contextmanager
def importing_tensorflow(use_gpu=False):
    """Hide what TensorFlow's native code prints while it loads, unless loading fails.

    TF_CPP_MIN_LOG_LEVEL=0 shows it all. Unless `use_gpu`, GPUs stay unused. oneDNN is
    switched on, which TensorFlow otherwise leaves off on processors without AVX-512: a training
    step there takes 1.3 to 1.5 times as long without.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    with hidden_messages():
        yield
        if not use_gpu:
            leave_gpus()


@contextlib.contextmanager
def hidden_messages():
    """Hold back what native code writes to standard error; show it if an error ends the block.

    TF_CPP_MIN_LOG_LEVEL below 3 has it shown as it comes.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        yield
        return
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except UserError:
            raise
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def leave_gpus():
    """Compute on the CPU: sampling is quick enough there, and the same everywhere.

    In a process that has already computed, one that trained before it draws, it is too late.
    """
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
