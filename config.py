"""All settings, one frozen dataclass per command.

A field is an option, with its type, default, help text and check in one place; its flag is its
name. Flags that cannot be combined are refused here too.
"""

import dataclasses
import functools
from pathlib import Path

from cli import Settings, UserError, between, local_path, matching, option

REPOSITORY = Path(__file__).resolve().parent
MNIST = str(REPOSITORY / "assets" / "mnist.npz")
CLASSIFIER = str(REPOSITORY / "assets" / "classifier.npz")
PRETRAINED = "pretrained"  # the name of the run that ships with the repo
LARGEST_NOISE_DIM = 10**4
LARGEST_SEED = 2**31 - 1
MAX_IN_MEMORY = 10**6  # digits selected by label, or written with their noise
RUN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"

run_name = matching(RUN, "a plain name (letters, digits, '.', '_', '-')")
below_one = between(0, 0.9999999)
fixed = functools.partial(option, fixed_on_resume=True)
SNAPSHOT = functools.partial(
    option,
    "latest",
    "Which generator: the latest, or the one with the best FID during training.",
    choices=("latest", "best"),
    formerly="generator",
)


@dataclasses.dataclass(frozen=True)
class TrainSettings(Settings):
    """Train a DCGAN on MNIST. To resume, run the same command again."""

    run: str = option(
        "digits",
        "Name of the run.",
        matching(
            rf"(?!{PRETRAINED}$)(?!.*\.old-[0-9]+$){RUN}",
            f"a plain name (letters, digits, '.', '_', '-') other than {PRETRAINED} or NAME.old-1, "
            "which are reserved",
        ),
    )
    epochs: int = option(100, "Train up to this epoch.", between(1, 10**6))
    batch_size: int = fixed(256, "Images per step.", between(2, 10**6))
    learning_rate: float = fixed(1e-4, "Adam's learning rate, both networks.", between(1e-9, 1))
    beta_1: float = fixed(0.0, "Adam's decay of the first moment.", below_one)
    beta_2: float = fixed(0.99, "Adam's decay of the second moment.", below_one)
    noise_dim: int = fixed(200, "Length of the generator's input.", between(1, LARGEST_NOISE_DIM))
    num_codes: int = fixed(
        None,
        "Number of discrete codes, 0 for none. Default: 64 with --codes clusters (at most a third "
        "of --noise_dim), 32 with --codes free (at most a quarter).",
        between(0, LARGEST_NOISE_DIM),
    )
    codes: str = fixed(
        "clusters",
        "What the codes mean: clusters ties each code to a cluster of the training images, and "
        "tells the discriminator the code; free leaves the meaning to the generator.",
        choices=("clusters", "free"),
    )
    ink_channel: str = fixed(
        "on", "Give the discriminator a second channel that marks pale ink.", choices=("on", "off")
    )
    dropout: float = fixed(0.1, "The discriminator's dropout rate.", between(0, 0.99))
    gradient_penalty: float = fixed(1.0, "Weight of the R1 gradient penalty.", between(0, 1e6))
    early_penalty: float = fixed(
        0.3,
        "Factor on --gradient_penalty for the first 1,080,000 images, 18 epochs of MNIST.",
        between(0, 1e6),
    )
    ema_decay: float = fixed(0.999, "Decay of the generator's EMA, per step.", below_one)
    seed: int = fixed(0, "Seed of weights, noise and image order.", between(0, LARGEST_SEED))
    data: str = option(
        MNIST,
        "An .npz, .npy or IDX file of images, or a folder that holds pictures or an IDX file.",
        local_path,
    )
    transpose: bool = option(False, "Swap rows and columns of the images.")
    sample_every: int = fixed(1, "Epochs between two sample grids.", between(1, 10**6))
    evaluate_every: int = option(5, "Epochs between two FIDs, 0 for none.", between(0, 10**6))
    save_every: str = option(
        "auto",
        "How often to save: every so many epochs (1) or minutes (10m); auto saves at the end of an "
        "epoch if 10 seconds have passed since the last save.",
        matching("auto|[1-9][0-9]{0,5}m?", "auto, or epochs, such as 1, or minutes, such as 10m"),
    )
    precision: str = fixed("float32", "Type of the activations.", choices=("float32", "bfloat16"))
    tf32: str = option(
        "auto",
        "Use TensorFloat-32 on NVIDIA GPUs; auto does so unless --deterministic.",
        choices=("auto", "on", "off"),
    )
    compile: str = option(
        "auto", "Compile with XLA; auto does so on a GPU.", choices=("auto", "on", "off")
    )
    strategy: str = option(
        "auto",
        "One GPU or else the CPU (one), all GPUs of this machine (mirrored), or the workers of "
        "TF_CONFIG or Slurm (multi_worker); auto takes TF_CONFIG's workers or, without it, one.",
        choices=("auto", "one", "mirrored", "multi_worker"),
    )
    port: int = option(
        0,
        "Slurm: first port of a node's workers. Default: from the job's number.",
        between(0, 65535),
    )
    deterministic: bool = fixed(False, "Train bitwise reproducibly, a little slower.")
    fresh: bool = option(False, "Start over; the old run is kept as NAME.old-1.")
    dry_run: bool = option(False, "Print what would be trained and written, then stop.")
    report: bool = option(False, "Print what to paste into a bug report, then stop.")
    checkpoints_dir: str = option("checkpoints", "Folder of the runs.", local_path)
    samples_dir: str = option("samples", "Folder for pictures.", local_path)

    def __post_init__(self):
        if self.num_codes is None:
            free, clusters = min(32, self.noise_dim // 4), min(64, self.noise_dim // 3)
            usual = clusters if self.codes == "clusters" else free
            object.__setattr__(self, "num_codes", usual)
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

    @property
    def num_clusters(self):
        """Number of clusters of the training images; 0 if the codes are free or there are none."""
        return self.num_codes if self.codes == "clusters" else 0

    def fixed_on_resume(self):
        """The settings that affect training, which a resumed run keeps, as a dictionary."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["fixed_on_resume"]
        }


@dataclasses.dataclass(frozen=True)
class GenerateSettings(Settings):
    """Draw digits with a trained generator: any digits, or those you ask for."""

    num_samples: int = option(10, "How many digits to draw.", between(1, 10**8))
    seed: int = option(
        0, "Seed of the samples; sample i of a seed is always the same.", between(0, LARGEST_SEED)
    )
    run: str = option("", "Run to draw with. Default: your latest.", run_name)
    snapshot: str = SNAPSHOT()
    digit: str = option("", "Draw only this digit.", choices=tuple("0123456789"))
    code: str = option(
        "",
        "Draw only with this discrete code, a number from 0.",
        matching("[0-9]{1,4}", "a whole number from 0"),
    )
    text: tuple = option(
        (),
        "Numbers to write, each on a line of its own: 2026 '3141 5926'.",
        matching("[0-9 ]*[0-9][0-9 ]*", "made of digits 0 to 9 and spaces"),
    )
    balanced: bool = option(False, "Draw 0, 1, ... 9 in turn.")
    min_confidence: float = option(
        0.9, "Minimum classifier probability for a requested digit.", between(0, 1)
    )
    raw: bool = option(False, "Keep every sample, without rejection by the digit classifier.")
    redraw: str = option(
        "",
        "Draw again the images of an .npz that was written with --save_noise.",
        local_path,
        formerly="latents",
    )
    save_noise: bool = option(
        False, "Write each digit's noise to the .npz too, for --redraw.", formerly="save_latents"
    )
    noise_scale: float = option(
        1.0, "Factor on the noise; below 1 the samples are less varied.", between(0.001, 1)
    )
    interpolate: int = option(
        0, "Animate a closed path through this many samples.", between(0, 1000)
    )
    interpolation_grid: bool = option(False, "Draw a grid between digits in its four corners.")
    project: str = option("", "A 28x28 PNG; draws the generator's nearest image to it.", local_path)
    scale: int = option(0, "Factor to enlarge pictures by. Default: what fits.", between(0, 100))
    invert: bool = option(False, "Draw black on white; --project then expects the same.")
    output: str = option(
        "",
        "A .png, .npz, -images-idx3-ubyte.gz, .gif, .mp4, or FOLDER/. Default: in samples.",
        local_path,
    )
    checkpoints_dir: str = option("checkpoints", "Folder of the runs.", local_path)
    samples_dir: str = option("samples", "Folder for pictures.", local_path)

    def __post_init__(self):
        super().__post_init__()
        selections = ("digit", "text", "balanced", "code")
        modes = ("interpolate", "interpolation_grid", "project", "text", "redraw")
        groups = [selections, modes, ("redraw", "save_noise")]
        for mode in ("project", "redraw"):
            groups += [(mode, name) for name in (*selections, "noise_scale")]
        for group in groups:
            given = [name for name in group if getattr(self, name) != getattr(type(self), name)]
            if len(given) > 1:
                raise UserError(f"--{' and --'.join(given)} cannot be combined; use only one")
        if self.save_noise and not self.output.endswith(".npz"):
            raise UserError("--save_noise needs an --output that ends in .npz")
        if self.interpolate == 1:
            raise UserError("--interpolate needs at least 2 samples")
        if self.num_samples > MAX_IN_MEMORY and (self.digit or self.balanced or self.save_noise):
            raise UserError(
                f"--num_samples: at most {MAX_IN_MEMORY:,} with --digit, --balanced or --save_noise"
            )
        if self.scale and self.output.endswith((".npz", ".gz")):
            raise UserError(f"--scale is for pictures; {self.output} holds digits of 28x28")
        if self.output.endswith((".gif", ".mp4")) and not self.interpolate:
            raise UserError(f"--output {self.output}: an animation needs --interpolate")


@dataclasses.dataclass(frozen=True)
class EvaluateSettings(Settings):
    """Score a run's samples, or any images, beside real images."""

    num_samples: int = option(10_000, "How many digits to draw.", between(2000, 10**6))
    seed: int = option(0, "Seed of the samples.", between(0, LARGEST_SEED))
    run: str = option("", "Run to score. Default: your latest.", run_name)
    runs: tuple = option((), "Runs to score side by side.", run_name)
    images: str = option(
        "", "An .npz, .npy or IDX file, or a folder of pictures, to score instead.", local_path
    )
    transpose: bool = option(False, "Swap rows and columns of --images.")
    output: str = option(
        "",
        "A .json for the scores; pictures go beside it. Default: in the run's folders.",
        local_path,
    )
    snapshot: str = SNAPSHOT()
    data: str = option(
        MNIST, "An .npz with x_train and x_test, or a folder with their IDX files.", local_path
    )
    checkpoints_dir: str = option("checkpoints", "Folder of the runs and their scores.", local_path)
    samples_dir: str = option("samples", "Folder for pictures.", local_path)


@dataclasses.dataclass(frozen=True)
class ExportSettings(Settings):
    """Export a trained generator for another runtime, and check that it draws the same there."""

    format: str = option(
        "onnx", "What to write.", choices=("keras", "saved_model", "onnx", "tflite")
    )
    run: str = option("", "Run to export. Default: your latest.", run_name)
    snapshot: str = SNAPSHOT()
    output: str = option(
        "", "A file, or a folder for saved_model. Default: in the run's folder.", local_path
    )
    batch: str = option(
        "any",
        "A fixed batch size, for runtimes that need one.",
        matching("any|[1-9][0-9]{0,3}", "a whole number from 1 to 9999, or any"),
    )
    with_classifier: bool = option(False, "Export the digit classifier too, as NAME-classifier.")
    overwrite: bool = option(False, "Replace an existing export.")
    checkpoints_dir: str = option("checkpoints", "Folder of the runs.", local_path)


@dataclasses.dataclass(frozen=True)
class ClassifierSettings(Settings):
    """Train the digit classifier that all scores use, and write its weights and checksum."""

    epochs: int = option(12, "Passes over the images.", between(1, 1000))
    seed: int = option(0, "Seed of weights and image order.", between(0, LARGEST_SEED))
    data: str = option(
        MNIST, "An .npz with labelled digits, or a folder with their IDX files.", local_path
    )
    output: str = option(
        CLASSIFIER, "An .npz for the weights; scores use the one at the default path.", local_path
    )
    overwrite: bool = option(False, "Replace existing weights.")
