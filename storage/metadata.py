"""What an exported file says about itself, whatever its format: input, output, origin, licence."""

import json
import zipfile
from importlib.metadata import version

from config import GenerateSettings

MEMBER = "digitgen.json"  # its name in an archive and in a folder
LICENCE = "MIT; trained on MNIST by LeCun, Cortes and Burges, CC BY-SA 3.0"


def describe_generator(folder, which, snapshot, input_shape, num_codes):
    """What a run's generator, `latest` or `best`, says about itself: a dictionary for JSON.

    `snapshot` is the text of storage.runs.load_snapshot; None in the shape is a free batch. The
    position of the largest of the first `num_codes` numbers of the noise is the code.
    """
    batch, noise_dim = input_shape[0] or "batch", input_shape[1]
    return {
        "title": "Digitgen: a generator of handwritten digits",
        "input": f"noise, float32 ({batch}, {noise_dim}): standard normal",
        "output": f"digits, float32 ({batch}, 28, 28, 1): -1 is black, 1 is white",
        "accept": "as the classifier exported with it says, or all",
        "num_codes": num_codes,
        **origin(folder, snapshot),
        "scores": read_scores(folder, which, snapshot),
        "licence": LICENCE,
        "keras_version": version("keras"),
    }


def describe_classifier(folder, snapshot, sha256, input_shape, is_calibrated):
    """What the digit classifier, with weights of this checksum, says about itself.

    `is_calibrated` is whether it also gives the probability of accepting an image of the generator.
    """
    batch = input_shape[0] or "batch"
    outputs = [f"probabilities, float32 ({batch}, 10): of the digits 0 to 9"]
    accept = (
        "images whose largest probability is at least, for instance, "
        f"{GenerateSettings.min_confidence:g}"
    )
    if is_calibrated:
        outputs.append(f"acceptance, float32 ({batch}, 1): the probability of accepting an image")
        accept = (
            "an image if a uniform random number is below its acceptance; to select a digit, if "
            f"its probability is at least {GenerateSettings.min_confidence:g} as well"
        )
    return {
        "title": "Digitgen: a classifier of handwritten digits",
        "input": f"digits, float32 ({batch}, 28, 28, 1): as the generator gives them",
        "output": "; ".join(outputs),
        "accept": accept,
        **origin(folder, snapshot),
        "weights_sha256": sha256,
        "licence": LICENCE,
        "keras_version": version("keras"),
    }


def origin(folder, snapshot):
    """Run and epoch of a generator."""
    epoch = snapshot.rpartition(", epoch ")[2] if ", epoch " in snapshot else None
    return {"run": folder.name, "epoch": epoch and float(epoch)}


def read_scores(folder, which, snapshot):
    """What `evaluate_digits.py` found of this very snapshot, or None."""
    path = folder / ("scores.json" if which == "latest" else f"scores-{which}.json")
    try:
        report = json.loads(path.read_text())
        if report["generator"].rpartition("/")[2] == snapshot.rpartition("/")[2]:
            return {key: report[key] for key in ("num_samples", "classifier", "scores")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # a damaged file of scores is no reason not to export
    return None


def add_member(path, description):
    """Put a description into a zip archive, or behind a file of another kind.

    TensorFlow Lite's own metadata lies behind the model in this way: what reads the model from its
    beginning does not see it, what reads the archive from its end does.
    """
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(MEMBER), as_json(description))


def as_json(description):
    """A description as text for people and programs."""
    return json.dumps(description, indent=2) + "\n"
