"""Checks of one value that a person gave: each returns what is wrong with it, or None."""

import re


def between(low, high):
    """Check for a whole number from low to high, both included."""

    def check(value):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            return f"must be a whole number from {low} to {high}"

    return check


def step_size(value):
    """Check for a finite number above 0 and up to 1."""
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


def share(value):
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


def digits_and_spaces(values):
    """Check for lines of digits and spaces, each with a digit, or none at all."""
    if not all(re.fullmatch("[0-9 ]*[0-9][0-9 ]*", value) for value in values):
        return "must be made of digits 0 to 9 and spaces"


def some_path(value):
    """Check for a path that an operating system could take."""
    if not value or "\0" in value:
        return "must be a path"


def saving_interval(value):
    """Check for a number of epochs ('1') or of minutes ('10m')."""
    if not re.fullmatch(r"[1-9][0-9]{0,5}m?", value):
        return "must be a number of epochs, such as 1, or of minutes, such as 10m"
