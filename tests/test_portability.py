"""Other people's machines: their settings, packages, streams."""

import io
import json
import os
import resource
import signal
import subprocess
import sys

import keras
import pytest

from cli import UserError
from config import REPOSITORY
from helpers import SMALL, one_line, roots, run_script
from machine import command, loading
from storage import images

NO_HOME = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc/nowhere']"
NOWHERE = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "TMPDIR")
WINDOWS = "import signal, sys; sys.modules['fcntl'] = None; del signal.SIGHUP, signal.SIGUSR1"
MACHINES = {
    "Keras' settings": ("", {"KERAS_BACKEND": "jax", "KERAS_MAX_EPOCHS": "x"}),
    "no home": (NO_HOME, dict.fromkeys(NOWHERE, "/proc/nowhere")),
    "Windows": (WINDOWS, {}),
}


@pytest.fixture(scope="module")
def expected_picture(tmp_path_factory):
    """What the generator that ships draws here."""
    path = tmp_path_factory.mktemp("expected") / "a.png"
    finished = run_script("generate_digits.py", "--run", "pretrained", "--output", path)
    assert finished.returncode == 0, finished.stderr
    return path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("kind", MACHINES)
def test_drawing_works_on_every_machine(kind, tmp_path, expected_picture):
    stub, env = MACHINES[kind]
    hostile = {"image_data_format": "channels_first", "backend": "torch", "epsilon": "none"}
    (tmp_path / "keras.json").write_text(json.dumps(hostile))
    path = tmp_path / "a.png"
    options = dict(stub=stub, stub_folder=tmp_path / "stub", cwd=tmp_path)
    options |= dict(env={"KERAS_HOME": str(tmp_path)} | env)
    finished = run_script("generate_digits.py", "--run", "pretrained", "--output", path, **options)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == "" and path.read_bytes() == expected_picture


def test_keras_in_use_gets_our_settings_or_is_told_of_its_backend(monkeypatch):
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_float16")
    loading.load_keras()
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.dtype_policy().name == keras.config.floatx() == "float32"
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(UserError, match=r"backend jax.*KERAS_BACKEND=tensorflow"):
        loading.load_keras()


def test_matplotlib_without_a_folder_is_one_line(monkeypatch):
    class Finder:
        def find_spec(self, name, *_):
            if name.startswith("matplotlib"):
                raise OSError("Matplotlib requires access to a writable cache directory")

    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(UserError, match="MPLCONFIGDIR"), images.plain_matplotlib():
        pass


def test_training_on_windows_says_what_it_needs(tmp_path):
    finished = run_script("train_dcgan.py", stub=WINDOWS, stub_folder=tmp_path)
    assert finished.returncode == 2 and "WSL" in one_line(finished.stderr)


CHATTER = r"I0000 00:00:1.1 1 cudart_stub.cc:31] Could not find cuda drivers\n"
FATAL = r"F0000 00:00:1.1 1 cpu_feature_guard.cc] compiled to use AVX instructions\n"


def test_a_crash_of_tensorflow_while_it_loads_is_shown(tmp_path):
    crash = f"import os; os.write(2, b'{CHATTER}{FATAL}'); os.abort()"
    (tmp_path / "tensorflow.py").write_text(crash)
    options = dict(stub=NO_HOME, stub_folder=tmp_path, cwd=tmp_path)
    options |= dict(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
    finished = run_script("generate_digits.py", **options)
    assert finished.returncode == -signal.SIGABRT
    assert "compiled to use AVX instructions" in finished.stderr
    assert "Fatal Python error: Aborted" in finished.stderr  # and where


BROKEN = {
    "numpy": "raise ModuleNotFoundError('No module named x', name='numpy')",
    "imageio": "raise ImportError('libx.so: cannot open shared\\nobject file')",  # without a name
    "tensorflow": "raise ModuleNotFoundError('No module named x', name='tensorflow')",
    "keras": "raise TypeError('Descriptors cannot be created directly.\\nSee ...')",
}


@pytest.mark.parametrize("package", BROKEN)
def test_a_missing_or_broken_package_is_one_line(package, tmp_path):
    (tmp_path / f"{package}.py").write_text(BROKEN[package])
    finished = run_script("generate_digits.py", stub="#", stub_folder=tmp_path, cwd=tmp_path)
    expected = command.pip_command("install", "-r", REPOSITORY / "requirements.txt")
    assert finished.returncode == 2 and one_line(finished.stderr).endswith(expected)


def test_a_plugin_that_does_not_fit_is_named_with_its_removal(tmp_path):
    plugin = "tensorflow-plugins/libmetal_plugin.dylib"
    error = f"raise RuntimeError('dlopen(/x/{plugin}, 0x0006): Symbol not found: _x')"
    (tmp_path / "tensorflow.py").write_text(error)
    folder = tmp_path / "tensorflow_metal-1.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorflow-metal\nVersion: 1")
    (folder / "RECORD").write_text(f"{plugin},,\n")
    finished = run_script("generate_digits.py", stub="#", stub_folder=tmp_path, cwd=tmp_path)
    expected = command.pip_command("uninstall", "-y", "tensorflow-metal")
    assert finished.returncode == 2 and one_line(finished.stderr).endswith(expected)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has other limits")
@pytest.mark.parametrize(
    ("kind", "limit", "least"),
    [("RLIMIT_AS", 15 * 10**8, "2 GB"), ("RLIMIT_DATA", 5 * 10**8, "0.6 GB")],
)
def test_a_shell_that_allows_too_little_memory_is_told_what_is_needed(kind, limit, least, tmp_path):
    def limit_memory():
        resource.setrlimit(getattr(resource, kind), (limit, limit))

    finished = run_script("generate_digits.py", cwd=tmp_path, preexec_fn=limit_memory)
    assert finished.returncode == 2
    assert f"out of memory: {least} are needed" in one_line(finished.stderr)


def test_what_an_output_cannot_print_is_escaped(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    command.make_output_safe()
    print("FID\u221e \udcff", flush=True)
    assert written.getvalue() == rb"FID\u221e \udcff" + os.linesep.encode()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["closed", "full", "a pipe that nobody reads"])
@pytest.mark.parametrize("script", ["train_dcgan.py", "generate_digits.py"])
def test_a_command_goes_on_without_its_output(script, kind, tmp_path, data_path):
    words = ["--data", data_path, *SMALL, *roots(tmp_path), "--epochs", 2]
    made = tmp_path / "samples" / "small" / "epoch-0002.png"
    if script == "generate_digits.py":
        made = tmp_path / "a.npz"
        words = ["--num_samples", 300, "--output", made, "--run", "pretrained"]
    if kind == "full" and not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    full = open("/dev/full" if kind == "full" else os.devnull, "w")
    unread, pipe = os.pipe()
    os.close(unread)
    options = {
        "closed": {"preexec_fn": lambda: os.close(1)},
        "full": {"stdout": full},
        "a pipe that nobody reads": {"stdout": pipe},
    }[kind]
    options |= {"stderr": subprocess.PIPE, "capture_output": False}
    finished = run_script(script, *words, **options)
    os.close(pipe)
    full.close()
    assert finished.returncode == 0 and finished.stderr == ""
    assert made.exists()
