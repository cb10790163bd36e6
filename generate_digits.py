"""Draw digits with a trained generator: `python generate_digits.py --num_samples 10`."""

import itertools
import sys
from pathlib import Path

from cli import UserError, run_command  # first: it explains what is not installed

# isort: split
import numpy as np
from tqdm import tqdm

import data
import readers
from config import GenerateSettings
from startup import importing_tensorflow
from storage import files, formats, images, runs

MAX_LABELLED = 1_000_000  # digits asked for by label, which are held in memory
PROJECTION_STEPS = 300
BLOCKS_AT_ONCE = 10  # of samples, for the classifier and for writing
MODES = ("interpolate", "interpolation_grid", "project", "text")


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(GenerateSettings, generate, argv)


def generate(settings):
    """Draw what the settings ask for and write it."""
    check_combination(settings)
    folder = runs.find_run(settings)
    num = settings.interpolate or 4 * settings.interpolation_grid or settings.num_samples
    labels = wanted_labels(settings, num)
    output = settings.output or default_output(settings, folder.name)
    formats.check_output(output, num_cells(settings), settings.scale)
    target = load_target(settings) if settings.project else None
    arrays, snapshot = runs.load_snapshot(folder, settings.generator)
    with importing_tensorflow():
        from sampling.sampler import Sampler
        from storage.weights import load_generator

        sampler = Sampler(load_generator(arrays, snapshot), settings.noise_scale)
    print(f"Drawing with {snapshot}, seed {settings.seed}")
    if settings.noise_scale < 1:
        print(f"--noise_scale {settings.noise_scale:g}: nearer to the average digit, more alike")
    if settings.project:
        samples = project(settings, sampler, target)
    elif settings.interpolate or settings.interpolation_grid:
        samples = interpolate(settings, sampler, labels, num)
    elif labels is not None:
        samples = draw_labelled(settings, sampler, labels)
    else:
        samples = draw(settings, sampler, num)
    for path in formats.write(output, samples, settings.scale, settings.invert):
        print(f"Wrote {path}")


def draw(settings, sampler, num):
    """The first samples of the seed."""

    def blocks():
        with progress(num) as bar:
            for block in sample_blocks(settings, sampler, num):
                yield block
                bar.update(len(block))

    return formats.Samples(blocks(), num)


def sample_blocks(settings, sampler, num):
    """Yield the first `num` samples of the seed, uint8 (at most 1,000, 28, 28) a time."""
    blocks = sampler.sample(num, settings.seed)
    while some := [*itertools.islice(blocks, BLOCKS_AT_ONCE)]:
        yield np.concatenate(some)


def accept(settings, sampler, labels):
    """Samples that the classifier reads as these labels, a rejection.Accepted."""
    from evaluation.classifier import DigitClassifier
    from sampling import rejection

    blocks = sample_blocks(settings, sampler, rejection.max_draws(len(labels)))
    predict, least = DigitClassifier().predict, settings.min_confidence
    with progress(len(labels)) as bar:
        accepted, drawn = rejection.accept(labels, blocks, predict, least, bar.update)
    print(
        f"Drew {drawn:,} to accept {len(labels):,}, each read with a probability of at least "
        f"{least:g}"
    )
    return accepted


def draw_labelled(settings, sampler, labels):
    """The digits asked for, in a grid, or as the lines of --text."""
    accepted = accept(settings, sampler, labels)
    arrays = accepted._asdict()
    pixels = arrays.pop("images")
    lines = settings.text
    if not lines or (settings.output and not settings.output.endswith(".png")):
        return formats.Samples([pixels], len(pixels), arrays=arrays)
    width = max(map(len, lines))
    is_digit = np.array([sign != " " for line in lines for sign in line.ljust(width)])
    cells = np.zeros((len(is_digit), *pixels.shape[1:]), np.uint8)
    cells[is_digit] = pixels
    return formats.Samples([cells], len(cells), width)


def interpolate(settings, sampler, labels, num):
    """The path of --interpolate, or the grid of --interpolation_grid, through `num` digits."""
    from sampling import latent
    from sampling.noise import sample_noise

    index = np.arange(num) if labels is None else accept(settings, sampler, labels).index
    z = sample_noise(settings.seed, index, sampler.noise_dim)
    columns = formats.FRAMES if settings.interpolate else formats.GRID_SIDE
    z = latent.closed_path(z, columns) if settings.interpolate else latent.grid(z, columns)
    noise = z * np.float32(settings.noise_scale)
    return formats.Samples(sampler.decode(z), len(z), columns, {"noise": noise})


def project(settings, sampler, target):
    """The picture of --project beside the generator's nearest image to it."""
    from sampling import latent

    search = latent.project(sampler.generator, target, settings.seed, PROJECTION_STEPS)
    with progress(PROJECTION_STEPS, " steps") as bar:
        for found in search:
            bar.set_postfix_str(f"{found[1]:.1f} grey levels", False)
            bar.update()
    z, error = found
    print(f"Nearest: {error:.1f} grey levels of 255 away (root mean square)")
    (image,) = sampler.decode(z)
    return formats.Samples([target[None], image], 2, 2)


def progress(total, unit=" digits"):
    """A progress bar, where it takes long enough and someone looks."""
    return tqdm(total=total, unit=unit, disable=None if total >= 200 else True)


def check_combination(settings):
    """Raise UserError for flags that do not go together."""
    for group in (("digit", "text", "balanced"), MODES):
        given = [f"--{name}" for name in group if getattr(settings, name)]
        if len(given) > 1:
            raise UserError(f"{' and '.join(given)} do not go together; give one of them")
    if settings.project and (settings.digit or settings.balanced or settings.noise_scale < 1):
        raise UserError("--project looks for one picture; leave --digit and the like out")
    if settings.interpolate == 1:
        raise UserError("--interpolate 1 goes nowhere; give 2 digits or more")
    if settings.output:
        kind = formats.kind_of(settings.output)
        if settings.scale and kind in ("npz", "idx"):
            raise UserError(f"--scale is for pictures; {settings.output} holds digits of 28x28")
        if kind in ("gif", "mp4") and not settings.interpolate:
            raise UserError(f"--output {settings.output}: an animation needs --interpolate")


def num_cells(settings):
    """How many places for a digit the output has."""
    if settings.text:
        return len(settings.text) * max(map(len, settings.text))
    frames = settings.interpolate * formats.FRAMES
    return frames or settings.interpolation_grid * formats.GRID_SIDE**2 or settings.num_samples


def wanted_labels(settings, num):
    """The labels of the `num` digits asked for, uint8 (N,), or None for any."""
    if settings.text:
        return np.array([int(sign) for sign in "".join(settings.text) if sign != " "], np.uint8)
    if not settings.digit and not settings.balanced:
        return None
    if num > MAX_LABELLED:
        raise UserError(f"--num_samples: up to {MAX_LABELLED:,} digits can be asked for by label")
    labels = np.arange(num) % 10 if settings.balanced else np.full(num, int(settings.digit))
    return labels.astype(np.uint8)


def default_output(settings, run_name):
    """A path in the samples folder that says what is drawn."""
    files.make_folder(settings.samples_dir)
    what = f"{settings.num_samples}-digits"
    if settings.interpolate:
        what = f"interpolation-{settings.interpolate}"
    elif settings.interpolation_grid:
        what = "interpolation-grid"
    if settings.text:
        what = "text-" + "-".join("_".join(line.split()) for line in settings.text)[:60]
    elif settings.digit:
        what += f"-of-{settings.digit}"
    elif settings.balanced:
        what += "-balanced"
    elif settings.project:
        what = f"projection-{Path(settings.project).stem}"
    if settings.generator != "latest":
        what += f"-{settings.generator}"
    if settings.noise_scale < 1:
        what += f"-noise-scale-{settings.noise_scale:g}"
    if settings.invert:
        what += "-inverted"
    ending = "gif" if settings.interpolate else "png"
    return f"{Path(settings.samples_dir) / run_name}-{what}-seed-{settings.seed}.{ending}"


def load_target(settings):
    """The picture that --project names, uint8 (28, 28), white on black."""
    try:
        target = images.load_png(settings.project, ground=255 * settings.invert)
    except readers.UNREADABLE as error:
        raise readers.unreadable(f"--project {settings.project}", "a picture", error) from error
    if target.shape != (data.IMAGE_SIZE, data.IMAGE_SIZE):
        size = "x".join(map(str, target.shape[::-1]))
        raise UserError(f"--project {settings.project}: is {size}; make it 28x28, white on black")
    if target.min() == target.max():
        raise UserError(f"--project {settings.project}: is blank; give a picture of a digit")
    return 255 - target if settings.invert else target


if __name__ == "__main__":
    sys.exit(main())
