"""Export a trained generator for another runtime: `python export_generator.py --format onnx`."""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # which python -P and -I leave out

from machine.command import run_command  # first: it explains what is not installed

# isort: split
import data
from cli import UserError, say
from config import ExportSettings, GenerateSettings
from machine import files
from machine.loading import importing_tensorflow
from storage import exports, runs, snapshots

LICENCE = "MIT; trained on MNIST by LeCun, Cortes and Burges, CC BY-SA 3.0"


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(ExportSettings, export, argv)


def export(settings):
    """Write the generator that the settings name; check that the other runtime draws the same."""
    folder = snapshots.find_run(settings)
    path = output_path(settings, folder)
    classifier_path = path.with_stem(f"{path.stem}-classifier")
    for each in (path, classifier_path)[: 1 + settings.with_classifier]:
        check_place(each, settings)
    snapshot = snapshots.load_snapshot(folder, settings.snapshot)
    batch = None if settings.batch == "any" else int(settings.batch)
    with importing_tensorflow():
        exports.check_packages(settings.format)
        from storage.weights import load_generator

        generator = load_generator(snapshot)
    say(f"Exporting {snapshot}")
    description = describe_generator(snapshot, generator.input_shape[1], batch)
    exported = {path: exports.Exported(generator, "noise", ("digits",), batch, description)}
    if settings.with_classifier:
        network, outputs, sha256 = load_classifier(folder, settings.snapshot, generator)
        description = describe_classifier(snapshot, sha256, batch, len(outputs) > 1)
        exported[classifier_path] = exports.Exported(network, "digits", outputs, batch, description)
    for path, each in exported.items():
        exports.export(each, settings.format, path)
        say(f"Wrote {path}, {size(path) / 1e6:.1f} MB")


def load_classifier(folder, which, generator):
    """The digit classifier, the names of its outputs, and the checksum of its weights.

    Its outputs are probabilities (batch, 10) and, for a generator that learned MNIST, acceptance
    (batch, 1).
    """
    import keras

    from evaluation.classifier import DigitClassifier
    from sampling import acceptance

    classifier = DigitClassifier()
    network, sha256 = classifier.network, classifier.sha256
    reason = acceptance.reason_for_raw(folder)
    if reason:
        say(f"The classifier is exported without the probability of acceptance: {reason}")
        network = keras.Model(network.inputs, network.outputs[1], name="classifier")
        return network, ("probabilities",), sha256
    calibration = acceptance.load_or_calibrate(folder, which, generator, classifier)
    network = acceptance.network_with_probability(network, calibration)
    return network, ("probabilities", "acceptance"), sha256


def output_path(settings, folder):
    """Where to write the generator; raises UserError when it has another format's ending."""
    suffix = exports.FORMATS[settings.format].suffix
    name = Path(snapshots.SNAPSHOTS[settings.snapshot]).with_suffix(suffix).name
    default = snapshots.place_for(folder, name)
    path = Path(os.path.abspath(settings.output)) if settings.output else default
    if not path.name:
        raise UserError(f"--output {path}: is the root folder; name a file or folder in it")
    if path.suffix != suffix and settings.format != "saved_model":
        raise UserError(f"--output {path}: must be a file that ends in {suffix}")
    return path


def check_place(path, settings):
    """Raise UserError when nothing can be written there, or a file there must not be replaced."""
    is_folder = settings.format == "saved_model"
    if not path.parent.is_dir():
        raise UserError(f"--output {path}: there is no folder {path.parent}; make it first")
    is_export = (path / "saved_model.pb").is_file() if is_folder else path.is_file()
    if os.path.lexists(path) and not (is_export and settings.overwrite):
        advice = "add --overwrite to replace it, or give" if is_export else "give"
        raise UserError(f"--output {path}: already exists; {advice} another name")
    files.check_writable(path.parent)


def size(path):
    """Bytes of a file, or of the files in a folder."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def describe_generator(snapshot, noise_dim, batch):
    """What an exported file says about the generator of a Snapshot: a dictionary for JSON.

    `batch` is its fixed batch size, or None.
    """
    return {
        "title": "Digitgen: a generator of handwritten digits",
        "input": f"noise, float32 ({batch or 'batch'}, {noise_dim}): standard normal",
        "output": f"digits, float32 ({batch or 'batch'}, 28, 28, 1): -1 is black, 1 is white",
        "accept": "as the classifier exported with it says, or all",
        "num_codes": snapshot.num_codes,
        "scores": read_scores(snapshot),
        **origin(snapshot, licence_of(snapshot)),
    }


def describe_classifier(snapshot, sha256, batch, is_calibrated):
    """The same about the digit classifier, with weights of this checksum.

    `is_calibrated` is whether it also computes the probability of accepting an image of the
    generator.
    """
    batch, lowest = batch or "batch", f"{GenerateSettings.min_confidence:g}"
    outputs = [f"probabilities, float32 ({batch}, 10): of the digits 0 to 9"]
    accept = f"images whose largest probability is at least, for instance, {lowest}"
    if is_calibrated:
        outputs.append(f"acceptance, float32 ({batch}, 1): the probability of accepting an image")
        accept = (
            "an image if a uniform random number is below its acceptance; to select a digit, if "
            f"its probability is at least {lowest} as well"
        )
    return {
        "title": "Digitgen: a classifier of handwritten digits",
        "input": f"digits, float32 ({batch}, 28, 28, 1): the generator's output",
        "output": "; ".join(outputs),
        "accept": accept,
        "weights_sha256": sha256,
        **origin(snapshot, LICENCE),
    }


def licence_of(snapshot):
    """The licence of a generator and, if it learned MNIST, of the images."""
    if runs.images_learned(snapshot.path.parent) == data.MNIST_DIGEST:
        return LICENCE
    return "MIT; the images that it was trained on have a licence of their own"


def origin(snapshot, licence):
    return {
        "run": snapshot.path.parent.name,
        "epoch": snapshot.epoch,
        "licence": licence,
        "keras_version": version("keras"),
    }


def read_scores(snapshot):
    """The scores that `evaluate_digits.py` computed of this Snapshot, or None."""
    path = snapshot.path.with_name(snapshot.path.stem.replace("generator", "scores") + ".json")
    try:
        report = json.loads(path.read_text())
        if report["generator"].rpartition("/")[2] == str(snapshot).rpartition("/")[2]:
            return {key: report[key] for key in ("num_samples", "classifier", "scores")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # a damaged file of scores is no reason not to export
    return None


if __name__ == "__main__":
    sys.exit(main())
