"""What a stranger needs to repeat a run: settings, versions, device, command line, commit."""

import dataclasses
import datetime
import platform
import shlex
import subprocess
import sys
from importlib.metadata import version

from config import REPOSITORY

PACKAGES = ("tensorflow", "keras", "numpy")


def describe_invocation(settings, device, images_digest):
    """One entry for settings.json: how training was started this time, as JSON values."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "started": now.isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "commit": git_commit(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "device": device,
        "images_sha256": images_digest,
        "settings": dataclasses.asdict(settings),
    }


def git_commit():
    """The commit of this code, with "+ changes" where files differ from it; None outside Git."""

    def git(*words):
        command = ["git", "-C", str(REPOSITORY), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)

    try:
        if git("rev-parse", "--show-toplevel").stdout.strip() != str(REPOSITORY):
            return None  # inside another Git repository
        commit = git("rev-parse", "HEAD").stdout.strip()
        changes = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit} + changes" if changes else commit
