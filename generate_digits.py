"""Draw digits with a trained generator: `python generate_digits.py --num_samples 10`."""

import sys
from pathlib import Path

import numpy as np

import data
import files
import formats
import images
import runs
from config import GenerateSettings, UserError, command, quiet_start

LARGEST_CHOICE = 1_000_000  # digits asked for by label, which are held in memory


def main(argv=None):
    """The exit status of the command with these words."""
    return command(GenerateSettings, generate, argv)


def generate(settings):
    """Draw what the settings ask for and write it."""
    check_combination(settings)
    folder = runs.find_run(settings)
    num = settings.walk or 4 * settings.grid_walk or settings.num_samples
    wanted = wanted_labels(settings, num)
    output = settings.output or default_output(settings, folder.name)
    formats.check_output(output, num_pictures(settings), settings.scale)
    target = load_target(settings) if settings.near else None
    arrays, source = runs.load_snapshot(folder, settings.generator)
    with quiet_start():
        import artist
        import models

        models.use_cpu()
        generator = models.load_generator(arrays, source)
    print(f"Drawing with {source}, seed {settings.seed}")
    if settings.truncation < 1:
        print(f"--truncation {settings.truncation:g}: digits nearer to the average, more alike")
    hand = artist.Artist(settings, generator)
    if settings.near:
        drawing = hand.draw_near(target)
    elif settings.walk or settings.grid_walk:
        drawing = hand.draw_way(wanted, num)
    elif wanted is not None:
        drawing = hand.draw_wanted(wanted)
    else:
        drawing = hand.draw_any(num)
    for path in formats.write(output, drawing, settings.scale, settings.invert):
        print(f"Wrote {path}")


def check_combination(settings):
    """Raise UserError for flags that do not go together."""
    for group in (("digit", "text", "balanced"), ("walk", "grid_walk", "near", "text")):
        given = [f"--{name}" for name in group if getattr(settings, name)]
        if len(given) > 1:
            raise UserError(f"{' and '.join(given)} do not go together; give one of them")
    if settings.near and (settings.digit or settings.balanced or settings.truncation < 1):
        raise UserError("--near looks for one picture; leave --digit and the like out")
    if settings.walk == 1:
        raise UserError("--walk 1 goes nowhere; give 2 digits or more")
    if settings.output:
        kind = formats.kind_of(settings.output)
        if settings.scale and kind in ("npz", "idx"):
            raise UserError(f"--scale is for pictures; {settings.output} holds digits of 28x28")
        if kind in ("gif", "mp4") and not settings.walk:
            raise UserError(f"--output {settings.output}: a film needs --walk")


def num_pictures(settings):
    """How many places for a digit the output has."""
    if settings.text:
        return len(settings.text) * max(map(len, settings.text))
    ways = settings.walk * formats.FRAMES or settings.grid_walk * formats.PLANE**2
    return ways or settings.num_samples


def wanted_labels(settings, num):
    """The labels of the `num` digits asked for, uint8 (N,), or None for any."""
    if settings.text:
        return np.array([int(sign) for sign in "".join(settings.text) if sign != " "], np.uint8)
    if not settings.digit and not settings.balanced:
        return None
    if num > LARGEST_CHOICE:
        raise UserError(f"--num_samples: up to {LARGEST_CHOICE:,} digits can be asked for by label")
    wanted = np.arange(num) % 10 if settings.balanced else np.full(num, int(settings.digit))
    return wanted.astype(np.uint8)


def default_output(settings, run_name):
    """A path in the samples folder that says what is drawn."""
    files.make_folder(settings.samples_dir)
    what = f"{settings.num_samples}-digits"
    if settings.walk or settings.grid_walk:
        what = f"walk-{settings.walk}" if settings.walk else "grid-walk"
    if settings.text:
        what = "text-" + "-".join("_".join(line.split()) for line in settings.text)[:60]
    elif settings.digit:
        what += f"-of-{settings.digit}"
    elif settings.balanced:
        what += "-balanced"
    elif settings.near:
        what = f"near-{Path(settings.near).stem}"
    if settings.generator != "latest":
        what += f"-{settings.generator}"
    if settings.truncation < 1:
        what += f"-truncation-{settings.truncation:g}"
    if settings.invert:
        what += "-inverted"
    ending = "gif" if settings.walk else "png"
    return f"{Path(settings.samples_dir) / run_name}-{what}-seed-{settings.seed}.{ending}"


def load_target(settings):
    """The picture that --near names, uint8 (28, 28), white on black."""
    try:
        target = images.load_png(settings.near, ground=255 * settings.invert)
    except files.UNREADABLE as error:
        raise files.unreadable(f"--near {settings.near}", "a picture", error) from error
    if target.shape != (data.IMAGE_SIZE, data.IMAGE_SIZE):
        size = "x".join(map(str, target.shape[::-1]))
        raise UserError(f"--near {settings.near}: is {size}; make it 28x28, white on black")
    if target.min() == target.max():
        raise UserError(f"--near {settings.near}: is blank; give a picture of a digit")
    return 255 - target if settings.invert else target


if __name__ == "__main__":
    sys.exit(main())
