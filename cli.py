"""The command line made from a settings class: options, checks and errors.

Nothing here imports TensorFlow, so `--help` and a mistyped flag answer at once.
"""

import argparse
import dataclasses
import os
import re
import sys


class UserError(Exception):
    """A mistake that the person can mend; the text says what, where and what to do."""


def option(default, help, check=None, fixed_on_resume=False):
    """A field of a settings class, and its flag.

    `check` takes a value and returns what is wrong with it, or None; `local_path` marks the path of
    a file or folder. `fixed_on_resume` marks settings that affect training: they cannot change when
    a run is resumed.
    """
    metadata = {"help": help, "check": check, "fixed_on_resume": fixed_on_resume}
    return dataclasses.field(default=default, metadata=metadata)


class Settings:
    """What the settings classes share: their checks, and ~ for the home folder in paths.

    Raises UserError, naming the flag, when a value fails its check.
    """

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check, value = field.metadata["check"], getattr(self, field.name)
            if field.type is str and (not isinstance(value, str) or "\0" in value):
                check = text
            elif check is local_path:
                if value == field.default:  # which may be empty
                    continue
                value = os.path.expanduser(value)
                object.__setattr__(self, field.name, value)
            wrong = check and check(value)
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
        if field.type is bool:
            kind = {"action": "store_true"}
        elif field.type is tuple:
            kind = {"type": str, "nargs": "+", "metavar": "STR"}
        else:
            is_path = field.metadata["check"] is local_path
            name = "PATH" if is_path else field.type.__name__.upper()
            kind = {"type": field.type, "metavar": name}
        help = field.metadata["help"]
        if field.type is not bool and field.default not in ("", ()) and "(default" not in help:
            help += " (default: %(default)s)"
        parser.add_argument(f"--{field.name}", default=field.default, help=help, **kind)
    return settings_class(**vars(parser.parse_args(argv)))


def say(line, file=None):
    """Print a line; a closed or full output is no error."""
    file = file or sys.stdout
    try:
        print(line, file=file, flush=True)
    except OSError:
        drop_output(2 if file is sys.stderr else 1)


def drop_output(descriptor):
    """Let what is still to be written to stdout (1) or stderr (2) vanish; it cannot be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


# Checks of one value: each returns what is wrong with it, or None.


def between(low, high):
    """Check for a whole number from low to high, both included."""

    def check(value):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return f"must be a whole number from {low} to {high}"

    return check


def positive_up_to_one(value):
    """Check for a number above 0 and up to 1."""
    if not 0 < value <= 1:
        return "must be a number above 0 and up to 1"


def below_one(value):
    """Check for a number from 0 up to, but not including, 1."""
    if not 0 <= value < 1:
        return "must be a number from 0 up to, but not including, 1"


def not_negative(value):
    """Check for a finite number from 0 up."""
    if not 0 <= value < float("inf"):
        return "must be a number from 0 up"


def probability(value):
    """Check for a number from 0 to 1."""
    if not 0 <= value <= 1:
        return "must be a number from 0 to 1"


def dropout_rate(value):
    """Check for a number from 0 to 0.99."""
    if not 0 <= value <= 0.99:
        return "must be a number from 0 to 0.99"


def one_of(*choices):
    """Check for one word out of a few."""

    def check(value):
        if value not in choices:
            return "must be one of " + ", ".join(choices)

    return check


def run_name(value):
    """Check for a name that is a plain folder name, never a path."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
        return "must be a plain name (letters, digits, '.', '_', '-'), not a path"


def optional_run_name(value):
    """Check for a run's name, or none at all."""
    return run_name(value) if value else None


def run_names(values):
    """Check for runs' names, or none at all."""
    return next(filter(None, map(run_name, values)), None)


def optional_digit(value):
    """Check for one digit, or none at all."""
    if not re.fullmatch("[0-9]?", value):
        return "must be one digit, 0 to 9"


def optional_code(value):
    """Check for the number of a discrete code, or none at all."""
    if not re.fullmatch("[0-9]{0,4}", value):
        return "must be a whole number from 0"


def digits_and_spaces(values):
    """Check for lines of digits and spaces, each with a digit, or none at all."""
    if not all(re.fullmatch("[0-9 ]*[0-9][0-9 ]*", value) for value in values):
        return "must be made of digits 0 to 9 and spaces"


def text(value):
    """Check for what a text can be: no NUL, and no list, which argparse makes of --run=--."""
    if not isinstance(value, str) or "\0" in value:
        return "must be a text"


def local_path(value):
    """Check for a path on this machine, not the address of a bucket (gs://, s3://) or a page."""
    if re.match(r"[^/\\]{2,}:/", value):
        return "must be a file or folder on this machine, not an address; copy or mount it first"
    if value.startswith("~"):
        return "must begin with a home folder that exists (or ./~, if that is its name)"
    if not value:
        return "must be a path"


def batch_size(value):
    """Check for a number of images at once ('1'), or for 'any'."""
    if not re.fullmatch("any|[1-9][0-9]{0,3}", value):
        return "must be a whole number from 1 to 9999, or any"


def saving_interval(value):
    """Check for a number of epochs ('1') or of minutes ('10m')."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}m?", value):
        return "must be a number of epochs, such as 1, or of minutes, such as 10m"
