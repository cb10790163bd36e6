"""Train a DCGAN on MNIST: `python train_dcgan.py`. To resume, run the same command again."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # which python -P and -I leave out

from machine.command import run_command  # first: it explains what is not installed

# isort: split
import data
from cli import UserError, say
from config import TrainSettings
from machine import locks
from machine.loading import importing_tensorflow
from storage.runs import Run, format_epochs
from training.progress import Progress


def main(argv=None):
    """Run the command; return its exit status."""
    return run_command(TrainSettings, train, argv)


def train(settings, networks=None):
    """Train, or resume, the run that the settings name; return the exit status.

    `networks` has the functions build_generator and build_discriminator; by default it is models.
    """
    if settings.report:
        from machine.report import print_report

        return print_report(settings)
    locks.check_system()
    images = load_images(settings)
    with importing_tensorflow(use_gpu=True):  # only now, because it takes seconds
        from training.distributed import Devices, errors_explained
        from training.loop import Loop
        from training.losses import describe_losses
        from training.main_process import main_process
        from training.step import Trainer

        devices = Devices(settings)
    fixed = settings.fixed_on_resume()
    fixed |= {"images": data.digest(images), "losses": describe_losses()}
    if settings.dry_run:
        return print_plan(settings, fixed, devices, len(images))
    with (
        errors_explained(devices.strategy),
        main_process(settings, fixed, devices) as process,
    ):
        trainer = Trainer(settings, images, devices.strategy, devices.compiled, networks)
        devices.workers.check_same(fixed | {"epochs": settings.epochs})
        progress = process.resume(trainer) if process else Progress()
        devices.workers.broadcast(trainer.variables().values())
        say(introduction(settings, fixed, devices, len(images), trainer.steps_done))
        stopped_by = Loop(settings, trainer, progress, process, devices.workers).run()
        return conclude(settings, trainer, progress, process, stopped_by)


def conclude(settings, trainer, progress, process, stopped_by):
    """Say how training ended, and finish the run unless a signal stopped it; the exit status."""
    if stopped_by:
        same = "same command without --fresh" if settings.fresh else "same command"
        say(f"Stopped and saved at step {trainer.steps_done:,}. To resume, run the {same} again.")
        return 128 + stopped_by
    say(f"Done: {trainer.steps_done // (len(trainer.images) // settings.batch_size)} epochs.")
    if process:
        process.finish(progress.history)
    return 0


def load_images(settings):
    """The training images; raises UserError when they do not fill a batch."""
    images = data.load_images(settings.data, transpose=settings.transpose)
    if settings.batch_size > len(images):
        raise UserError(
            f"--batch_size {settings.batch_size} is more than the {len(images)} images in "
            f"{settings.data}; give a smaller one"
        )
    if settings.num_clusters > len(images):
        raise UserError(
            f"--codes clusters needs an image for each of {settings.num_clusters} clusters; "
            f"{settings.data} has {len(images)}; give a smaller --num_codes"
        )
    return images


def print_plan(settings, fixed, devices, num_images):
    """Print what training would do and write: --dry_run."""
    from machine.provenance import describe_invocation

    run, steps_done = Run(settings), 0
    if not settings.fresh:
        run.check_settings(fixed)
        steps_done = run.steps_saved()
    say(json.dumps(describe_invocation(settings, devices.description, fixed["images"]), indent=2))
    say(introduction(settings, fixed, devices, num_images, steps_done))
    say("Nothing was trained or written: this was a dry run.")


def introduction(settings, fixed, devices, num_images, steps_done):
    steps = num_images // settings.batch_size
    begun = f"resumed after epoch {format_epochs(steps_done / steps)}" if steps_done else "new"
    folders = [
        Path(root) / settings.run for root in (settings.checkpoints_dir, settings.samples_dir)
    ]
    lines = [
        f"Digitgen: run {settings.run!r}, {begun}, to epoch {settings.epochs}",
        f"  on      {devices.description}",
        f"  images  {num_images:,} from {settings.data}",
        f"  steps   {steps:,} per epoch ({settings.batch_size} images each), "
        f"{max(0, settings.epochs * steps - steps_done):,} to go",
        f"  writes  {folders[0]} (checkpoints), {folders[1]} (grids, curves, history)"
        if devices.is_main
        else "  writes  nothing: the first worker writes",
    ]
    if settings.evaluate_every and fixed["images"] != data.MNIST_DIGEST:
        lines.append(
            "  scores  none: they are for digits, and these are not MNIST's training images"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
