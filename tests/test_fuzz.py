"""Three hundred random mistakes: each is answered by one line and exit status 2, and harms nothing.

A few turn out to be none (a bit flipped where nothing depends on it): status 0. The mistakes are
the same in every run of the test; another SEED tries others.
"""

import dataclasses
import gzip
import random
import shutil
from pathlib import Path

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
from helpers import contents, damaged, packed
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


def make_sets(digits):
    """Digits in every format: {kind: bytes}."""
    sets = {
        "npz": packed(np.savez, x_train=digits, x_test=digits, y_train=np.arange(50) % 10),
        "npy": packed(np.save, digits),
        "idx": readers.idx_header(digits.shape) + digits.tobytes(),
        "png": packed(images.save_png, digits[0]),
    }
    return sets | {f"{name}.gz": gzip.compress(content) for name, content in sets.items()}


def odd_sets(sets, dice):
    """A set of images that is damaged, or of another kind than its name says."""
    content = dice.choice([*sets.values()])
    if dice.random() < 0.8:
        content = damaged(content, dice)
    path = Path("sets", dice.choice(["a.npz", "a.npy", "train-images-idx3-ubyte", "a.png", "a"]))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    named = dice.choice([path, path.parent])
    if dice.random() < 0.5:
        return train_dcgan, ["--dry_run", "--batch_size", "7", "--num_codes", "5", "--data", named]
    return evaluate_digits, [dice.choice(["--data", "--images"]), named]


def odd_pictures(sets, dice):
    """A damaged picture for --project."""
    Path("a.png").write_bytes(damaged(sets["png"], dice)[:200])
    return generate_digits, ["--run", "tiny", "--project", "a.png"]


def damaged_runs(sets, dice):
    """A run whose generator or settings are damaged."""
    run = Path("checkpoints", "bad")
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree("checkpoints/tiny", run)
    path = run / dice.choice(["generator.npz", "settings.json"])
    odd = [b"[]", b"{}", b'{"run": 3}', b'{"run": {"seed": [[]]}}', b"[" * 10**5, b"\xff\xfe"]
    odd += [sets["npz"], sets["npy"]]
    good = path.read_bytes()
    path.write_bytes(dice.choice(odd) if dice.random() < 0.4 else damaged(good, dice))
    if path.suffix == ".json":
        return train_dcgan, ["--dry_run", "--run", "bad", "--batch_size", "50"]
    return generate_digits, ["--run", "bad", "--raw", "--output", "drawn.png"]


OUTPUTS = ["a", "a.jpg", "nowhere/a.png", "full/", "full", "a_file/a.png", "/proc/a.png", "a.mp4"]
OUTPUTS += [f"{'x' * 300}.png", "a\0.png", "/dev/null/a.npz", "full.gif", "."]


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


MISTAKES = {flags: 130, odd_sets: 80, odd_pictures: 20, damaged_runs: 35, outputs: 35}


def filled(folder):
    """The bytes of every file in a folder that holds something."""
    return {path: content for path, content in contents(folder).items() if content}


@pytest.mark.slow
def test_three_hundred_mistakes(tmp_path, monkeypatch, capfd, mnist):
    monkeypatch.chdir(tmp_path)
    run = Path("checkpoints", "tiny")
    run.mkdir(parents=True)
    for name in ("generator.npz", "settings.json"):
        shutil.copy(SHIPPED / name, run)
    Path("full").mkdir()
    for path in ("a_file", "full/a.txt"):
        Path(path).write_text("in the way")
    sets, dice, shipped = make_sets(mnist["x_train"][:50]), random.Random(SEED), contents(SHIPPED)
    wrong, harmless = [], 0
    for make in [make for make, count in MISTAKES.items() for _ in range(count)]:
        module, words = make(sets, dice)
        before = filled(tmp_path)
        try:
            status = module.main([*map(str, words)])
        except BaseException as error:  # what a person would see as a traceback
            status = repr(error)
        lines = capfd.readouterr().err.strip().splitlines()
        if status == 0:
            harmless += 1
            Path("drawn.png").unlink(missing_ok=True)
        is_answered = status == 0 or (status == 2 and len(lines) == 1)
        if not is_answered or filled(tmp_path) != before:
            wrong.append((module.__name__, words, status, lines[-3:]))
    assert not wrong, "\n".join(map(str, wrong))
    assert contents(SHIPPED) == shipped and harmless < 60
