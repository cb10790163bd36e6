"""Running a command: exit statuses, packages that are missing, output streams, and advice to paste.

Scripts import this first, because it explains what is not installed.
"""

import errno
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from cli import UserError, drop_output, parse, say
from config import REPOSITORY

# errno values of an output that is closed or full.
OUTPUT_GONE = (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EDQUOT)


def explain_import_error(kind, error, traceback):
    """sys.excepthook: report a failed import in one line, with exit status 2."""
    if isinstance(error, ImportError) and not is_ours(error.name):
        print_error(missing_package(error))
        raise SystemExit(2)
    sys.__excepthook__(kind, error, traceback)


if sys.excepthook is sys.__excepthook__:  # not in a notebook, which has its own
    sys.excepthook = explain_import_error


def is_ours(name):
    """Whether a module of this name is part of this project: its absence is a fault of ours."""
    first = (name or "").partition(".")[0]
    return bool(first) and any((REPOSITORY / each).exists() for each in (f"{first}.py", first))


def missing_package(error):
    reason = " ".join(str(error).split())[:200]
    return (
        f"a package is missing or broken ({reason}); try: "
        f"{pip_command('install', '-r', REPOSITORY / 'requirements.txt')}"
    )


def python_command(*words):
    """A command of this Python, to be pasted into a shell."""
    found = shutil.which("python")
    is_found = found and os.path.abspath(found) == sys.executable
    words = ["python" if is_found else sys.executable, *map(str, words)]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def script_command(name, *words):
    """The command that runs a script of this repository from the working folder."""
    path = REPOSITORY / name
    is_here = os.path.exists(name) and os.path.samefile(name, path)
    return python_command(name if is_here else path, *words)


def pip_command(verb, *words):
    """A command of pip or, where pip is missing, of uv, or one that installs pip first."""
    pip = python_command("-m", "pip", verb, *words)
    if importlib.util.find_spec("pip"):
        return pip
    if shutil.which("uv"):
        return shlex.join(["uv", "pip", verb, "--python", sys.executable, *map(str, words)])
    return f"{python_command('-m', 'ensurepip')} && {pip}"


def run_command(settings_class, function, argv=None):
    """Parse `argv`, call the function with the settings, and return the exit status.

    0 done, 2 an error that the user can correct (one line on stderr), 130 after Ctrl-C; the
    function may return another. A bug keeps its traceback and Python's exit status 1.
    """
    make_output_safe()
    try:
        return function(parse(settings_class, argv)) or 0
    except UserError as error:
        print_error(error)
    except ImportError as error:
        if is_ours(error.name):
            raise
        print_error(missing_package(error))
    except OSError as error:
        where = error.filename
        if where is None:
            if error.errno not in OUTPUT_GONE:
                raise
            where = "the output"
            drop_output(1)
        print_error(f"{where}: {error.strerror}")
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if type(error).__name__ not in ("MemoryError", "ResourceExhaustedError"):  # TensorFlow's
            raise
        print_error("out of memory; ask for fewer images at a time, or close other programs")
    return 2


def print_error(message):
    """Print an error as one line on stderr, after the script's name."""
    line = str(message).replace("\n", "\\n").replace("\r", "\\r")
    say(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)


def make_output_safe():
    """Point closed standard streams at /dev/null, and escape what cannot be printed.

    Otherwise the next file opened would get the descriptor of a closed stream, and the messages of
    native code with it.
    """
    while (nowhere := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(nowhere, True)
    os.close(nowhere)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed when Python began
            setattr(sys, name, open(os.devnull, "w"))
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")
