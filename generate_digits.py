"""Draw digits with a trained generator: `python generate_digits.py --num_samples 10`."""

import sys
import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

import data
import files
import images
import runs
from config import REPOSITORY, GenerateSettings, UserError, command, quiet_start

LARGEST_GRID = 100_000  # digits; a picture of 9,486 x 9,486


def main(argv=None):
    """The exit status of the command with these words."""
    return command(GenerateSettings, generate, argv)


def generate(settings):
    """Draw the digits that the settings ask for into one file."""
    folder = runs.find_run(settings, REPOSITORY)
    path = output_path(settings, folder.name)
    arrays, which = runs.load_snapshot(folder, settings.generator)
    with quiet_start():
        import models

        models.use_cpu()
        generator = models.load_generator(arrays, which)
    print(f"Drawing {settings.num_samples:,} digits, seed {settings.seed}, with {which}")
    digits = draw_with_bar(models.build_drawing(generator), settings)
    with files.replacing(path) as file:
        if path.suffix == ".npz":
            write_npz(file, digits, settings.num_samples)
        else:
            images.save_png(file, images.enlarge(images.make_grid(np.concatenate([*digits]))))
    print(f"Wrote {path}")


def output_path(settings, run_name):
    """Where to write; raises UserError when nothing can be written there."""
    if not settings.output:
        name = f"{run_name}-{settings.num_samples}-digits-seed-{settings.seed}.png"
        files.make_folder(settings.samples_dir)
        path = Path(settings.samples_dir) / name
    else:
        path = Path(settings.output)
    if path.suffix not in (".png", ".npz") or path.is_dir():
        raise UserError(f"--output {path}: must be a file that ends in .png or .npz")
    if not path.parent.is_dir():
        raise UserError(f"--output {path}: there is no folder {path.parent}; make it first")
    if path.suffix == ".png" and settings.num_samples > LARGEST_GRID:
        raise UserError(
            f"--num_samples: a PNG takes up to {LARGEST_GRID:,}; --output a .npz for more"
        )
    files.check_writable(path.parent)
    return path


def draw_with_bar(draw, settings):
    """Digits as uint8 (some, 28, 28), a block at a time, with a progress bar on a terminal."""
    with tqdm(
        total=settings.num_samples,
        unit=" digits",
        disable=None if settings.num_samples > 1000 else True,
    ) as bar:
        for block in draw(settings.num_samples, settings.seed):
            yield data.to_pixels(block)
            bar.update(len(block))


def write_npz(file, blocks, num):
    """Write uint8 blocks (some, 28, 28) as the array `images` (num, 28, 28), never held whole."""
    header = {
        "descr": "|u1",
        "fortran_order": False,
        "shape": (num, data.IMAGE_SIZE, data.IMAGE_SIZE),
    }
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w", force_zip64=True) as array,
    ):
        np.lib.format.write_array_header_1_0(array, header)
        for block in blocks:
            array.write(block.tobytes())


if __name__ == "__main__":
    sys.exit(main())
