"""Loading TensorFlow, which takes seconds: quietly, and only once the settings are known good."""

import contextlib
import ctypes
import faulthandler
import os
import re
import subprocess
import sys
import tempfile
from importlib import metadata

from cli import UserError
from config import REPOSITORY
from machine.command import pip_command

# Files of NVIDIA's driver on Linux and in WSL.
DRIVER = ("/proc/driver/nvidia/version", "/usr/lib/wsl/lib/libnvidia-ml.so.1")
# Optional packages that TensorFlow and Keras import when installed, for features not used here;
# matplotlib alone is a fifth of the time of `generate_digits.py`.
UNUSED = ("jax", "matplotlib", "sklearn")


@contextlib.contextmanager
def importing_tensorflow(use_gpu=False):
    """Load TensorFlow and hide what its native code prints meanwhile, unless loading fails.

    TF_CPP_MIN_LOG_LEVEL=0 shows it all. Unless `use_gpu`, GPUs stay unused. oneDNN is
    switched on, which TensorFlow otherwise leaves off on processors without AVX-512: a training
    step there takes 1.3 to 1.5 times as long without it. Raises UserError when TensorFlow or Keras
    cannot be loaded.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    check_memory()
    if has_driver():
        from machine import gpu

        gpu.prepare()
    with hidden_messages():
        load_keras()
        if not use_gpu:
            hide_gpus()
        yield


def has_driver():
    """Whether NVIDIA's driver is here, or has been shared with this container."""
    try:
        ctypes.CDLL("libcuda.so.1")
        return True
    except OSError:
        return any(map(os.path.exists, DRIVER))


def check_memory():
    """Raise UserError where the shell allows too little memory, where TensorFlow would crash."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, flag, least in ((resource.RLIMIT_AS, "-v", 2.0), (resource.RLIMIT_DATA, "-d", 0.6)):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and limit < least * 1e9:
            raise UserError(
                f"out of memory: {least:g} GB are needed, and this shell allows "
                f"{limit / 1e9:.1f} GB (ulimit {flag}); use one that allows more"
            )


def load_keras():
    """Load TensorFlow, and Keras with the settings that this code is written for.

    The user's own settings (keras.json in ~/.keras or KERAS_HOME, KERAS_BACKEND and the like) are
    hidden from Keras while it loads; they may differ from what this code needs, or be broken.
    """
    try:
        tempfile.gettempdir()
    except OSError:  # no temporary folder; TensorFlow still needs a path
        tempfile.tempdir = os.curdir
    own = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("KERAS_")}
    os.environ |= {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull}
    hidden = dict.fromkeys(name for name in UNUSED if name not in sys.modules)
    sys.modules |= hidden  # import treats None as a missing module
    try:
        import keras
        import tensorflow  # noqa: F401
    except Exception as error:  # its libraries fail in many ways where their versions differ
        raise UserError(explain(error)) from error
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
        del os.environ["KERAS_BACKEND"], os.environ["KERAS_HOME"]
        os.environ |= own
    if keras.config.backend() != "tensorflow":  # loaded before us, in a notebook
        raise UserError(
            f"Keras is already in use here with the backend {keras.config.backend()}; restart "
            "Python (in a notebook, its kernel) and run this first, or set KERAS_BACKEND=tensorflow"
        )
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_dtype_policy("float32")


def explain(error):
    """Why TensorFlow or Keras cannot be loaded, and what to do about it."""
    reason = " ".join(str(error).split())[:200]
    reason = f"TensorFlow or Keras cannot be loaded ({type(error).__name__}: {reason})"
    plugins = {
        package.name
        for package in metadata.distributions()
        for file in package.files or ()
        if file.parts[0] == "tensorflow-plugins" and file.name in str(error)
    }
    if plugins:
        remove = pip_command("uninstall", "-y", *sorted(plugins))
        return f"{reason}: a plugin does not fit this TensorFlow; remove it: {remove}"
    return f"{reason}; try: {pip_command('install', '-r', REPOSITORY / 'requirements.txt')}"


def shortened(error):
    """A TensorFlow error in one line, without the nodes of the graph that it names."""
    text = re.sub(r"\{\{function_node.*?\}\} *| \[Op:.*", "", str(error))
    if of_node := re.search(r"(.+)\n\s*\[\[", text):  # after the stack of where it was traced
        text = of_node[1]
    return f"{type(error).__name__}: {' '.join(text.split())[:200]}"


@contextlib.contextmanager
def hidden_messages():
    """Hide what native code writes to standard error; show the last of it if the block fails.

    It is shown after a crash too, with a traceback, but not after a UserError or Ctrl-C. With
    TF_CPP_MIN_LOG_LEVEL below 3 nothing is hidden.
    """
    tail = None
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
        tail = start_tail()
    if tail is None:
        yield
        return
    stderr = os.dup(2)
    os.dup2(tail.stdin.fileno(), 2)
    tail.stdin.close()
    if traces_crashes := not faulthandler.is_enabled():
        faulthandler.enable(2)
    try:
        yield
        tail.kill()
    except (UserError, KeyboardInterrupt):
        tail.kill()
        raise
    finally:
        if traces_crashes:
            faulthandler.disable()
        os.dup2(stderr, 2)  # which ends what tail reads
        os.close(stderr)
        tail.wait()


def start_tail():
    """A `tail` process that prints the last lines of its stdin, even after a crash.

    None where it cannot be started, as on Windows.
    """
    try:
        os.fstat(2)
        # In a session of its own, so that Ctrl-C reaches only us.
        return subprocess.Popen(
            ["tail", "-n", "1000"], stdin=subprocess.PIPE, stdout=2, start_new_session=True
        )
    except OSError:
        return None


def hide_gpus():
    """Compute on the CPU: sampling is quick enough there, and the same everywhere.

    It has no effect once TensorFlow has computed, as after training.
    """
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")
