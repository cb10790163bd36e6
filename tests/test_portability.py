"""Other people's machines: their settings, file systems, streams, schedulers, devices, versions.

Faults that are not at hand are emulated: by code that runs before a script (sitecustomize), by a
stub in the place of a package, or by a function that fails as the system's would. So are macOS and
Windows.
"""

import errno
import fcntl
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from machines import MNIST, REPOSITORY, one_line, roots, run_script

sys.path.insert(0, str(REPOSITORY))

import cli
import evaluate_digits
import export_generator
import startup
import train_dcgan
from cli import UserError
from config import EvaluateSettings, ExportSettings, TrainSettings
from storage import exports, files, images, runs
from training import cluster, strategies
from training.interruption import Interruption

TINY = ["--batch_size", "40", "--evaluate_every", "0", "--run", "tiny"]
SCRIPTS = ["train_dcgan", "generate_digits", "evaluate_digits", "export_generator"]
SCRIPTS += ["train_classifier"]


@pytest.fixture(scope="module")
def data_path(tmp_path_factory):
    """An .npz with 200 digits."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    with np.load(MNIST) as arrays:
        np.savez(path, x_train=arrays["x_train"][:200])
    return path


def train(folder, data_path, *words):
    """The exit status of training a tiny run inside `folder`, in this process."""
    words = [*TINY, "--data", data_path, *roots(folder), *words]
    return train_dcgan.main([*map(str, words)])


def open_run(folder, **settings):
    """A Run inside `folder`, to be entered."""
    return runs.Run(
        TrainSettings(checkpoints_dir=f"{folder}/c", samples_dir=f"{folder}/s", **settings)
    )


def failing(number):
    """A function that fails as the operating system says `number`."""

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


# What a person has set: Keras' own settings, no home, Windows.

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


@pytest.mark.parametrize("kind", MACHINES)
def test_drawing_works_on_every_machine(kind, tmp_path, expected_picture):
    stub, env = MACHINES[kind]
    keras = tmp_path / "keras"
    keras.mkdir()
    hostile = {"image_data_format": "channels_first", "backend": "torch", "floatx": "float16"}
    (keras / "keras.json").write_text(json.dumps(hostile | {"epsilon": "none"}))
    path = tmp_path / "a.png"
    finished = run_script(
        "generate_digits.py",
        *("--run", "pretrained", "--output", path),
        stub=stub,
        stub_folder=tmp_path / "stub",
        env={"KERAS_HOME": str(keras)} | env,
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == "" and path.read_bytes() == expected_picture


def test_keras_in_use_with_another_backend_is_named(monkeypatch):
    import keras

    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(UserError, match=r"backend jax.*KERAS_BACKEND=tensorflow"):
        startup.load_keras()


def test_keras_in_use_with_other_settings_gets_ours():
    import keras

    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_float16")
    startup.load_keras()
    assert keras.config.image_data_format() == "channels_last"
    assert keras.config.dtype_policy().name == keras.config.floatx() == "float32"


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_and_mistakes_need_no_home(script, tmp_path):
    options = dict(
        stub=NO_HOME, stub_folder=tmp_path, env=dict.fromkeys(NOWHERE, "/proc/nowhere"), cwd="/proc"
    )
    finished = run_script(f"{script}.py", "--help", **options)
    assert finished.returncode == 0 and finished.stderr == ""
    finished = run_script(f"{script}.py", "--seed", "x", **options)
    assert finished.returncode == 2 and "--seed" in one_line(finished.stderr)


def test_matplotlib_without_a_folder_is_one_line(monkeypatch):
    class Finder:
        def find_spec(self, name, *_):
            if name.startswith("matplotlib"):
                raise OSError("Matplotlib requires access to a writable cache directory")

    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(UserError, match="MPLCONFIGDIR"):
        images.new_figure()


def test_training_on_windows_says_what_it_needs(tmp_path):
    finished = run_script("train_dcgan.py", stub=WINDOWS, stub_folder=tmp_path)
    assert finished.returncode == 2 and "WSL" in one_line(finished.stderr)


def test_signals_and_flushes_that_windows_lacks_are_left_alone(tmp_path, monkeypatch):
    for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"):
        monkeypatch.delattr(signal, name)
    with Interruption() as interruption:
        assert interruption.previous.keys() == {signal.SIGINT, signal.SIGTERM}
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr(files.os, "open", failing(errno.EACCES))  # of a folder
    files.flush(tmp_path)


# Packages that are missing, broken, or crash while they load.

CHATTER = r"I0000 00:00:1.1 1 cudart_stub.cc:31] Could not find cuda drivers\n"
FATAL = r"F0000 00:00:1.1 1 cpu_feature_guard.cc] compiled to use AVX instructions\n"


def test_a_crash_of_tensorflow_while_it_loads_is_shown(tmp_path):
    crash = f"import os; os.write(2, b'{CHATTER}{FATAL}'); os.abort()"
    (tmp_path / "tensorflow.py").write_text(crash)
    finished = run_script(
        "generate_digits.py",
        stub=NO_HOME,
        stub_folder=tmp_path,
        cwd=tmp_path,
        preexec_fn=lambda: __import__("resource").setrlimit(4, (0, 0)),  # no core file
    )
    assert finished.returncode == -signal.SIGABRT
    assert "compiled to use AVX instructions" in finished.stderr
    assert "Fatal Python error: Aborted" in finished.stderr  # and where


def test_messages_are_hidden_where_no_process_can_be_started(monkeypatch, capfd):
    monkeypatch.setattr(startup.subprocess, "Popen", failing(errno.EAGAIN))
    with startup.hidden_messages():
        os.write(2, b"shown, for want of better\n")
    assert "shown" in capfd.readouterr().err


BROKEN = {
    "missing": "raise ModuleNotFoundError('No module named x', name='{}')",
    "another version": "raise TypeError('Descriptors cannot be created directly.\\nSee ...')",
    "a library": "raise ImportError('libx.so: cannot open shared object file', name='{}')",
}


@pytest.mark.parametrize("package", ["numpy", "tqdm", "imageio", "tensorflow", "keras"])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_missing_or_broken_package_is_one_line(package, kind, tmp_path):
    if kind == "another version" and package not in ("tensorflow", "keras"):
        pytest.skip("only protobuf, which TensorFlow needs, fails like this")
    (tmp_path / f"{package}.py").write_text(BROKEN[kind].format(package))
    finished = run_script(
        "generate_digits.py", "--output", tmp_path / "a.png", stub="#", stub_folder=tmp_path
    )
    assert finished.returncode == 2 and "pip install" in one_line(finished.stderr)


@pytest.mark.parametrize("error", [TypeError("Descriptors cannot\nbe created"), ImportError("x")])
def test_an_exporter_that_cannot_be_loaded_is_one_line(error, monkeypatch):
    def fail(_):
        raise error

    monkeypatch.setattr(exports.importlib, "import_module", fail)
    with pytest.raises(UserError, match="pip install") as refusal:
        exports.check_packages("onnx")
    assert "\n" not in str(refusal.value)


# File systems.


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF])
def test_a_file_system_without_flushes_is_written_to(number, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(number))
    for _ in range(2):
        with files.replacing(tmp_path / "a") as file:
            file.write(b"whole")
        with files.taking_place(tmp_path / "b") as whole:
            whole.write_bytes(b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_flush_that_fails_for_good_is_no_success(number, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(number))
    with pytest.raises(UserError, match="cannot be written"), files.replacing(tmp_path / "a"):
        pass


def test_macos_flushes_the_disk_too_where_it_can(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda _, command: calls.append(command))
    monkeypatch.setattr(os, "fsync", lambda _: calls.append("fsync"))
    files.flush(tmp_path)
    monkeypatch.setattr(fcntl, "fcntl", failing(errno.ENOTSUP))
    files.flush(tmp_path)
    assert calls == [51, "fsync"]


NO_LOCKS = [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL]


@pytest.mark.parametrize("number", NO_LOCKS)
def test_without_locks_a_second_process_here_is_refused_and_others_warned_of(
    number, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(fcntl, "flock", failing(number))
    with open_run(tmp_path) as run:
        assert "no locks" in one_line(capfd.readouterr().err)
        with pytest.raises(UserError, match=rf"process {os.getpid()} on .* is training"):
            open_run(tmp_path).__enter__()
    with open_run(tmp_path):
        assert capfd.readouterr().err == ""
    assert (run.folder / "lock").read_text() == ""


STALE = {
    "a process that is gone": {"pid": 2**22 + 7},
    "a number used again": {"pid": os.getpid(), "started": "an earlier boot 7"},
    "no number": {"pid": "x"},
}


@pytest.mark.parametrize("kind", STALE)
def test_stale_locks_are_taken_over(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOSYS))
    (tmp_path / "c" / "digits").mkdir(parents=True)
    owner = {"host": socket.gethostname()} | STALE[kind]
    (tmp_path / "c" / "digits" / "lock").write_text(json.dumps(owner))
    with open_run(tmp_path) as run:
        assert json.loads((run.folder / "lock").read_text())["pid"] == os.getpid()


def test_a_lock_of_another_host_is_named(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOSYS))
    (tmp_path / "c" / "digits").mkdir(parents=True)
    (tmp_path / "c" / "digits" / "lock").write_text('{"host": "node7", "pid": 12}')
    with open_run(tmp_path):
        assert "process 12 on node7" in one_line(capfd.readouterr().err)


@pytest.mark.parametrize("content", ["", "[]", "nonsense", "[" * 10**5, '{"pid": 3}', "\0\xff"])
def test_whatever_a_lock_file_says_the_run_is_locked(content, tmp_path):
    (tmp_path / "c" / "digits").mkdir(parents=True)
    (tmp_path / "c" / "digits" / "lock").write_text(content)
    with open_run(tmp_path), pytest.raises(UserError, match=f"process {os.getpid()} on"):
        open_run(tmp_path).__enter__()


def test_a_training_run_where_nothing_is_locked_or_flushed(tmp_path, data_path, monkeypatch, capfd):
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOSYS))
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    assert train(tmp_path, data_path, "--epochs", 1) == 0
    assert "no locks" in one_line(capfd.readouterr().err)
    # Nothing is held open, lest another system refuses to rename the folders.
    opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    assert not [path for path in opened if path.startswith(str(tmp_path))]
    assert train(tmp_path, data_path, "--epochs", 1, "--fresh") == 0
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["tiny", "tiny.old-1"]


def begun_run(folder):
    """The folders of a run that has been begun."""
    for name in ("c", "s"):
        (folder / name / "digits").mkdir(parents=True)
        (folder / name / "digits" / "generator.npz").touch()
    return folder / "c" / "digits", folder / "s" / "digits"


def test_a_run_is_set_aside_where_open_folders_keep_their_names(tmp_path, monkeypatch):
    checkpoints, samples = begun_run(tmp_path)
    rename = os.rename

    def rename_closed(old, new):
        for number in os.listdir("/proc/self/fd"):
            if os.path.realpath(f"/proc/self/fd/{number}").startswith(f"{old}/"):
                raise PermissionError(errno.EACCES, "Permission denied", str(old))
        rename(old, new)

    monkeypatch.setattr(os, "rename", rename_closed)
    with open_run(tmp_path, fresh=True) as run:
        assert not run.is_begun()
        with pytest.raises(UserError, match="is training"):
            open_run(tmp_path).__enter__()
    for folder in (checkpoints, samples):
        assert folder.with_name("digits.old-1").is_dir()


def test_both_folders_are_set_aside_or_neither(tmp_path, monkeypatch):
    checkpoints, samples = begun_run(tmp_path)
    rename = os.rename

    def rename_samples(old, new):
        if Path(old) == checkpoints:
            raise PermissionError(errno.EACCES, "Permission denied", str(old))
        rename(old, new)

    monkeypatch.setattr(os, "rename", rename_samples)
    with pytest.raises(UserError, match="cannot be set aside"):
        open_run(tmp_path, fresh=True).__enter__()
    for folder in (checkpoints, samples):
        assert (folder / "generator.npz").exists()
        assert not folder.with_name("digits.old-1").exists()
    monkeypatch.undo()
    with open_run(tmp_path, fresh=True):
        assert checkpoints.with_name("digits.old-1").is_dir()


# What ships is read, never written.


def test_scores_and_exports_of_what_ships_go_to_the_working_folder(tmp_path, monkeypatch):
    shipped = REPOSITORY / "checkpoints" / "pretrained"
    for folder in (tmp_path, REPOSITORY):
        monkeypatch.chdir(folder)
        json_path, pictures = evaluate_digits.output_paths(
            EvaluateSettings(), shipped / "scores.json", "samples/pretrained/scores-"
        )
        assert (str(json_path), pictures) == ("pretrained-scores.json", "pretrained-scores-")
        exported = export_generator.output_path(ExportSettings(), shipped)
        assert str(exported) == "pretrained-generator.onnx"
    monkeypatch.chdir(tmp_path)
    json_path, pictures = evaluate_digits.output_paths(
        EvaluateSettings(), MNIST.with_suffix(".scores.json"), f"{MNIST.with_suffix('')}."
    )
    assert not json_path.is_absolute() and list(tmp_path.iterdir()) == []


def test_output_says_where_scores_go_whoever_asks(tmp_path):
    shipped = REPOSITORY / "checkpoints" / "pretrained" / "scores.json"
    settings = EvaluateSettings(output=f"{tmp_path}/card.json")
    json_path, pictures = evaluate_digits.output_paths(settings, shipped, "x")
    assert (str(json_path), pictures) == (f"{tmp_path}/card.json", f"{tmp_path}/card-")
    own = tmp_path / "mine" / "scores.json"
    json_path, _ = evaluate_digits.output_paths(EvaluateSettings(), own, f"{tmp_path}/s/mine/x-")
    assert json_path == own
    for words in (["--output", "a.txt"], ["--output", "nowhere/a.json"]):
        assert evaluate_digits.main(words) == 2
    assert evaluate_digits.main(["--output", "a.json", "--runs", "a", "b"]) == 2


def can_mount():
    """Whether this process may mount file systems in a namespace of its own."""
    command = ["unshare", "-m", "mount", "--bind", "/tmp", "/tmp"]
    return shutil.which("unshare") and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["generate_digits.py"], "samples/pretrained-10-digits-seed-0.png"),
        (["export_generator.py", "--format", "saved_model"], "pretrained-generator.saved_model"),
        (["evaluate_digits.py", "--num_samples", "2000"], "pretrained-scores.json"),
    ],
)
def test_a_clone_that_is_read_only_serves_all_but_training(words, made, tmp_path):
    if not can_mount():
        pytest.skip("needs to mount")
    script = f"""
        mount --bind {REPOSITORY} {REPOSITORY} && mount -o remount,ro,bind {REPOSITORY} &&
        exec {sys.executable} {REPOSITORY}/{" ".join(words)} --run pretrained"""
    finished = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / made).exists()


# Streams.


def test_what_an_output_cannot_print_is_escaped(monkeypatch):
    for encoding in ("ascii", "koi8-r"):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
        cli.make_output_safe()
        print("FID\u221e \u00b1 \u00e9 \udcff", flush=True)
        assert b"FID" in written.getvalue()


def test_closed_streams_go_nowhere(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    cli.make_output_safe()
    print("x", flush=True)
    assert not sys.stderr.isatty()


@pytest.mark.parametrize("kind", ["closed", pytest.param("full", marks=pytest.mark.slow)])
def test_training_goes_on_without_its_output(kind, tmp_path, data_path):
    words = ["--data", data_path, *TINY, *roots(tmp_path), "--epochs", 2]
    options = {"stdout": open("/dev/full", "w"), "capture_output": False}
    if kind == "closed":
        options = {"preexec_fn": lambda: os.close(1), "capture_output": False}
    finished = run_script("train_dcgan.py", *words, stderr=subprocess.PIPE, **options)
    assert finished.returncode == 0 and finished.stderr == ""
    assert (tmp_path / "samples" / "tiny" / "epoch-0002.png").exists()


# Schedulers, devices, notebooks.


def test_ports_are_a_job_s_own_and_named_when_taken(monkeypatch):
    ports = set()
    for job in range(4_000_000, 4_001_000):
        monkeypatch.setenv("SLURM_JOB_ID", str(job))
        ports.add(cluster.slurm_port())
    assert len(ports) == 1000 and min(ports) >= 12000 and max(ports) + 16 < 32768
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("SLURM_PROCID", "1")
        monkeypatch.setenv("SLURM_LOCALID", "1")
        with pytest.raises(UserError, match=rf"port {port} .*--port"):
            cluster.is_chief("multi_worker", port - 1)
    assert not cluster.is_chief("multi_worker")
    assert cluster.slurm_port(7) == 7


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"])
def test_signals_that_ask_to_stop_are_noted(name, monkeypatch):
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # of SIGHUP, which lets go of the terminal
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with Interruption() as interruption:
        os.kill(os.getpid(), number)
        if "USR" in name:  # schedulers may send it twice
            os.kill(os.getpid(), number)
        assert interruption.number == number
    assert signal.getsignal(number) == before


@pytest.mark.slow
def test_a_run_told_of_its_time_limit_saves_and_goes_on(tmp_path, data_path):
    command = [sys.executable, REPOSITORY / "train_dcgan.py", "--data", data_path, *TINY]
    command = [*map(str, command), *roots(tmp_path)]
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen([*command, "--epochs", "9999"], **options) as process:
        for line in process.stdout:
            if line.startswith("epoch 2/"):
                process.send_signal(signal.SIGUSR1)
                break
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGUSR1
    assert "Stopped and saved" in output and "To resume" in output
    resumed = subprocess.run([*command, "--epochs", "3"], capture_output=True, text=True)
    assert resumed.returncode == 0 and "resumed after epoch" in resumed.stdout


class Device:
    """A GPU that is not there."""

    device_type = "GPU"


@pytest.fixture
def gpus(monkeypatch):
    """A function that puts so many GPUs into the machine; the list of those left visible."""
    visible = []

    def put(number):
        visible[:] = [Device() for _ in range(number)]

    config = strategies.tf.config
    monkeypatch.setattr(config, "get_visible_devices", lambda _: [*visible])
    monkeypatch.setattr(
        config, "set_visible_devices", lambda devices, _: visible.__setitem__(slice(None), devices)
    )
    monkeypatch.setattr(config.experimental, "set_memory_growth", lambda *_: None)
    put.visible = visible
    return put


REPLICAS = {1: 1, 2: 2, 3: 2, 5: 4, 6: 4, 7: 4, 8: 8}  # of so many GPUs, for a batch of 256


@pytest.mark.parametrize(("number", "used"), REPLICAS.items())
def test_the_most_gpus_that_divide_the_batch_are_used(number, used, gpus, monkeypatch, capsys):
    class Mirrored:
        def __init__(self, devices):
            self.num_replicas_in_sync = len(devices)

    monkeypatch.setattr(strategies.tf.distribute, "MirroredStrategy", Mirrored)
    gpus(number)
    assert strategies.connect(TrainSettings()).num_replicas_in_sync == used == len(gpus.visible)
    assert (f"{used} of {number} GPUs" in capsys.readouterr().out) == (used < number)
    gpus(number)
    assert len(strategies.choose_gpus(TrainSettings(), workers=2)) == used
    assert len(strategies.choose_gpus(TrainSettings(strategy="one"), workers=1)) == 1


def test_a_notebook_that_has_used_tensorflow_goes_on(gpus, monkeypatch):
    def fail(*_):
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    gpus(3)
    monkeypatch.setattr(strategies.tf.config, "set_visible_devices", fail)
    monkeypatch.setattr(strategies.tf.config.experimental, "set_memory_growth", fail)
    assert strategies.connect(TrainSettings(strategy="one")).num_replicas_in_sync == 1


# What a run keeps.


def test_tensorboard_gets_one_value_a_step(tmp_path, data_path):
    import tensorflow as tf

    assert train(tmp_path, data_path, "--epochs", 2) == 0
    logs = tmp_path / "samples" / "tiny" / "logs"
    writer = tf.summary.create_file_writer(str(logs))  # as a run killed before it saved
    with writer.as_default(step=3):
        tf.summary.scalar("d_real", 0.5)
    writer.close()
    newest = max(logs.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes() + b"cut off")
    assert train(tmp_path, data_path, "--epochs", 4) == 0
    found = []
    for path in logs.glob("events*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            found += [(value.tag, event.step) for value in event.summary.value]
    assert len(found) == len(set(found))
    assert sorted(step for tag, step in found if tag == "d_real") == [1, 2, 3, 4]


def test_settings_of_older_and_newer_runs():
    now = TrainSettings().fixed_on_resume()
    older = {name: now[name] for name in now if name != "precision"}
    assert runs.differences(older, now) == []
    assert "precision (was 'float32', now 'bfloat16')" in runs.differences(
        older, now | {"precision": "bfloat16"}
    )
    (line,) = runs.differences(now | {"spectral_norm": True}, now)
    assert "spectral_norm" in line and "does not know" in line


# The page, the report, the versions of Python.


def serve(*words):
    """The outcome of asking whether the page could be served."""
    return run_script("demo/serve.py", "--check", *words)


def test_the_page_says_why_it_cannot_be_served():
    with socket.create_server(("127.0.0.1", 0)) as server:
        finished = serve("--port", server.getsockname()[1])
    assert finished.returncode == 2 and "in use" in one_line(finished.stderr)
    for port in ("0", "-1", "65536", "x", ""):
        finished = serve("--port", port)
        assert finished.returncode == 2 and "PORT must be" in one_line(finished.stderr)
    for host, reason in (("192.0.2.1", "assign"), ("no.such.host.invalid", "no address")):
        finished = serve("--host", host, "--port", 8765)
        assert finished.returncode == 2 and reason in one_line(finished.stderr)
    assert serve("--host", "0.0.0.0", "--port", 18765).returncode == 0


@pytest.mark.skipif(os.getuid() != 0, reason="has to give up rights")
def test_a_privileged_port_is_called_that():
    if Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip() == "0":
        pytest.skip("every port is free to all here")
    import importlib.util

    spec = importlib.util.spec_from_file_location("serve", REPOSITORY / "demo" / "serve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    process = os.fork()
    if not process:
        os.setuid(65534)
        try:
            module.serve(module.ServeSettings(port="80", check=True))
        except UserError as error:
            os._exit(7 if "Permission denied" in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 7


def test_a_bug_report_is_one_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("TF_VAR_password", "secret")
    monkeypatch.setattr(os, "cpu_count", failing(errno.EIO))  # a machine in trouble
    begun_run(tmp_path)
    words = ["--checkpoints_dir", f"{tmp_path}/c", "--samples_dir", f"{tmp_path}/s"]
    assert train_dcgan.main(["--report", *words]) == 0
    output = capsys.readouterr().out
    for found in ("tensorflow 2.", "CPU:0", "KERAS_BACKEND=jax", "generator.npz 0 bytes"):
        assert found in output
    assert "secret" not in output


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_promised_python_runs_what_needs_no_tensorflow(version, tmp_path):
    python = shutil.which(f"python{version}")
    if not python or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"no Python {version} here")
    options = dict(capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
    code = f"""
import ast, pathlib, sys
sys.path.insert(0, {str(REPOSITORY)!r})
import cli, config
for path in pathlib.Path({str(REPOSITORY)!r}).glob("[a-z]*/*.py"):
    ast.parse(path.read_text(), str(path))
for settings in (config.TrainSettings, config.GenerateSettings, config.EvaluateSettings):
    cli.parse(settings, [])
try:
    cli.parse(config.TrainSettings, ["--epochs", "0"])
except cli.UserError:
    print("refused")
"""
    finished = subprocess.run([python, "-c", code], cwd=tmp_path, **options)
    assert finished.returncode == 0 and finished.stdout == "refused\n", finished.stderr
    has_packages = [python, "-c", "import numpy, imageio, pytest, tqdm"]
    if subprocess.run(has_packages, **options).returncode:
        pytest.skip(f"Python {version} has no NumPy, imageio and pytest: only the rest was tried")
    command = [python, "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider"]
    finished = subprocess.run([*command, str(REPOSITORY / "tests" / "test_readers.py")], **options)
    assert finished.returncode == 0, finished.stdout
    for script in SCRIPTS:
        command = [python, REPOSITORY / f"{script}.py", "--help"]
        assert subprocess.run(command, **options).returncode == 0
