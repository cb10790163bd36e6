"""The command line made from a settings class: options, checks and errors.

Nothing here imports TensorFlow, so `--help` and a mistyped flag answer at once.
"""

import argparse
import dataclasses
import os
import re
import sys


class UserError(Exception):
    """An error that the user can fix; its text says what is wrong, where, and what to do."""


def option(default, help, check=None, *, choices=None, formerly=None, fixed_on_resume=False):
    """A field of a settings class, and its flag.

    `check` takes a value and returns what is wrong with it, or None; `local_path` marks the path of
    a file or folder. `choices` are the words that the flag takes, if there are only a few.
    `formerly` is an older name of the flag, which still works. `fixed_on_resume` marks settings
    that affect training: they cannot change when a run is resumed.
    """
    metadata = {"help": help, "check": check, "choices": choices, "formerly": formerly}
    metadata["fixed_on_resume"] = fixed_on_resume
    return dataclasses.field(default=default, metadata=metadata)


class Settings:
    """What the settings classes share: their checks.

    Raises UserError, naming the flag, when a value fails its check.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check, value = field.metadata["check"], getattr(self, field.name)
            wrong = None
            if value == []:  # which argparse makes of --run=--
                wrong = "needs a value"
            elif check and value != field.default:
                wrong = check(value)
            if wrong:
                raise UserError(f"--{field.name} {wrong}, got {value!r}")


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a bad flag with one line."""

    def error(self, message):
        raise UserError(f"{message} (--help lists the flags)")


def parse(settings_class, argv=None):
    """Settings of the given class from command-line words; raises UserError on a bad one."""
    parser = Parser(description=settings_class.__doc__, allow_abbrev=False)
    for field in dataclasses.fields(settings_class):
        check, choices = field.metadata["check"], field.metadata["choices"]
        kind = {"type": field.type, "metavar": field.type.__name__.upper()}
        if field.type is bool:
            kind = {"action": "store_true"}
        elif choices:
            kind = {"choices": choices}
        elif field.type is tuple:
            kind = {"nargs": "+", "metavar": "TEXT"}
        elif check is local_path:
            kind = {"type": os.path.expanduser, "metavar": "PATH"}
        elif field.type is str:
            kind = {"metavar": "TEXT"}
        help = field.metadata["help"]
        if field.type is not bool and field.default not in ("", ()) and "Default" not in help:
            help += " Default: %(default)s."
        parser.add_argument(f"--{field.name}", default=field.default, help=help, **kind)
        if formerly := field.metadata["formerly"]:
            kind |= {"dest": field.name, "default": field.default, "help": argparse.SUPPRESS}
            parser.add_argument(f"--{formerly}", **kind)
    return settings_class(**vars(parser.parse_args(argv)))


def say(line, file=None):
    """Print a line; a closed or full output is no error."""
    file = file or sys.stdout
    try:
        print(line, file=file, flush=True)
    except OSError:
        drop_output(2 if file is sys.stderr else 1)


def drop_output(descriptor):
    """Redirect stdout (1) or stderr (2), which can no longer be written to, to /dev/null."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


# Checks of one value: each returns what is wrong with it, or None.


def between(low, high):
    """Check for a number from low to high, both included."""

    def check(value):
        if not low <= value <= high:
            return f"must be from {low} to {high}"

    return check


def matching(pattern, wanted):
    """Check for a text, or several, that matches a pattern; `wanted` says so in words."""

    def check(value):
        values = [value] if isinstance(value, str) else value
        if not all(re.fullmatch(pattern, each) for each in values):
            return f"must be {wanted}"

    return check


def local_path(value):
    """Check for a path on this machine, not the address of a bucket (gs://, s3://) or a page."""
    if re.match(r"[^/\\]{2,}:/", value):
        return "must be a file or folder on this machine, not an address; copy or mount it first"
    if value.startswith("~"):
        return "must begin with an existing home folder (write ./~ if the name begins with ~)"
    if not value or "\0" in value:
        return "must be a path"
