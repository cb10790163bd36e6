"""Score digits beside real ones: `python evaluate_digits.py --run digits`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

import data
import files
import images
import metrics
import runs
from config import EvaluateSettings, UserError, command, quiet_start

SHOWN = 50  # digits in a picture

# Rows of the table: the score's name in the JSON, its name for people, which way is better.
ROWS = (
    ("frechet_distance_training", "Fréchet distance to training digits", "lower"),
    ("frechet_distance_training_extrapolated", "  of endlessly many digits", "lower"),
    ("kernel_distance_training", "kernel distance to training digits", "lower"),
    ("frechet_distance_test", "Fréchet distance to test digits", "lower"),
    ("frechet_distance_test_extrapolated", "  of endlessly many digits", "lower"),
    ("kernel_distance_test", "kernel distance to test digits", "lower"),
    ("precision", "precision", "higher"),
    ("recall", "recall", "higher"),
    ("density", "density", "higher"),
    ("coverage", "coverage", "higher"),
    ("classifier_score", "classifier score, 1 to 10", "higher"),
    ("confidence", "classifier's confidence", "higher"),
    ("digit_shares", "share of the rarest digit", "as real"),
    ("nearest_is_training_pixels", "nearest real digit is a training digit", "as real"),
    ("nearest_is_training_features", "  by features", "as real"),
    ("copying_z_pixels", "copying test", "above -3"),
    ("copying_z_features", "  by features", "above -3"),
)


class Subject(NamedTuple):
    """A set of digits to be scored."""

    name: str  # for people
    about: dict  # where the digits came from, for the JSON
    pixels: np.ndarray  # uint8 (N, 28, 28)
    json: Path  # where its scores go
    pictures: str  # where its pictures go; each adds its name


def main(argv=None):
    """The exit status of the command with these words."""
    return command(EvaluateSettings, evaluate, argv)


def evaluate(settings):
    """Score a run, several runs or an .npz of images, whichever the settings name."""
    if sum(map(bool, (settings.run, settings.runs, settings.images))) > 1:
        raise UserError("give one of --run, --runs and --images")
    real = files.read_npz(settings.data, "x_train", "x_test")
    for name, pixels in real.items():
        check_digits(f"{settings.data}: {name}", pixels)
    subjects = [load_subject(Path(settings.images))] if settings.images else []
    with quiet_start():
        import models
        import scores

        models.use_cpu()
        judge = scores.Judge()
    if not subjects:
        names = settings.runs or [settings.run]
        subjects = [draw_subject(dataclasses.replace(settings, run=n), models) for n in names]
        warn_of_other_images(settings, subjects, data.digest(real["x_train"]))
    print("Looking at the real digits", flush=True)
    training, test = map(judge.look, real.values())
    columns = {}
    floor = scores.floor(len(subjects[0].pixels), training, test)  # each has as many
    for subject in subjects:
        print(f"Scoring {len(subject.pixels):,} digits of {subject.name}", flush=True)
        digits = judge.look(subject.pixels)
        found, densities = scores.score(digits, training, test)
        report = subject.about | {"num_samples": len(digits.pixels), "classifier": judge.sha256}
        with files.replacing(subject.json) as file:
            report |= {"scores": found, "floor": floor}
            file.write(json.dumps(report, indent=2).encode() + b"\n")
        write_pictures(subject.pictures, digits, training, densities, found, floor)
        columns[subject.name] = found
    print(make_table(columns | {"real digits": floor}))
    for subject in subjects:
        print(f"Wrote {subject.json} and {subject.pictures}*.png")


def check_digits(where, pixels):
    """Raise UserError unless these are images, and enough of them, that can be scored."""
    data.check_images(where, pixels)
    metrics.require(len(pixels), metrics.FEWEST, f"{where}: a score")
    if (pixels == pixels[0]).all() or (pixels == pixels[:, :1, :1]).all():
        raise UserError(f"{where}: all images are blank or the same; give images of digits")


def load_subject(path):
    """The images of an .npz; raises UserError when they cannot be scored."""
    pixels = files.read_npz(path, "images")["images"]
    check_digits(path, pixels)
    files.check_writable(path.parent)
    json, pictures = path.with_suffix(".scores.json"), f"{path.with_suffix('')}."
    return Subject(path.stem, {"images": str(path)}, pixels, json, pictures)


def draw_subject(settings, models):
    """Digits drawn by a run's generator; raises UserError when it cannot draw."""
    folder, which = runs.find_run(settings), settings.generator
    pictures = Path(settings.samples_dir) / folder.name
    for path in (folder, pictures):
        files.check_writable(path)
    arrays, source = runs.load_snapshot(folder, which)
    generator = models.load_generator(arrays, source)
    print(f"Drawing {settings.num_samples:,} digits, seed {settings.seed}, with {source}")
    blocks = models.build_drawing(generator)(settings.num_samples, settings.seed)
    pixels = np.concatenate([data.to_pixels(block) for block in blocks])
    check_digits(source, pixels)
    about = {"run": folder.name, "generator": source, "seed": settings.seed}
    start = "scores" if which == "latest" else f"scores-{which}"
    return Subject(folder.name, about, pixels, folder / f"{start}.json", f"{pictures}/{start}-")


def warn_of_other_images(settings, subjects, digest):
    """Warn of runs that learned other images than those, named by `digest`, of the comparison."""
    for subject in subjects:
        folder = subject.json.parent
        known = (folder / "settings.json").exists()  # not so of a generator that someone gave you
        if known and runs.load_settings(folder)["run"].get("images") != digest:
            print(
                f"warning: {subject.name} learned other images than {settings.data} has, so it is "
                "compared with what it never saw; --data takes an .npz with x_train and x_test",
                file=sys.stderr,
            )


def write_pictures(start, digits, training, densities, found, floor):
    """Write the densest, sparsest and nearest digits and the shares; paths begin with `start`."""
    _, twins = metrics.nearest(digits.features[:SHOWN], training.features)
    pairs = np.concatenate([digits.pixels[:SHOWN], training.pixels[twins]], axis=2)
    order = np.argsort(densities, kind="stable")
    for name, title, shown in (
        ("densest", f"the {SHOWN} of highest density", digits.pixels[order[: -SHOWN - 1 : -1]]),
        ("sparsest", f"the {SHOWN} of lowest density", digits.pixels[order[:SHOWN]]),
        ("nearest", "drawn | the nearest training digit", pairs),
    ):
        with files.replacing(f"{start}{name}.png") as file:
            picture = images.enlarge(images.make_grid(shown))
            images.save_png(file, images.add_title(picture, title))
    with files.replacing(f"{start}shares.png") as file:
        shares = {"drawn": found["digit_shares"], "real": floor["digit_shares"]}
        images.save_bars(file, shares, "share of each digit")


def make_table(columns):
    """Scores as lines of text; `columns` maps a name to a dictionary of scores."""
    lines = ["".join([f"{'':40}", *(f"{name[-17:]:>18}" for name in columns), "   better"])]
    for key, label, better in ROWS:
        cells = (f"{as_text(key, scores[key]):>18}" for scores in columns.values())
        lines.append(f"{label:40}{''.join(cells)}   {better}")
    return "\n".join(lines)


def as_text(key, value):
    """A score for people: three digits or so; the rarest share of several."""
    if key == "digit_shares":
        return f"{min(value):.3f} ({np.argmin(value)})"
    if isinstance(value, tuple):
        return f"{value[0]:.4g} ± {value[1]:.2g}"
    return f"{value:.4g}"


if __name__ == "__main__":
    sys.exit(main())
