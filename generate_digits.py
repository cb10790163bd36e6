"""Draw digits with a trained generator: `python generate_digits.py --num_samples 10`."""

import sys
from pathlib import Path

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
from storage import formats, images, runs

PROJECTION_STEPS = 300


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(GenerateSettings, generate, argv)


def generate(settings):
    """Draw what the settings ask for and write it."""
    folder = runs.find_run(settings)
    saved = load_latents(settings.latents) if settings.latents else None
    num = len(next(iter(saved.values()))) if saved else num_samples(settings)
    labels = wanted_labels(settings, num)
    output = settings.output or default_output(settings, folder.name)
    formats.check_output(output, num_cells(settings, num), settings.scale)
    target = load_target(settings) if settings.project else None
    arrays, snapshot = runs.load_snapshot(folder, settings.snapshot)
    code = wanted_code(settings, runs.read_num_codes(arrays, snapshot))
    with importing_tensorflow():
        from sampling.sampler import Sampler
        from storage.weights import load_generator

        sampler = Sampler(load_generator(arrays, snapshot), settings.noise_scale, code)
    say(f"Drawing with {snapshot}, seed {settings.seed}")
    if settings.noise_scale < 1:
        say(f"--noise_scale {settings.noise_scale:g}: less varied samples")
    if settings.project:
        samples = project(settings, sampler, target)
    elif settings.latents:
        samples = draw_latents(settings, sampler, saved)
    else:
        draws = open_draws(settings, folder, sampler, labels is not None)
        if labels is not None:
            samples = draw_labelled(settings, draws, labels)
        else:
            samples = draw(settings, sampler, draws, num)
        if settings.interpolate or settings.interpolation_grid:
            samples = interpolate(settings, sampler, samples)
        elif settings.save_noise:
            index = samples.arrays["index"]
            samples.arrays["noise"] = lambda: sampler.noise(settings.seed, index)
    for path in formats.write(output, samples, settings.scale, settings.invert):
        say(f"Wrote {path}")


def open_draws(settings, folder, sampler, needs_labels):
    """The rejection.RejectionSampler of the settings; None if the classifier is not needed."""
    from evaluation.classifier import DigitClassifier
    from sampling import acceptance
    from sampling.rejection import RejectionSampler

    reason = "--raw" if settings.raw else acceptance.reason_for_raw(folder)
    if reason:
        say(f"Every sample is kept: {reason}")
    if reason and not needs_labels:
        return None
    classifier, calibration = DigitClassifier(), None
    if not reason:
        calibration = acceptance.load_or_calibrate(
            folder, settings.snapshot, sampler.generator, classifier
        )
    return RejectionSampler(sampler, classifier, calibration, settings.seed)


def draw(settings, sampler, draws, num):
    """The first `num` samples of the seed that are accepted, drawn while they are written."""
    if not draws:
        blocks = with_progress(sampler.sample(num, settings.seed), num)
        return formats.Samples(blocks, num, arrays={"index": np.arange(num)})
    index, confidence = np.empty(num, np.int64), np.empty(num, np.float32)

    def accepted():
        done = 0
        for block in draws.take(num):
            here = slice(done, done + len(block.images))
            index[here], confidence[here] = block.index, block.confidence
            done = here.stop
            yield block.images
        report_rate(index)

    blocks = with_progress(accepted(), num)
    return formats.Samples(blocks, num, arrays={"index": index, "confidence": confidence})


def report_rate(index):
    """Print the acceptance rate; `index` holds the numbers of the accepted draws."""
    num, drawn = len(index), index.max() + 1
    say(f"Accepted {num:,} of {drawn:,} draws, {num / drawn:.0%} (--raw keeps every one)")


def draw_labelled(settings, draws, labels):
    """The digits asked for, in a grid, or as the lines of --text."""
    with progress(len(labels)) as bar:
        accepted = draws.take_labelled(labels, settings.min_confidence, bar.update)
    report_rate(accepted.index)
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


def interpolate(settings, sampler, samples):
    """The path of --interpolate, or the grid of --interpolation_grid, through these samples."""
    from sampling import latent

    for _ in samples.blocks:  # until all are drawn, their index is not known
        pass
    # Latents, not noise: no noise has a mixture of two codes.
    anchors = sampler.latents(sampler.noise(settings.seed, samples.arrays["index"]))
    path, columns = latent.grid, formats.GRID_SIDE
    if settings.interpolate:
        path, columns = latent.closed_path, formats.FRAMES
    latents = latent.code_and_rest(path, anchors, sampler.num_codes, columns)
    return formats.Samples(sampler.decode(latents), len(latents), columns, {"latents": latents})


def draw_latents(settings, sampler, saved):
    """The images of `noise` or `latents` that were saved, (N, noise_dim) each."""
    ((name, array),) = saved.items()
    if array.shape[1] != sampler.noise_dim:
        raise UserError(
            f"--latents {settings.latents}: its {name} has {array.shape[1]} numbers a digit, this "
            f"generator takes {sampler.noise_dim}; name the --run that it was drawn with"
        )
    latents = sampler.latents(array) if name == "noise" else array
    blocks = with_progress(sampler.decode(latents), len(latents))
    return formats.Samples(blocks, len(latents), arrays=saved)


def project(settings, sampler, target):
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
    """A progress bar, where it takes long enough and someone looks."""
    return tqdm(total=total, unit=unit, disable=None if total >= 200 else True)


def with_progress(blocks, num):
    """Yield the blocks, (some, 28, 28), behind a progress bar."""
    with progress(num) as bar:
        for block in blocks:
            yield block
            bar.update(len(block))


def num_samples(settings):
    """How many digits to draw."""
    return settings.interpolate or 4 * settings.interpolation_grid or settings.num_samples


def num_cells(settings, num):
    """How many places for a digit the output has."""
    if settings.text:
        return len(settings.text) * max(map(len, settings.text))
    frames = settings.interpolate * formats.FRAMES
    return frames or settings.interpolation_grid * formats.GRID_SIDE**2 or num


def wanted_labels(settings, num):
    """The labels of the `num` digits asked for, uint8 (N,), or None for any."""
    if settings.text:
        return np.array([int(sign) for sign in "".join(settings.text) if sign != " "], np.uint8)
    if not settings.digit and not settings.balanced:
        return None
    labels = np.arange(num) % 10 if settings.balanced else np.full(num, int(settings.digit))
    return labels.astype(np.uint8)


def wanted_code(settings, num_codes):
    """The number of --code, or None for any; raises UserError if the generator has no such code."""
    if not settings.code:
        return None
    if int(settings.code) >= num_codes:
        has = f"its codes are 0 to {num_codes - 1}" if num_codes else "it has no codes"
        raise UserError(f"--code {settings.code}: the generator has no such code; {has}")
    return int(settings.code)


def default_output(settings, run_name):
    """A path in the samples folder that says what is drawn."""
    files.make_folder(settings.samples_dir)
    kinds = {
        f"interpolation-{settings.interpolate}": settings.interpolate,
        "interpolation-grid": settings.interpolation_grid,
        "text-" + "-".join("_".join(line.split()) for line in settings.text)[:60]: settings.text,
        f"projection-{Path(settings.project).stem}": settings.project,
        f"latents-{Path(settings.latents).stem}": settings.latents,
        f"{settings.num_samples}-digits": True,
    }
    details = {
        f"of-{settings.digit}": settings.digit,
        f"code-{settings.code}": settings.code,
        "balanced": settings.balanced,
        settings.snapshot: settings.snapshot != "latest",
        f"noise-scale-{settings.noise_scale:g}": settings.noise_scale < 1,
        "raw": settings.raw,
        "inverted": settings.invert,
    }
    what = [next(filter(kinds.get, kinds)), *filter(details.get, details)]
    ending = "gif" if settings.interpolate else "png"
    name = "-".join([run_name, *what, "seed", str(settings.seed)])
    return str(Path(settings.samples_dir) / f"{name}.{ending}")


def load_latents(path):
    """The `noise` of an .npz or, of an interpolation, its `latents`: {name: float32 (N, dim)}.

    Raises UserError when it holds neither.
    """
    arrays = readers.read_arrays(path, ("latents", "noise"))
    name = "latents" if "latents" in arrays else "noise"
    if name not in arrays:
        held = ", ".join(filter(None, arrays)) or "no named array"
        raise UserError(f"--latents {path}: holds neither noise nor latents; it has: {held}")
    array = arrays[name]
    if array.ndim != 2 or array.dtype.kind != "f" or not len(array):
        raise UserError(f"--latents {path}: `{name}` is {array.dtype} {array.shape}, not (N, dim)")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    array = array[np.isfinite(array).all(1)]
    if not len(array):
        raise UserError(f"--latents {path}: its {name} is not finite")
    return {name: array}


def load_target(settings):
    """The picture that --project names, uint8 (28, 28), white on black."""
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


if __name__ == "__main__":
    sys.exit(main())
