"""What an exported file says about itself, whatever its format: input, output, origin, licence."""

import json
from importlib.metadata import version

from config import GenerateSettings

LICENCE = "MIT; trained on MNIST by LeCun, Cortes and Burges, CC BY-SA 3.0"


def describe_generator(snapshot, noise_dim, batch):
    """What the generator of a Snapshot says about itself: a dictionary for JSON.

    `batch` is its fixed batch size, or None. The position of the largest of the first `num_codes`
    numbers of the noise is the code.
    """
    return {
        "title": "Digitgen: a generator of handwritten digits",
        "input": f"noise, float32 ({batch or 'batch'}, {noise_dim}): standard normal",
        "output": f"digits, float32 ({batch or 'batch'}, 28, 28, 1): -1 is black, 1 is white",
        "accept": "as the classifier exported with it says, or all",
        "num_codes": snapshot.num_codes,
        "scores": read_scores(snapshot),
        **origin(snapshot),
    }


def describe_classifier(snapshot, sha256, batch, is_calibrated):
    """What the digit classifier, with weights of this checksum, says about itself.

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
        **origin(snapshot),
    }


def origin(snapshot):
    return {
        "run": snapshot.path.parent.name,
        "epoch": snapshot.epoch,
        "licence": LICENCE,
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
