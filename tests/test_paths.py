"""Options that take a path: the home folder, and what is no path on this machine."""

import dataclasses
import importlib.util

import pytest

import config
from cli import UserError, local_path, parse
from config import REPOSITORY

spec = importlib.util.spec_from_file_location("serve", REPOSITORY / "demo" / "serve.py")
serve = importlib.util.module_from_spec(spec)
spec.loader.exec_module(serve)
COMMANDS = {
    config.TrainSettings: {"data", "checkpoints_dir", "samples_dir"},
    config.GenerateSettings: {"redraw", "project", "output", "checkpoints_dir", "samples_dir"},
    config.EvaluateSettings: {"images", "output", "data", "checkpoints_dir", "samples_dir"},
    config.ExportSettings: {"output", "checkpoints_dir"},
    config.ClassifierSettings: {"data", "output"},
    serve.ServeSettings: {"folder"},
}
ADDRESSES = ["gs://b/x", "s3://b/x", "S3A://b/x", "https://a.org/x.npz", "dbfs:/x", "me@host:/x"]
every_path = pytest.mark.parametrize(
    ("command", "name"),
    [(command, name) for command in COMMANDS for name in sorted(COMMANDS[command])],
)


def test_these_are_all_options_that_take_a_path():
    for command, names in COMMANDS.items():
        fields = dataclasses.fields(command)
        assert {each.name for each in fields if each.metadata["check"] is local_path} == names


@every_path
def test_what_is_no_path_on_this_machine_is_refused(command, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in [*ADDRESSES, "~nobody-of-this-name/x", "a\0b"]:
        with pytest.raises(UserError, match=rf"--{name} must") as refusal:
            parse(command, [f"--{name}={value}"])
        assert "\n" not in str(refusal.value)
    assert not list(tmp_path.iterdir())


@every_path
def test_a_tilde_is_the_home_folder(command, name, monkeypatch):
    monkeypatch.setenv("HOME", "/mnt/me")
    assert getattr(parse(command, [f"--{name}=~/x/"]), name) == "/mnt/me/x/"
    assert getattr(parse(command, [f"--{name}", "~"]), name) == "/mnt/me"
    for value in ("./~/x", "a~", "C:/x", "a:b/c"):
        assert getattr(parse(command, [f"--{name}", value]), name) == value
