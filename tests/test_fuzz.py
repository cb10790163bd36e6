"""Three hundred random mistakes: each is answered by one line and exit status 2, and harms nothing.

A few turn out to be none (a bit flipped where nothing depends on it): status 0. The mistakes are
the same in every run of the test; another SEED tries others.
"""

import dataclasses
import gzip
import io
import json
import random
import shutil
import socket
from types import SimpleNamespace

import numpy as np
import pytest

import config
import evaluate_digits
import export_generator
import generate_digits
import readers
import train_classifier
import train_dcgan
from config import REPOSITORY
from helpers import contents, damaged, roots
from storage import images

SEED = 0
SHIPPED = REPOSITORY / "checkpoints" / "pretrained"
SCRIPTS = {
    train_dcgan: config.TrainSettings,
    generate_digits: config.GenerateSettings,
    evaluate_digits: config.EvaluateSettings,
    export_generator: config.ExportSettings,
    train_classifier: config.ClassifierSettings,
}
ODD_WORDS = ["", " ", "-1", "0x10", "1e9", "nan", "inf", "-inf", "9" * 40, "\u0663", "caf\u00e9"]
ODD_WORDS += ["../x", "a/b", "a\nb", "None", "[]", "--", "\udcff", "1.5", "true", "x" * 300]


def flags(_, dice):
    """A wrong flag: misspelt, without its value, or with one that cannot be."""
    module, settings = dice.choice([*SCRIPTS.items()])
    field = dice.choice(dataclasses.fields(settings))
    kind = dice.randrange(4)
    if kind == 0:
        return module, [f"--{field.name}{dice.choice('xyz')}", "1"]
    if kind == 1:
        return module, [f"--{field.name}"] if field.type is not bool else [f"--{field.name}=1"]
    if kind == 2:
        return module, [dice.choice([*ODD_WORDS[1:], "digits"])]
    while field.type in (bool, tuple) or field.name in ("data", "checkpoints_dir", "samples_dir"):
        field = dice.choice(dataclasses.fields(settings))
    word = dice.choice(ODD_WORDS)
    try:
        settings(**{field.name: field.type(word)})
    except Exception:
        return module, [f"--{field.name}={word}"]
    return flags(_, dice)  # that was no mistake


def packed(write, *arguments, **named):
    """The bytes that a function writes to a file."""
    file = io.BytesIO()
    write(file, *arguments, **named)
    return file.getvalue()


def make_place(folder, digits):
    """Fill a folder with a run, and with what is in the way; return digits in every format."""
    run = folder / "checkpoints" / "tiny"
    run.mkdir(parents=True)
    for name in ("generator.npz", "settings.json"):
        shutil.copy(SHIPPED / name, run)
    (folder / "a_file").write_text("in the way")
    (folder / "full").mkdir()
    (folder / "full" / "a.txt").write_text("in the way")
    sets = {
        "npz": packed(np.savez, x_train=digits, x_test=digits, y_train=np.arange(50) % 10),
        "npy": packed(np.save, digits),
        "idx": readers.idx_header(digits.shape) + digits.tobytes(),
        "png": packed(images.save_png, digits[0]),
    }
    np.savez(folder / "good.npz", x_train=digits)
    return sets | {f"{name}.gz": gzip.compress(content) for name, content in sets.items()}


def odd_sets(place, dice):
    """A set of images that is damaged, or of another kind than its name says."""
    content = dice.choice([*place.sets.values()])
    if dice.random() < 0.8:
        content = damaged(content, dice)
    folder = place.folder / "sets"
    folder.mkdir(exist_ok=True)
    path = folder / dice.choice(["a.npz", "a.npy", "a.gz", "train-images-idx3-ubyte", "a.png", "a"])
    path.write_bytes(content)
    named = dice.choice([path, folder])
    return dice.choice(
        [
            (train_dcgan, ["--dry_run", "--batch_size", "7", "--data", named]),
            (evaluate_digits, [dice.choice(["--data", "--images"]), named]),
            (train_classifier, ["--output", place.folder / "c.npz", "--data", named]),
        ]
    )


def odd_pictures(place, dice):
    """A picture for --project that is damaged, or no picture."""
    path = place.folder / "picture.png"
    path.write_bytes(damaged(place.sets["png"], dice)[:200])
    return generate_digits, ["--run", "tiny", "--project", path]


def damaged_runs(place, dice):
    """A run whose generator or settings are damaged."""
    run = place.folder / "checkpoints" / "bad"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(place.folder / "checkpoints" / "tiny", run)
    name = dice.choice(["generator.npz", "settings.json"])
    odd = [b"[]", b"{}", b'{"run": 3}', b'{"run": {"seed": [[]]}}', b"[" * 10**5, b"\xff\xfe"]
    odd += [place.sets["npz"], place.sets["npy"]]
    good = (run / name).read_bytes()
    (run / name).write_bytes(dice.choice(odd) if dice.random() < 0.4 else damaged(good, dice))
    if name == "settings.json":
        return train_dcgan, ["--dry_run", "--run", "bad", "--batch_size", "50"]
    return generate_digits, ["--run", "bad", "--raw", "--output", place.folder / "drawn.png"]


OUTPUTS = [
    "a",
    "a.jpg",
    "nowhere/a.png",
    "full/",
    "full",
    "a_file/a.png",
    "/proc/a.png",
    "/proc/a/",
]
OUTPUTS += [f"{'x' * 300}.png", "a\0.png", "/dev/null/a.npz", "full.gif", "a.mp4", "."]


def outputs(_, dice):
    """An output that cannot be written."""
    output = dice.choice(OUTPUTS)
    blocked = dice.choice(["a_file", "/proc/nowhere", "/dev/null", "a\0b", ""])
    return dice.choice(
        [
            (generate_digits, ["--run", "tiny", f"--output={output}"]),
            (export_generator, ["--run", "tiny", f"--output={output}", "--format", "tflite"]),
            (evaluate_digits, ["--run", "tiny", f"--output={output}"]),
            (train_classifier, [f"--output={output}"]),
            (train_dcgan, ["--batch_size", "50", f"--checkpoints_dir={blocked}"]),
            (train_dcgan, ["--batch_size", "50", f"--samples_dir={blocked}"]),
            (generate_digits, ["--run", "tiny", f"--samples_dir={blocked}"]),
            (generate_digits, [f"--run={dice.choice(['full', 'a_file', 'nobody'])}"]),
        ]
    )


def clusters(place, dice):
    """A TF_CONFIG that describes no cluster, or whose port is taken or none."""
    taken = place.server.getsockname()[1]
    workers = {"worker": [f"localhost:{dice.choice([taken, 'x', 70000, -1, ''])}", "b:1"]}
    task = {"type": dice.choice(["worker", "ps", None, 3]), "index": dice.choice([0, 9, -1, "x"])}
    good = {"cluster": workers, "task": task}
    text = json.dumps(dice.choice([good, {"cluster": workers}, [], 3, None, {"task": task}]))
    if dice.random() < 0.3:
        text = damaged(text.encode(), dice).decode(errors="replace").replace("\0", "")
    place.patch.setenv("TF_CONFIG", text)
    return train_dcgan, ["--batch_size", "50", "--data", place.folder / "good.npz"]


MISTAKES = {flags: 120, odd_sets: 70, odd_pictures: 20, damaged_runs: 30, outputs: 30, clusters: 30}


def filled(folder):
    """The bytes of every file in a folder that holds something."""
    return {path: content for path, content in contents(folder).items() if content}


def mistake(make, place, dice):
    """The command of a mistake, with flags that keep it in its place."""
    module, words = make(place, dice)
    words = [*map(str, words)]
    known = {f"--{field.name}" for field in dataclasses.fields(SCRIPTS[module])}
    places = roots(place.folder)
    for flag, root in zip(places[::2], places[1::2]):
        is_given = any(word.startswith(flag) for word in words)
        if make is not flags and flag in known and not is_given:
            words += [flag, root]
    return module, words


@pytest.mark.slow
def test_three_hundred_mistakes(tmp_path, monkeypatch, capfd, mnist):
    dice, wrong, harmless = random.Random(SEED), [], 0
    sets = make_place(tmp_path, mnist["x_train"][:50])
    monkeypatch.chdir(tmp_path)
    shipped = contents(SHIPPED)
    with socket.create_server(("", 0)) as server:
        place = SimpleNamespace(folder=tmp_path, sets=sets, server=server, patch=monkeypatch)
        for make in [make for make, count in MISTAKES.items() for _ in range(count)]:
            module, words = mistake(make, place, dice)
            before = filled(tmp_path)
            try:
                status = module.main(words)
            except BaseException as error:  # what a person would see as a traceback
                status = repr(error)
            lines = capfd.readouterr().err.strip().splitlines()
            harmless += status == 0
            if status == 0:
                (tmp_path / "drawn.png").unlink(missing_ok=True)
            is_answered = status == 0 or (status == 2 and len(lines) == 1)
            if not is_answered or filled(tmp_path) != before:
                wrong.append((module.__name__, words, status, lines[-3:]))
    assert not wrong, "\n".join(map(str, wrong))
    assert contents(SHIPPED) == shipped and harmless < 60
