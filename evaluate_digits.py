"""Score digits beside real ones: `python evaluate_digits.py --run digits`."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))  # which python -P and -I leave out

from machine.command import run_command  # first: it explains what is not installed

# isort: split
import numpy as np

import data
from cli import UserError, say
from config import EvaluateSettings
from evaluation import metrics
from machine import files
from machine.loading import importing_tensorflow
from storage import images, runs, snapshots

SHOWN = 50  # images in a picture

# Rows of the table: the score's name in the JSON, its name for people, which way is better.
ROWS = (
    ("fid_training", "FID to training images", "lower"),
    ("fid_infinity_training", "  FID∞ (extrapolated)", "lower"),
    ("kid_training", "KID to training images", "lower"),
    ("fid_test", "FID to test images", "lower"),
    ("fid_infinity_test", "  FID∞ (extrapolated)", "lower"),
    ("kid_test", "KID to test images", "lower"),
    ("precision", "precision", "higher"),
    ("recall", "recall", "higher"),
    ("density", "density", "higher"),
    ("coverage", "coverage", "higher"),
    ("pale_ink", "ink: pale", "as real"),
    ("smear", "  smeared, pixels an image", "as real"),
    ("inception_score", "inception score (MNIST classifier)", "higher"),
    ("confidence", "classifier's mean confidence", "higher"),
    ("digit_shares", "share of the rarest digit", "as real"),
    ("nearest_is_training_pixels", "nearest real image is a training image", "as real"),
    ("nearest_is_training_features", "  in features", "as real"),
    ("copying_z_pixels", "copying test", "above -3"),
    ("copying_z_features", "  in features", "above -3"),
)


class ImageSet(NamedTuple):
    """Images to be scored."""

    name: str
    source: dict  # where they came from, for the JSON
    pixels: np.ndarray  # uint8 (N, 28, 28), all that were drawn
    json: Path  # where the scores go
    pictures: str  # where the pictures go: the beginning of their paths
    accepted: np.ndarray | None = None  # those that generate_digits.py keeps, where it rejects
    sampler: object | None = None  # the sampling.Sampler that drew them


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(EvaluateSettings, evaluate, argv)


def evaluate(settings, networks=None):
    """Score a run, several runs or an .npz of images, whichever the settings name.

    `networks` has the function build_generator that the runs were trained with; by default it is
    models.
    """
    if sum(map(bool, (settings.run, settings.runs, settings.images))) > 1:
        raise UserError("give one of --run, --runs and --images")
    check_output(settings)
    real = data.load_parts(settings.data, "x_train", "x_test")
    for name, pixels in real.items():
        check_images(f"{settings.data}: {name}", pixels)
    image_sets = [load_images(settings)] if settings.images else []
    with images.plain_matplotlib():
        pass  # fails now rather than after minutes
    with importing_tensorflow():
        from evaluation import scores
        from evaluation.classifier import DigitClassifier

        classifier = DigitClassifier()
    if not image_sets:
        digest = data.digest(real["x_train"])
        image_sets = [
            draw_images(dataclasses.replace(settings, run=name), classifier, networks, digest)
            for name in settings.runs or [settings.run]
        ]
    say("Computing the features of the real images")
    training, test = map(classifier.predict, real.values())
    columns = []  # a name and scores each
    baseline = scores.real_baseline(len(image_sets[0].pixels), training, test)
    for image_set in image_sets:
        num = len(image_set.pixels)
        say(f"Scoring {num:,} images of {image_set.name}")
        predictions = classifier.predict(image_set.pixels)
        found, densities = scores.score(predictions, training, test)
        report = {"num_samples": num, "classifier": classifier.sha256, "scores": found}
        columns.append((image_set.name, found))
        if image_set.accepted is not None:
            accepted, _ = scores.score(classifier.predict(image_set.accepted), training, test)
            report["accepted_scores"] = accepted
            columns.append(("accepted", accepted))
        if image_set.sampler and image_set.sampler.num_codes:
            report["codes"] = describe_codes(image_set, predictions)
        report = image_set.source | report | {"real_data": baseline}
        with files.atomic_file(image_set.json) as file:
            file.write(json.dumps(report, indent=2).encode() + b"\n")
        write_pictures(image_set.pictures, predictions, training, densities, found, baseline)
    say(make_table([*columns, ("real images", baseline)]))
    for image_set in image_sets:
        say(f"Wrote {image_set.json} and {image_set.pictures}*.png")


def check_images(where, pixels):
    """Raise UserError unless these are images, and enough of them, that can be scored."""
    metrics.require(len(pixels), metrics.FEWEST, f"{where}: a score")
    if (pixels == pixels[0]).all() or (pixels == pixels[:, :1, :1]).all():
        raise UserError(f"{where}: all images are blank or the same; give images of digits")


def load_images(settings):
    """The images of --images, an ImageSet; raises UserError when they cannot be scored."""
    path = Path(settings.images)
    if path.name in ("", ".."):  # of a folder that is named by where it is
        path = path.resolve()
    name = path.name if path.is_dir() else path.stem  # a folder's name may have a point: v1.0
    pixels = data.load_images(settings.images, ("images",), settings.transpose)
    check_images(settings.images, pixels)
    start = f"{path.with_name(name)}."
    paths = output_paths(settings, Path(f"{start}scores.json"), start)
    return ImageSet(name, {"images": settings.images}, pixels, *paths)


def check_output(settings):
    """Raise UserError unless --output, where it is given, can be the one file of scores."""
    path = Path(settings.output)
    if settings.output and (path.suffix != ".json" or not path.parent.is_dir()):
        raise UserError(f"--output {path}: must be a .json file in a folder that is there")
    if settings.output and len(settings.runs) > 1:
        raise UserError("--output is one file; score --runs without it, or one run at a time")


def output_paths(settings, json, pictures):
    """Where scores go, and what their pictures' paths begin with; as --output says, or as given.

    Nothing is written into what ships unless --output asks for it: it goes to the working folder.
    """
    if settings.output or runs.ships(json) or runs.ships(pictures):
        json = Path(settings.output or f"{json.parent.name}-{json.name}")
        pictures = f"{json.with_suffix('')}-"
    for path in (json, Path(pictures)):
        files.check_writable(path.parent, "--output")
    return json, pictures


def draw_images(settings, classifier, networks, digest):
    """Images drawn by a run's generator, an ImageSet; raises UserError when it cannot draw.

    Warns of a run that was trained on images with another data.digest.
    """
    from sampling import acceptance
    from sampling.rejection import RejectionSampler
    from sampling.sampler import Sampler
    from storage.weights import load_generator

    folder, which = snapshots.find_run(settings), settings.snapshot
    start = "scores" if which == "latest" else f"scores-{which}"
    pictures = f"{Path(settings.samples_dir) / folder.name / start}-"
    paths = output_paths(settings, folder / f"{start}.json", pictures)
    learned = runs.images_learned(folder)
    if (folder / "settings.json").exists() and learned != digest:  # others lack it
        say(
            f"warning: {folder.name} {'was' if learned else 'may have been'} trained on images "
            f"other than those in {settings.data}, so its scores may mean little; --data takes an "
            ".npz with x_train and x_test",
            file=sys.stderr,
        )
    snapshot = snapshots.load_snapshot(folder, which)
    sampler, seed = Sampler(load_generator(snapshot, networks)), settings.seed
    say(f"Drawing {settings.num_samples:,} images, seed {seed}, with {snapshot}")
    pixels = np.concatenate([*sampler.sample(settings.num_samples, seed)])
    check_images(snapshot, pixels)
    source, accepted = {"run": folder.name, "generator": str(snapshot), "seed": seed}, None
    if not acceptance.reason_for_raw(folder):
        calibration = acceptance.load_or_calibrate(folder, which, sampler.generator, classifier)
        draws = RejectionSampler(sampler, classifier, calibration, seed)
        blocks = [*draws.take(settings.num_samples)]
        accepted = np.concatenate([block.images for block in blocks])
        rate = settings.num_samples / (int(blocks[-1].index[-1]) + 1)
        source["acceptance_rate"] = round(rate, 4)
        say(f"Acceptance rate: {rate:.1%}")
    return ImageSet(folder.name, source, pixels, *paths, accepted, sampler)


def write_pictures(start, drawn, training, densities, found, baseline):
    """Write the densest, sparsest and nearest images and the shares; paths begin with `start`."""
    _, neighbours = metrics.nearest(drawn.features[:SHOWN], training.features)
    pairs = np.concatenate([drawn.pixels[:SHOWN], training.pixels[neighbours]], axis=2)
    order = np.argsort(densities, kind="stable")
    for name, title, shown in (
        ("densest", f"the {SHOWN} of highest density", drawn.pixels[order[: -SHOWN - 1 : -1]]),
        ("sparsest", f"the {SHOWN} of lowest density", drawn.pixels[order[:SHOWN]]),
        ("nearest", "drawn | the nearest training image", pairs),
    ):
        with files.atomic_file(f"{start}{name}.png") as file:
            picture = images.enlarge(images.make_grid(shown))
            images.save_png(file, images.add_title(picture, title))
    with files.atomic_file(f"{start}shares.png") as file:
        shares = {"drawn": found["digit_shares"], "real": baseline["digit_shares"]}
        images.save_bars(file, shares, "share of each digit")


def describe_codes(image_set, predictions):
    """The most common digit of each discrete code and its share; also write their picture."""
    from sampling import codes

    sampler, seed = image_set.sampler, image_set.source["seed"]
    codes.save_picture(f"{image_set.pictures}codes.png", sampler, seed)
    counts = codes.count_digits(sampler, seed, predictions.probabilities.argmax(1))
    purity = codes.mean_purity(counts)
    say(
        f"Codes: {sampler.num_codes}; on average {purity:.1%} of a code's samples show its most "
        "common digit"
    )
    shares = counts.max(1) / np.maximum(1, counts.sum(1))
    return {
        "mean_purity": purity,
        "digits": counts.argmax(1).tolist(),
        "shares": shares.round(4).tolist(),
    }


def make_table(columns):
    """Scores as lines of text; `columns` are pairs of a name and a dictionary of scores."""
    lines = ["".join([f"{'':40}", *(f"{name[-17:]:>18}" for name, _ in columns), "   better"])]
    for key, label, better in ROWS:
        cells = (f"{as_text(key, scores[key]):>18}" for _, scores in columns)
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
