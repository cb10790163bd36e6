"""Every number that a person may set: one frozen dataclass for each command.

A field is an option, with its type, default, help text and check in one place; its flag is its
name.
"""

import dataclasses
import re
from pathlib import Path

from cli import (
    Settings,
    UserError,
    batch_size,
    below_one,
    between,
    digits_and_spaces,
    dropout_rate,
    local_path,
    not_negative,
    one_of,
    option,
    optional_code,
    optional_digit,
    optional_run_name,
    positive_up_to_one,
    probability,
    run_name,
    run_names,
    saving_interval,
)

REPOSITORY = Path(__file__).resolve().parent
MNIST = str(REPOSITORY / "assets" / "mnist.npz")
CLASSIFIER = str(REPOSITORY / "assets" / "classifier.npz")
PRETRAINED = "pretrained"  # the name of the run that ships with the repo
LARGEST_NOISE_DIM = 10**4
WHICH_GENERATOR = "latest, or best: the snapshot with the best FID in training"


def new_run_name(value):
    """Check for a run's name that is not kept for something else."""
    if value == PRETRAINED or re.search(r"\.old-[0-9]+$", value):
        return "is reserved for a finished run and cannot be trained; give another name"
    return run_name(value)


@dataclasses.dataclass(frozen=True)
class TrainSettings(Settings):
    """Train a DCGAN on MNIST. To resume, run the same command again."""

    run: str = option("digits", "name of the run", new_run_name)
    epochs: int = option(100, "number of epochs to train to", between(1, 10**6))
    batch_size: int = option(256, "images per step", between(2, 10**6), fixed_on_resume=True)
    learning_rate: float = option(
        1e-4, "Adam's learning rate, both networks", positive_up_to_one, fixed_on_resume=True
    )
    beta_1: float = option(0.0, "Adam's decay of the first moment", below_one, fixed_on_resume=True)
    beta_2: float = option(
        0.99, "Adam's decay of the second moment", below_one, fixed_on_resume=True
    )
    noise_dim: int = option(
        200, "length of the generator's input", between(1, LARGEST_NOISE_DIM), fixed_on_resume=True
    )
    num_codes: int = option(
        None,
        "discrete codes in the generator's input, 0 for none (default: 32, or a quarter of "
        "--noise_dim if that is less)",
        between(0, LARGEST_NOISE_DIM),
        fixed_on_resume=True,
    )
    dropout: float = option(
        0.1,
        "the discriminator's dropout rate, in steps of 1/256",
        dropout_rate,
        fixed_on_resume=True,
    )
    gradient_penalty: float = option(
        1.0,
        "weight of the discriminator's R1 gradient penalty, 0 for none",
        not_negative,
        fixed_on_resume=True,
    )
    early_penalty: float = option(
        0.3,
        "factor on --gradient_penalty during the first 18 epochs of MNIST",
        not_negative,
        fixed_on_resume=True,
    )
    ema_decay: float = option(
        0.999,
        "decay of the EMA of the generator's weights, per step",
        below_one,
        fixed_on_resume=True,
    )
    seed: int = option(
        0,
        "seed of the initial weights, the noise and the order of the images",
        between(0, 2**31 - 1),
        fixed_on_resume=True,
    )
    data: str = option(
        MNIST, "an .npz, .npy or IDX file of images, or a folder with one or with PNGs", local_path
    )
    sample_every: int = option(
        1, "epochs between two sample grids", between(1, 10**6), fixed_on_resume=True
    )
    evaluate_every: int = option(
        5, "compute FID every so many epochs, 0 for never", between(0, 10**6)
    )
    save_every: str = option("1", "epochs (1) or minutes (10m) between two saves", saving_interval)
    precision: str = option(
        "float32",
        "float32 or bfloat16 arithmetic, or auto: the faster one",
        one_of("float32", "bfloat16", "auto"),
        fixed_on_resume=True,
    )
    tf32: str = option(
        "auto",
        "float32 products with 10 bits of mantissa on NVIDIA GPUs: on, off, or auto: on unless "
        "--deterministic",
        one_of("auto", "on", "off"),
    )
    compile: str = option("auto", "XLA: auto (on a GPU), on or off", one_of("auto", "on", "off"))
    strategy: str = option(
        "auto",
        "devices: auto, one, mirrored or multi_worker",
        one_of("auto", "one", "mirrored", "multi_worker"),
    )
    port: int = option(
        0,
        "Slurm: first port of a node's workers, one each (default: from the job's number)",
        between(0, 65535),
    )
    deterministic: bool = option(
        False, "bitwise reproducible on one machine, a little slower", fixed_on_resume=True
    )
    fresh: bool = option(False, "start over; the old run is set aside as NAME.old-1")
    dry_run: bool = option(False, "print what would be trained and written, and end")
    report: bool = option(False, "print what a bug report needs, to be pasted, and end")
    checkpoints_dir: str = option("checkpoints", "where runs are kept", local_path)
    samples_dir: str = option("samples", "where pictures are written", local_path)

    def __post_init__(self):
        if self.num_codes is None:
            object.__setattr__(self, "num_codes", min(32, self.noise_dim // 4))
        super().__post_init__()
        if self.deterministic and self.tf32 == "on":
            raise UserError(
                "--deterministic switches TF32 off, --tf32 on switches it on; give one of them"
            )
        if self.num_codes > self.noise_dim:
            raise UserError(
                f"--num_codes {self.num_codes} exceeds --noise_dim {self.noise_dim}: each code "
                "uses one number of the noise; give fewer codes or more noise"
            )

    def fixed_on_resume(self):
        """The settings that affect training, which a resumed run keeps, as a dictionary."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["fixed_on_resume"]
        }


@dataclasses.dataclass(frozen=True)
class GenerateSettings(Settings):
    """Draw digits with a trained generator: any, or digits of your choice."""

    num_samples: int = option(10, "how many digits", between(1, 10**8))
    seed: int = option(0, "sample i of a seed is always the same image", between(0, 2**31 - 1))
    run: str = option("", "run to draw with (default: your latest)", optional_run_name)
    generator: str = option("latest", WHICH_GENERATOR, one_of("latest", "best"))
    digit: str = option("", "draw this digit only, 0 to 9", optional_digit)
    code: str = option("", "draw from this discrete code only, a number from 0", optional_code)
    text: tuple = option((), "numbers to write, each a line: 2026 '3141 5926'", digits_and_spaces)
    balanced: bool = option(False, "draw 0, 1, ... 9 in turn")
    min_confidence: float = option(
        0.9,
        "minimum classifier probability for a requested digit",
        probability,
    )
    raw: bool = option(False, "keep every sample: no rejection by the digit classifier")
    latents: str = option(
        "", "an .npz with `noise`, as --save_latents writes it: draw that again", local_path
    )
    save_latents: bool = option(False, "keep the noise of each digit in an .npz, for --latents")
    noise_scale: float = option(
        1.0, "multiplies the noise; below 1 the samples are less varied", positive_up_to_one
    )
    interpolate: int = option(
        0, "draw a closed animation through this many samples", between(0, 1000)
    )
    interpolation_grid: bool = option(
        False, "a grid that interpolates between four digits in its corners"
    )
    project: str = option(
        "", "a PNG of 28x28; finds the noise whose image is nearest to it", local_path
    )
    scale: int = option(0, "enlarge pictures by this factor (default: what fits)", between(0, 100))
    invert: bool = option(False, "draw black on white; --project then expects the same")
    output: str = option(
        "",
        "a .png, .npz, -images-idx3-ubyte.gz, .gif, .mp4, or FOLDER/ (default: in samples)",
        local_path,
    )
    checkpoints_dir: str = option("checkpoints", "where runs are kept", local_path)
    samples_dir: str = option("samples", "where pictures are written", local_path)


@dataclasses.dataclass(frozen=True)
class EvaluateSettings(Settings):
    """Score a run's samples, or any images, beside real images."""

    num_samples: int = option(10_000, "how many digits to draw", between(2000, 10**6))
    seed: int = option(0, "seed of the digits drawn", between(0, 2**31 - 1))
    run: str = option("", "run to score (default: your latest)", optional_run_name)
    runs: tuple = option((), "runs to score side by side", run_names)
    images: str = option(
        "", "an .npz, .npy or IDX file, or a folder of PNGs, to score instead", local_path
    )
    output: str = option(
        "", "a .json for the scores, pictures beside it (default: by the run)", local_path
    )
    generator: str = option("latest", WHICH_GENERATOR, one_of("latest", "best"))
    data: str = option(
        MNIST, "an .npz with x_train and x_test, or a folder with their IDX files", local_path
    )
    checkpoints_dir: str = option(
        "checkpoints", "where runs, and their scores, are kept", local_path
    )
    samples_dir: str = option("samples", "where pictures are written", local_path)


@dataclasses.dataclass(frozen=True)
class ExportSettings(Settings):
    """Export a trained generator for another runtime, and check that it draws the same there."""

    format: str = option(
        "onnx",
        "keras, saved_model, onnx or tflite",
        one_of("keras", "saved_model", "onnx", "tflite"),
    )
    run: str = option("", "run to export (default: your latest)", optional_run_name)
    generator: str = option("latest", WHICH_GENERATOR, one_of("latest", "best"))
    output: str = option(
        "", "a file, or a folder for saved_model (default: in the run's folder)", local_path
    )
    batch: str = option("any", "a fixed batch size, for runtimes that need one", batch_size)
    with_classifier: bool = option(
        False, "write the digit classifier too, beside it, as NAME-classifier"
    )
    overwrite: bool = option(False, "replace an existing export")
    checkpoints_dir: str = option("checkpoints", "where runs are kept", local_path)


@dataclasses.dataclass(frozen=True)
class ClassifierSettings(Settings):
    """Train the digit classifier that the scores rest on, and write its weights and checksum."""

    epochs: int = option(12, "passes over the images", between(1, 1000))
    seed: int = option(
        0, "seed of the initial weights and the order of the images", between(0, 2**31 - 1)
    )
    data: str = option(
        MNIST, "an .npz with labelled digits, or a folder with their IDX files", local_path
    )
    output: str = option(CLASSIFIER, "an .npz for the weights; scores read this one", local_path)
    overwrite: bool = option(False, "replace weights that are there")
