"""Draw digits with a trained generator: `python generate_digits.py --num_samples 10`."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))  # which python -P and -I leave out

from machine.command import run_command  # first: it explains what is not installed

# isort: split
import numpy as np
from tqdm import tqdm

import data
import readers
from cli import UserError, say
from config import GenerateSettings
from machine import files
from machine.loading import importing_tensorflow
from storage import formats, images, snapshots

PROJECTION_STEPS = 300


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(GenerateSettings, generate, argv)


def generate(settings):
    """Draw what the settings ask for and write it."""
    flag, mode = next((flag, mode) for flag, mode in MODES.items() if getattr(settings, flag))
    folder = snapshots.find_run(settings)
    source = mode.source(settings)
    output = settings.output or default_output(settings, flag, folder.name)
    formats.check_output(output, mode.num_images(settings, source), settings.scale)
    snapshot = snapshots.load_snapshot(folder, settings.snapshot)
    code = requested_code(settings, snapshot.num_codes)
    with importing_tensorflow():
        from sampling.sampler import Sampler
        from storage.weights import load_generator

        sampler = Sampler(load_generator(snapshot), settings.noise_scale, code)
    say(f"Drawing with {snapshot}, seed {settings.seed}")
    if settings.noise_scale < 1:
        say(f"--noise_scale {settings.noise_scale:g}: less varied samples")
    samples = mode.draw(settings, folder, sampler, source)
    for path in formats.write(output, samples, settings.scale, settings.invert):
        say(f"Wrote {path}")


# What is read before TensorFlow is loaded: the source of each mode.


def any_labels(settings):
    """How many samples to draw, and their labels, uint8 (N,), or None for any."""
    if settings.text:
        labels = np.array([int(sign) for sign in "".join(settings.text) if sign != " "], np.uint8)
        return len(labels), labels
    num = settings.interpolate or 4 * settings.interpolation_grid or settings.num_samples
    if settings.digit:
        return num, np.full(num, int(settings.digit), np.uint8)
    return num, (np.arange(num) % 10).astype(np.uint8) if settings.balanced else None


def load_saved(settings):
    """The name and the array of the `latents` or the `noise`, float32 (N, dim), of --redraw.

    Raises UserError when the file has neither.
    """
    path = settings.redraw
    name, array = readers.read_array(Path(path), ("latents", "noise"), "noise or latents")
    if not name or array.ndim != 2 or array.dtype.kind != "f" or not len(array):
        found = f"{name or 'an array without a name'} {array.dtype} {array.shape}"
        raise UserError(f"--redraw {path}: must have `noise` of floats (N, dim); it has: {found}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    array = array[np.isfinite(array).all(1)]  # a projection's first picture has no noise
    if not len(array):
        raise UserError(f"--redraw {path}: its {name} is not finite")
    return name, array


def load_target(settings):
    """The picture of --project, uint8 (28, 28), white on black."""
    try:
        target = images.load_png(settings.project, background=255 * settings.invert)
    except readers.UNREADABLE as error:
        raise readers.unreadable(f"--project {settings.project}", "a picture", error) from error
    if target.shape != (data.IMAGE_SIZE, data.IMAGE_SIZE):
        size = "x".join(map(str, target.shape[::-1]))
        raise UserError(f"--project {settings.project}: is {size}; make it 28x28, white on black")
    if target.min() == target.max():
        raise UserError(f"--project {settings.project}: is blank; give a picture of a digit")
    return 255 - target if settings.invert else target


def requested_code(settings, num_codes):
    """The number of --code, or None for any; raises UserError if the generator has no such code."""
    if not settings.code:
        return None
    if int(settings.code) >= num_codes:
        codes = f"its codes are 0 to {num_codes - 1}" if num_codes else "it has no codes"
        raise UserError(f"--code {settings.code}: the generator has no such code; {codes}")
    return int(settings.code)


def default_output(settings, mode, run_name):
    """A path in the samples folder that says what is drawn, with the flags that are given."""
    files.check_writable(settings.samples_dir)
    words = [run_name] + [f"{settings.num_samples}-digits"] * (mode == "num_samples")
    details = ("digit", "code", "balanced", "snapshot", "noise_scale", "raw", "invert")
    for flag in (*MODES, *details):
        value = getattr(settings, flag)
        if flag != "num_samples" and value != getattr(GenerateSettings, flag):
            if flag == "text":
                value = "_".join(value)
            elif flag in ("project", "redraw"):
                value = Path(value).stem
            words.append(flag if value is True else f"{flag}-{value}"[:60])
    name = re.sub(r"[^\w.-]+", "_", "-".join([*words, f"seed-{settings.seed}"]))
    return str(Path(settings.samples_dir) / f"{name}.{'gif' if settings.interpolate else 'png'}")


# Drawing: each function takes the settings, the run's folder, its Sampler and the mode's source,
# and returns formats.Samples.


def draw(settings, folder, sampler, source):
    """The first samples of the seed that are accepted and, if there are labels, read as such."""
    num, labels = source
    draws = open_draws(settings, folder, sampler, labels is not None)
    if labels is not None:
        with progress(num) as bar:
            arrays = draws.take_labelled(labels, settings.min_confidence, bar.update)._asdict()
        say(f"Found {num:,} digits among {arrays['index'].max() + 1:,} draws")
        blocks = [arrays.pop("images")]
    elif draws:
        arrays = {"index": np.empty(num, np.int64), "confidence": np.empty(num, np.float32)}
        blocks = with_progress(accepted_blocks(draws, arrays), num)
    else:
        arrays = {"index": np.arange(num)}
        blocks = with_progress(sampler.sample(num, settings.seed), num)
    if settings.save_noise:
        arrays["noise"] = lambda: sampler.noise(settings.seed, arrays["index"])
    return formats.Samples(blocks, num, arrays=arrays)


def open_draws(settings, folder, sampler, needs_labels):
    """The rejection.RejectionSampler of the settings; None if the classifier is not needed."""
    from evaluation.classifier import DigitClassifier
    from sampling import acceptance
    from sampling.rejection import RejectionSampler

    reason = "--raw" if settings.raw else acceptance.reason_for_raw(folder)
    if reason:
        say(f"No rejection sampling: {reason}")
    if reason and not needs_labels:
        return None
    classifier, calibration = DigitClassifier(), None
    if not reason:
        calibration = acceptance.load_or_calibrate(
            folder, settings.snapshot, sampler.generator, classifier
        )
    return RejectionSampler(sampler, classifier, calibration, settings.seed)


def accepted_blocks(draws, arrays):
    """Yield the images that are accepted; fill the arrays `index` and `confidence`, (N,)."""
    done = 0
    for block in draws.take(len(arrays["index"])):
        here = slice(done, done + len(block.images))
        arrays["index"][here], arrays["confidence"][here] = block.index, block.confidence
        done = here.stop
        yield block.images
    report_rate(arrays["index"])


def report_rate(index):
    """Print the acceptance rate; `index` holds the numbers of the accepted draws."""
    num, drawn = len(index), index.max() + 1
    say(f"Accepted {num:,} of {drawn:,} draws, {num / drawn:.0%} (--raw keeps every one)")


def draw_text(settings, folder, sampler, source):
    """The digits of --text; in a PNG, in lines with gaps."""
    samples = draw(settings, folder, sampler, source)
    if settings.output and not settings.output.endswith(".png"):
        return samples
    (pixels,), width = samples.blocks, max(map(len, settings.text))
    is_digit = np.array([sign != " " for line in settings.text for sign in line.ljust(width)])
    cells = np.zeros((len(is_digit), *pixels.shape[1:]), np.uint8)
    cells[is_digit] = pixels
    return formats.Samples([cells], len(cells), width)


def draw_path(settings, folder, sampler, source):
    """The path of --interpolate, or the grid of --interpolation_grid, through samples."""
    from sampling import latent

    samples = draw(settings, folder, sampler, source)
    for _ in samples.blocks:  # until all are drawn, their index is not known
        pass
    # Latents, not noise: no noise has a mixture of two codes.
    anchors = sampler.latents(sampler.noise(settings.seed, samples.arrays["index"]))
    path, columns = latent.grid, formats.GRID_SIDE
    if settings.interpolate:
        path, columns = latent.closed_path, formats.FRAMES
    latents = latent.path_by_parts(path, anchors, sampler.num_codes, columns)
    return formats.Samples(sampler.decode(latents), len(latents), columns, {"latents": latents})


def redraw(settings, folder, sampler, source):
    """The images of saved noise or latents."""
    name, array = source
    if array.shape[1] != sampler.noise_dim:
        raise UserError(
            f"--redraw {settings.redraw}: has {array.shape[1]} numbers for each digit, but the "
            f"generator needs {sampler.noise_dim}; give the --run that it was drawn with"
        )
    latents = sampler.latents(array) if name == "noise" else array
    blocks = with_progress(sampler.decode(latents), len(latents))
    return formats.Samples(blocks, len(latents), arrays={name: array})


def project(settings, folder, sampler, target):
    """The picture of --project beside the generator's nearest image to it."""
    from sampling import latent

    search = latent.project(sampler.generator, target, settings.seed, PROJECTION_STEPS)
    with progress(PROJECTION_STEPS, " steps") as bar:
        for found in search:
            bar.set_postfix_str(f"{found[1]:.1f} grey levels", False)
            bar.update()
    z, error = found
    say(f"Nearest: {error:.1f} grey levels of 255 away (root mean square)")
    (image,) = sampler.decode(sampler.latents(z))
    noise = np.concatenate([np.full_like(z, np.nan), z])  # the picture has none
    return formats.Samples([target[None], image], 2, 2, {"noise": noise})


def progress(total, unit=" digits"):
    """A progress bar, if there is much to do and the output is a terminal."""
    return tqdm(total=total, unit=unit, disable=None if total >= 200 else True)


def with_progress(blocks, num):
    """Yield the blocks, (some, 28, 28), behind a progress bar."""
    with progress(num) as bar:
        for block in blocks:
            yield block
            bar.update(len(block))


class Mode(NamedTuple):
    """A way to draw."""

    source: Callable  # (settings): what it draws from, read before TensorFlow is loaded
    num_images: Callable  # (settings, source): how many images are written
    draw: Callable  # (settings, folder, sampler, source): the formats.Samples to write


MODES = {  # by flag; the first one given counts
    "text": Mode(any_labels, lambda s, _: len(s.text) * max(map(len, s.text)), draw_text),
    "interpolate": Mode(any_labels, lambda s, _: s.interpolate * formats.FRAMES, draw_path),
    "interpolation_grid": Mode(any_labels, lambda s, _: formats.GRID_SIDE**2, draw_path),
    "project": Mode(load_target, lambda s, _: 2, project),
    "redraw": Mode(load_saved, lambda s, source: len(source[1]), redraw),
    "num_samples": Mode(any_labels, lambda s, _: s.num_samples, draw),
}

if __name__ == "__main__":
    sys.exit(main())
