"""Kill and resume training at random moments; the result must equal that of an unkilled run.

python tests/stress_resume.py --kills 100 takes about 20 minutes on two cores. Exits 1 at the
first bit that differs from a run that nobody touched.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
TIMES = (6, 7)  # columns of the history: seconds and images per second, all that may differ


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0, help="of the moments to kill at")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    kills = resumed = compared = runs = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        with np.load(REPOSITORY / "assets" / "mnist.npz") as arrays:
            np.savez(folder / "digits.npz", x_train=arrays["x_train"][:200])
        untouched = folder / "untouched"
        begun, process = time.monotonic(), start(untouched, folder, options.epochs)
        wait_for_save(process, untouched)
        until_saved = time.monotonic() - begun
        assert process.wait() == 0
        while kills < options.kills:
            runs += 1
            killed = folder / f"killed-{runs}"
            status = None
            while status is None:
                resumed += any(killed.glob("digits/state-*.npz"))
                process = start(killed, folder, options.epochs)
                if kills == options.kills:
                    patience = None
                elif kills % 2:  # after a save, so that the next process resumes
                    wait_for_save(process, killed)
                    patience = until_saved * moments.uniform(0, 0.3)
                else:
                    patience = until_saved * moments.uniform(0.5, 1.5)
                try:
                    status = process.wait(patience)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    kills += 1
            assert status == 0, f"exit status {status}: {(killed / 'log').read_text()}"
            compared += compare(untouched, killed)
            print(f"{kills} kills, {runs} runs, all equal so far", flush=True)
    assert resumed, "no killed run had saved; give more --epochs"
    print(
        f"{kills} kills in {runs} runs of {options.epochs} epochs, {resumed} resumes, "
        f"{compared:,} bytes compared: equal to the untouched run"
    )


def start(root, folder, epochs):
    """A process that trains, or continues, the run inside `root`."""
    root.mkdir(exist_ok=True)
    words = ["--deterministic", "--data", folder / "digits.npz", "--batch_size", 40]
    words += ["--save_every", 1, "--epochs", epochs]
    words += ["--checkpoints_dir", root, "--samples_dir", root / "samples"]
    command = [sys.executable, REPOSITORY / "train_dcgan.py", *words]
    with open(root / "log", "a") as log:
        return subprocess.Popen([*map(str, command)], stdout=log, stderr=log)


def wait_for_save(process, root):
    """Wait until `process` has saved a training state that was not there before, or has ended."""
    before = set(root.glob("digits/state-*.npz"))
    while process.poll() is None and before.issuperset(root.glob("digits/state-*.npz")):
        time.sleep(0.1)


def compare(one, other):
    """How many bytes were compared; fails at the first difference."""
    pictures = [f"samples/digits/{path.name}" for path in one.glob("samples/digits/*.[pg][ni][gf]")]
    compared = 0
    for name in [*pictures, "digits/generator.npz"]:
        expected = (one / name).read_bytes()
        assert expected == (other / name).read_bytes(), f"{name} differs"
        compared += len(expected)
    states = [sorted(root.glob("digits/state-*.npz"))[-1] for root in (one, other)]
    with np.load(states[0]) as expected, np.load(states[1]) as found:
        assert set(expected) == set(found)
        for name in set(expected) - {"history", "seconds_of_epoch"}:
            assert expected[name].tobytes() == found[name].tobytes(), f"{name} differs"
            compared += expected[name].nbytes
    paths = [root / "samples" / "digits" / "history.csv" for root in (one, other)]
    histories = [np.delete(np.loadtxt(path, str, delimiter=","), TIMES, 1) for path in paths]
    assert np.array_equal(*histories), "history.csv differs"
    return compared


if __name__ == "__main__":
    main()
