"""Three hundred random mistakes: each is answered by one line and exit status 2, and harms nothing.

A few turn out to be none (a bit flipped where nothing depends on it): status 0. The mistakes are
the same in every run of the test; another SEED tries others.
"""

import dataclasses
import gzip
import hashlib
import io
import json
import random
import shutil
import socket
import sys
import zipfile

import numpy as np
import pytest

from helpers import one_line, roots, run_script
from machines import MNIST, REPOSITORY

sys.path.insert(0, str(REPOSITORY))

import config
import evaluate_digits
import export_generator
import generate_digits
import readers
import train_classifier
import train_dcgan
from storage import images

SEED = 0
SCRIPTS = {
    train_dcgan: config.TrainSettings,
    generate_digits: config.GenerateSettings,
    evaluate_digits: config.EvaluateSettings,
    export_generator: config.ExportSettings,
    train_classifier: config.ClassifierSettings,
}
ODD_WORDS = ["", " ", "-1", "0x10", "1e9", "nan", "inf", "-inf", "9" * 40, "\u0663", "caf\u00e9"]
ODD_WORDS += ["../x", "a/b", "a\nb", "None", "[]", "--", "\udcff", "1.5", "true", "x" * 300]


def flags(dice):
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
    words = [f"--{field.name}={dice.choice(ODD_WORDS)}"]
    try:
        settings(**{field.name: field.type(words[0].partition("=")[2])})
    except Exception:
        return module, words
    return flags(dice)  # that was no mistake


def damaged(content, dice):
    """Bytes cut, flipped, doubled or filled in some place."""
    place = dice.randrange(len(content))
    byte = bytes([content[place] ^ 1 << dice.randrange(8)])
    return dice.choice(
        [
            content[:place],
            content[place:],
            content[:place] + byte + content[place + 1 :],
            content[:place] + content,
            content[:place] + bytes(len(content) - place),
            b"",
            bytes(dice.randrange(256) for _ in range(dice.randrange(1, 99))),
        ]
    )


class Place:
    """A folder with a run, a few digits in every format, and what is in the way."""

    def __init__(self, folder):
        self.folder = folder
        with np.load(MNIST) as arrays:
            digits = arrays["x_train"][:50]
        arrays = {"x_train": digits, "x_test": digits, "y_train": np.arange(50) % 10}
        self.sets = {}
        for name, content in {
            "npz": self.pack(lambda file: np.savez(file, **arrays)),
            "npy": self.pack(lambda file: np.save(file, digits)),
            "idx": readers.idx_header(digits.shape) + digits.tobytes(),
            "png": self.pack(lambda file: images.save_png(file, digits[0])),
        }.items():
            self.sets[name] = content
            self.sets[f"{name}.gz"] = gzip.compress(content)
            self.sets[f"{name}.zip"] = zip_of(content)
        run = folder / "checkpoints" / "tiny"
        run.mkdir(parents=True)
        shutil.copy(REPOSITORY / "checkpoints" / "pretrained" / "generator.npz", run)
        shutil.copy(REPOSITORY / "checkpoints" / "pretrained" / "settings.json", run)
        (folder / "a_file").write_text("in the way")
        (folder / "full").mkdir()
        (folder / "full" / "a.txt").write_text("in the way")

    def pack(self, write):
        """The bytes that a function writes to a file."""
        packed = io.BytesIO()
        write(packed)
        return packed.getvalue()


def zip_of(content):
    """The bytes of a zip with one file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", content)
    return packed.getvalue()


def odd_sets(place, dice):
    """A set of images that is damaged, or of another kind than its name says."""
    content = place.sets[dice.choice([*place.sets])]
    if dice.random() < 0.8:
        content = damaged(content, dice)
    folder = place.folder / "sets"
    folder.mkdir(exist_ok=True)
    path = folder / dice.choice(["a.npz", "a.npy", "a.gz", "train-images-idx3-ubyte", "a.png", "a"])
    path.write_bytes(content)
    named = dice.choice([path, folder])
    words = {
        train_dcgan: ["--dry_run", "--batch_size", "7", "--data", named],
        evaluate_digits: [dice.choice(["--data", "--images"]), named],
        train_classifier: ["--overwrite", "--output", place.folder / "c.npz", "--data", named],
    }
    module = dice.choice([*words])
    return module, words[module]


def odd_pictures(place, dice):
    """A picture for --project that is damaged, or no picture."""
    content = damaged(place.sets["png"], dice)[:200]
    path = place.folder / "picture.png"
    path.write_bytes(content if content != place.sets["png"] else b"")
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


def outputs(place, dice):
    """An output that cannot be written."""
    folder = place.folder
    odd = [
        "a",
        "a.jpg",
        "nowhere/a.png",
        "full/",
        "full",
        "a_file/a.png",
        "/proc/a.png",
        "/proc/a/",
    ]
    odd += [f"{'x' * 300}.png", "a\0.png", "/dev/null/a.npz", "full.gif", "a.mp4", "."]
    output = dice.choice(odd)
    blocked = dice.choice([folder / "a_file", "/proc/nowhere", "/dev/null", "a\0b", ""])
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
    """A TF_CONFIG that describes no cluster, or whose port is taken or none; or no Slurm."""
    taken = place.server.getsockname()[1]
    workers = {"worker": [f"localhost:{dice.choice([taken, 'x', 70000, -1, ''])}", "b:1"]}
    task = {"type": dice.choice(["worker", "ps", None, 3]), "index": dice.choice([0, 9, -1, "x"])}
    good = {"cluster": workers, "task": task}
    text = json.dumps(dice.choice([good, {"cluster": workers}, [], 3, None, {"task": task}]))
    if dice.random() < 0.3:
        text = damaged(text.encode(), dice).decode(errors="replace").replace("\0", "")
    place.monkeypatch.setenv("TF_CONFIG", text)
    return train_dcgan, ["--batch_size", "50", "--data", place.folder / "good.npz"]


MISTAKES = {flags: 120, odd_sets: 70, odd_pictures: 20, damaged_runs: 30, outputs: 30, clusters: 26}
MISSING = ("numpy", "tqdm", "imageio", "tensorflow")  # each in a process of its own


def snapshot(folder):
    """Every file in a folder that holds something, with the hash of it."""
    return {
        path: hashlib.sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size
    }


@pytest.mark.slow
def test_three_hundred_mistakes(tmp_path, monkeypatch, capfd):
    dice, place = random.Random(SEED), Place(tmp_path)
    (tmp_path / "good.npz").write_bytes(place.sets["npz"])
    place.monkeypatch = monkeypatch
    monkeypatch.chdir(tmp_path)
    shipped = snapshot(REPOSITORY / "checkpoints" / "pretrained")
    wrong, harmless, number = [], 0, 0
    with socket.create_server(("", 0)) as place.server:
        for make, count in MISTAKES.items():
            for _ in range(count):
                module, words = make(dice) if make is flags else make(place, dice)
                words = [str(word) for word in words]
                places = [] if make is flags else roots(tmp_path)
                known = {field.name for field in dataclasses.fields(SCRIPTS[module])}
                for flag, root in zip(places[::2], places[1::2]):
                    is_given = any(word.startswith(flag) for word in words)
                    if flag[2:] in known and not is_given:
                        words += [flag, root]
                before, number = snapshot(tmp_path), number + 1
                try:
                    status = module.main(words)
                except BaseException as error:  # what a person would see as a traceback
                    status = repr(error)
                lines = capfd.readouterr().err.strip().splitlines()
                harmless += status == 0
                answered = len(lines) == 1 and "Traceback" not in lines[0]
                after = snapshot(tmp_path)
                changed = {path for path in before | after if before.get(path) != after.get(path)}
                changed -= {tmp_path / "drawn.png"} if status == 0 else set()
                if status not in (0, 2) or (status == 2 and not answered) or changed:
                    wrong.append((module.__name__, words, status, lines[-3:], changed))
                (tmp_path / "drawn.png").unlink(missing_ok=True)
        monkeypatch.delenv("TF_CONFIG")
    for package in MISSING:
        number += 1
        folder = tmp_path / f"without_{package}"
        folder.mkdir()
        (folder / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})")
        finished = run_script("generate_digits.py", stub="#", stub_folder=folder)
        if finished.returncode != 2 or not one_line(finished.stderr):
            wrong.append((package, finished.stderr))
    with capfd.disabled():
        print(f"\n{number} mistakes, of which {harmless} were none; answered badly: {len(wrong)}")
    assert snapshot(REPOSITORY / "checkpoints" / "pretrained") == shipped
    assert not wrong, "\n".join(map(str, wrong))
    assert number == 300 and harmless < 60
