"""Export a trained generator for another runtime: `python export_generator.py --format onnx`."""

import os
import sys
from pathlib import Path

from machine.command import run_command  # first: it explains what is not installed

# isort: split
from cli import UserError, say
from config import ExportSettings
from machine import files
from machine.loading import importing_tensorflow
from storage import exports, metadata, runs


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(ExportSettings, export, argv)


def export(settings):
    """Write the generator that the settings name; check that the other runtime draws the same."""
    folder, which = runs.find_run(settings), settings.snapshot
    path = output_path(settings, folder)
    classifier_path = path.with_stem(f"{path.stem}-classifier")
    for each in (path, classifier_path)[: 1 + settings.with_classifier]:
        check_place(each, settings)
    arrays, snapshot = runs.load_snapshot(folder, which)
    with importing_tensorflow():
        exports.check_packages(settings.format)
        from storage.weights import load_generator

        generator = load_generator(arrays, snapshot)
    say(f"Exporting {snapshot}")
    classifier = load_classifier(folder, which, generator) if settings.with_classifier else None
    taken = shape_taken(generator, settings)
    num_codes = generator.get_layer("code").num_codes
    description = metadata.describe_generator(folder, which, snapshot, taken, num_codes)
    write(generator, "noise", "digits", path, description, settings)
    if classifier:
        network, gives, sha256 = classifier
        taken = shape_taken(network, settings)
        is_calibrated = "acceptance" in gives
        description = metadata.describe_classifier(folder, snapshot, sha256, taken, is_calibrated)
        write(network, "digits", gives, classifier_path, description, settings)


def load_classifier(folder, which, generator):
    """The digit classifier, the names of what it gives, and the checksum of its weights.

    It gives (batch, 10) probabilities and, for a generator that learned MNIST, (batch, 1)
    acceptance.
    """
    import keras

    from evaluation.classifier import DigitClassifier
    from sampling import acceptance

    classifier = DigitClassifier()
    network, sha256 = classifier.network, classifier.sha256
    reason = acceptance.reason_for_raw(folder)
    if reason:
        say(f"The classifier goes along without the probability of acceptance: {reason}")
        network = keras.Model(network.inputs, network.outputs[1], name="classifier")
        return network, ("probabilities",), sha256
    calibration = acceptance.load_or_calibrate(folder, which, generator, classifier)
    network = acceptance.network_with_probability(network, calibration)
    return network, ("probabilities", "acceptance"), sha256


def shape_taken(network, settings):
    """The shape of what the exported network takes; None for a free batch."""
    return (None if settings.batch == "any" else int(settings.batch), *network.input_shape[1:])


def write(network, takes, gives, path, description, settings):
    """Export one network, and say what was checked and written."""
    batch = shape_taken(network, settings)[0]
    difference = exports.export(network, takes, gives, settings.format, path, batch, description)
    sizes = " and ".join(map(str, exports.batch_sizes(batch)))
    say(f"Checked in its own runtime: within {difference:.1g} of Keras at batch size {sizes}")
    say(f"Wrote {path}, {size(path) / 1e6:.1f} MB")


def output_path(settings, folder):
    """Where to write the generator; raises UserError when it has another format's ending."""
    suffix = exports.FORMATS[settings.format].suffix
    snapshot = Path(runs.SNAPSHOTS[settings.snapshot])
    default = runs.place_for(folder, snapshot.with_suffix(suffix).name)
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
    ours = (path / "saved_model.pb").is_file() if is_folder else path.is_file()
    if os.path.lexists(path) and not (ours and settings.overwrite):
        mend = "add --overwrite to replace it, or give" if ours else "and is no export; give"
        raise UserError(f"--output {path}: is there already; {mend} another name")
    files.check_writable(path.parent)


def size(path):
    """Bytes of a file, or of the files in a folder."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


if __name__ == "__main__":
    sys.exit(main())
