"""Write the digit classifier for the page, which asks it what has been drawn."""

import dataclasses
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parent
sys.path.insert(0, str(DEMO.parent))

from cli import Settings, file_path, option, run_command  # noqa: E402
from startup import importing_tensorflow  # noqa: E402
from storage import exports  # noqa: E402


@dataclasses.dataclass(frozen=True)
class DemoSettings(Settings):
    """Write the digit classifier as ONNX."""

    output: str = option(str(DEMO / "classifier.onnx"), "where to", file_path)


def export(settings):
    """Write the classifier: digits (batch, 28, 28, 1) to probabilities (batch, 10)."""
    with importing_tensorflow():
        exports.check_packages("onnx")
        import keras

        from evaluation.classifier import DigitClassifier

        network = DigitClassifier().network
        classifier = keras.Model(network.inputs, network.outputs[-1])
    exports.export(classifier, "digits", "probabilities", "onnx", settings.output)
    print(f"Wrote {settings.output}")


if __name__ == "__main__":
    sys.exit(run_command(DemoSettings, export))
