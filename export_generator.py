"""Export a trained generator for another runtime: `python export_generator.py --format onnx`."""

import os
import sys
from pathlib import Path

from cli import UserError, run_command  # first: it explains what is not installed

# isort: split
from config import ExportSettings
from startup import importing_tensorflow
from storage import exports, files, runs


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(ExportSettings, export, argv)


def export(settings):
    """Write the generator that the settings name; check that the other runtime draws the same."""
    folder = runs.find_run(settings)
    path = output_path(settings, folder)
    arrays, snapshot = runs.load_snapshot(folder, settings.generator)
    with importing_tensorflow():
        exports.check_packages(settings.format)
        from storage.weights import load_generator

        generator = load_generator(arrays, snapshot)
    print(f"Exporting {snapshot}", flush=True)
    difference = exports.export(generator, "noise", "digits", settings.format, path)
    sizes = " and ".join(map(str, exports.BATCH_SIZES))
    print(f"Checked in its own runtime: within {difference:.1g} of Keras at batch sizes {sizes}")
    print(f"Wrote {path}, {size(path) / 1e6:.1f} MB")


def output_path(settings, folder):
    """Where to write; raises UserError when nothing can be written there, or something is."""
    is_folder = settings.format == "saved_model"
    suffix = exports.FORMATS[settings.format].suffix
    snapshot = Path(runs.SNAPSHOTS[settings.generator])
    default = runs.place_for(folder, snapshot.with_suffix(suffix).name)
    path = Path(os.path.abspath(settings.output)) if settings.output else default
    if path.suffix != suffix and not is_folder:
        raise UserError(f"--output {path}: must be a file that ends in {suffix}")
    if not path.parent.is_dir():
        raise UserError(f"--output {path}: there is no folder {path.parent}; make it first")
    ours = (path / "saved_model.pb").is_file() if is_folder else path.is_file()
    if os.path.lexists(path) and not (ours and settings.overwrite):
        mend = "add --overwrite to replace it, or give" if ours else "and is no export; give"
        raise UserError(f"--output {path}: is there already; {mend} another name")
    files.check_writable(path.parent)
    return path


def size(path):
    """Bytes of a file, or of the files in a folder."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


if __name__ == "__main__":
    sys.exit(main())
