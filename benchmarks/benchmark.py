"""Time a training step beside TensorFlow's tutorial and PyTorch, and measure other costs.

python benchmarks/benchmark.py takes about 12 minutes on two cores and writes benchmark.json. Each
contestant has a process of its own; on a CPU they take turns, so that a noisy machine is noisy for
all, and the ratios are medians over rounds. PyTorch takes part where it is installed.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "benchmarks")]

from config import TrainSettings  # noqa: E402

IMAGES = 60_000
CONTESTANTS = {  # module, function, and what to call it with
    "ours": ("contestants", "ours", {}),
    # The discriminator of the PyTorch versions, which are told of no clusters and no pale ink.
    "ours_plain": ("contestants", "ours", {"codes": "free", "ink_channel": "off"}),
    "ours_bfloat16": ("contestants", "ours", {"precision": "bfloat16"}),
    "ours_no_tf32": ("contestants", "ours", {"tf32": "off"}),
    "ours_no_xla": ("contestants", "ours", {"compile": "off"}),
    "ours_no_xla_bf16": ("contestants", "ours", {"precision": "bfloat16", "compile": "off"}),
    "tutorial": ("contestants", "tutorial", {}),
    "pytorch_example": ("pytorch_contestant", "pytorch", {}),
    "pytorch_one_pass": ("pytorch_contestant", "pytorch", {"one_pass": True}),
    "pytorch_compiled": ("pytorch_contestant", "pytorch", {"one_pass": True, "compiled": True}),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=16, help="a round; every 16th has a penalty")
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--gpu", action="store_true", help="also without XLA and without TF32")
    parser.add_argument(
        "--contestants", nargs="+", choices=CONTESTANTS, help="only these, and ours"
    )
    parser.add_argument("--steps_only", action="store_true", help="only the time of a step")
    parser.add_argument("--output", default="benchmark.json")
    options = parser.parse_args()
    batch_size, results = options.batch_size, {"machine": describe_machine()}
    print(results["machine"])

    names = [name for name in CONTESTANTS if options.gpu or "_no_" not in name]
    names = [name for name in names if "pytorch" not in name or find_spec("torch")]
    if options.contestants:  # `ours` first: the others are compared with it
        names = list(dict.fromkeys(["ours", *options.contestants]))
    print(f"{'':16}  ms/step  images/s  s/epoch  GFLOP/step  share of peak  MB    times ours")
    results["contest"] = {}
    # On a GPU one after the other, so that each has the memory to itself.
    for group in [[name] for name in names] if options.gpu else [names]:
        contest = {name: Contestant(name, batch_size) for name in group}
        for contestant in contest.values():
            contestant.ask("steps", options.steps if options.gpu else 2)  # traces, warms up
        for _ in range(options.rounds):
            for contestant in contest.values():
                contestant.measure(options.steps)
        if "ours" in contest:
            ours, peak = contest["ours"].milliseconds, contest["ours"].ask("peak")
        for name, contestant in contest.items():
            row = contestant.row(batch_size, peak, ours)
            results["contest"][name] = row
            print(
                f"{name:16} {row['ms_a_step']:8.3f} {row['images_a_second']:9.0f}"
                f" {row['seconds_an_epoch']:8.1f} {row['gflop_a_step'] or float('nan'):11.1f}"
                f" {row['share_of_peak'] or float('nan'):14.2f} {row['peak_mb']:5.0f}"
                f" {row['times_ours']:9.2f}"
            )
            contestant.close()
    results["matmul_gflops"] = peak
    print(f"matrix multiply, float32 (TF32 where it is on): {peak:.0f} GFLOP/s")

    if not options.steps_only:
        measure_the_rest(results, peak)
    Path(options.output).write_text(json.dumps(results, indent=2) + "\n")
    print(f"Wrote {options.output}")


def measure_the_rest(results, peak):
    """Measure and print the host's work, batch sizes and workers; add them to the results."""
    results["host_work"] = host = measure_host_work()
    epoch = results["contest"]["ours"]["seconds_an_epoch"]
    print(
        f"host work an epoch: {host['end_of_epoch']:.2f} s in all, {host['stalls']:.2f} s of it"
        f" between steps: {host['end_of_epoch'] / epoch:.2%} and {host['stalls'] / epoch:.2%}"
    )
    every = TrainSettings.evaluate_every
    print(
        f"a score: {host['first_score']:.1f} s at first, {host['score']:.1f} s every {every} epochs"
        f" from then on: {host['score'] / (every * epoch):.2%}"
    )
    results["batch_sizes"] = {}
    for size in (64, 128, 256, 512, 1024):
        contestant = Contestant("ours", size)
        contestant.ask("steps", 2)
        for _ in range(3):
            contestant.measure(max(2, 1024 // size))
        row = contestant.row(size, peak, contestant.milliseconds)
        results["batch_sizes"][size] = row
        print(f"batch {size:5}: {row['ms_a_step']:6.0f} ms, {row['images_a_second']:6.0f} images/s")
        contestant.close()
    results["workers"] = {count: measure_workers(count) for count in (1, 2)}
    for count, rate in results["workers"].items():
        print(f"{count} worker{'s' * (count > 1)}: {rate:.0f} images/s")


def describe_machine():
    """Processor, cores and versions, in words."""
    from importlib.metadata import version

    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(": ")[1] for line in lines if "model name" in line), model)
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "numpy"))
    return f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


class Contestant:
    """A process that trains when it is asked to, and the times that it took."""

    def __init__(self, name, batch_size):
        context = multiprocessing.get_context("spawn")
        self.pipe, other_end = context.Pipe()
        self.process = context.Process(target=serve, args=(name, batch_size, other_end))
        self.process.start()
        self.milliseconds = []

    def ask(self, *words):
        """The process's answer."""
        self.pipe.send(words)
        return self.pipe.recv()

    def measure(self, steps):
        """Have it take some steps; note the milliseconds of one."""
        self.milliseconds.append(1000 * self.ask("steps", steps) / steps)
        self.peak_mb = self.ask("memory")

    def row(self, batch_size, peak, milliseconds_of_ours):
        """Its figures; medians over the rounds, ratios pair by pair."""
        milliseconds, flops = statistics.median(self.milliseconds), self.ask("flops")
        ratios = [theirs / ours for theirs, ours in zip(self.milliseconds, milliseconds_of_ours)]
        return {
            "ms_a_step": milliseconds,
            "ms_of_each_round": self.milliseconds,
            "images_a_second": 1000 * batch_size / milliseconds,
            "seconds_an_epoch": IMAGES // batch_size * milliseconds / 1000,
            "gflop_a_step": flops and flops / 1e9,
            "share_of_peak": flops and flops / 1e6 / milliseconds / peak,
            "peak_mb": self.peak_mb,
            "times_ours": statistics.median(ratios),
        }

    def close(self):
        """End the process."""
        self.pipe.send(("end",))
        self.process.join()


def serve(name, batch_size, pipe):
    """Be a contestant: answer the words that come through the pipe."""
    import contestants

    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"  # so that its memory is what it needs
    module, function, options = CONTESTANTS[name]
    run = getattr(importlib.import_module(module), function)(batch_size, **options)
    while True:
        word, *rest = pipe.recv()
        if word == "steps":
            start = time.perf_counter()
            run(*rest)
            pipe.send(time.perf_counter() - start)
        elif word == "flops":
            pipe.send(run.flops() if hasattr(run, "flops") else None)
        elif word == "memory":
            pipe.send(contestants.peak_megabytes())
        elif word == "peak":
            pipe.send(contestants.matmul_gflops())
        else:
            return


def measure_host_work(rounds=30):
    """Seconds that the end of an epoch takes: all of it, and the part before the next step.

    And those of a score: the first one, which looks at the 60,000 real digits as well, and others.
    """
    script = """
import json, sys, time
import numpy as np
import data
from config import TrainSettings
from storage.runs import Run
from training.main_process import PAUSE, MainProcess
from training.step import Trainer
settings = TrainSettings(
    batch_size=8, codes="free", save_every="1", checkpoints_dir="c", samples_dir="s"
)
trainer = Trainer(settings, data.load_images(settings.data))
with Run(settings) as run:
    main = MainProcess(run, {"images": data.MNIST_DIGEST}, "any device")
    progress, score, main.score = main.resume(trainer), main.score, lambda epoch: ()
    metrics = trainer.take_steps(data.epoch_order(8, 8, 0, 0), 1)
    whole, stalls = [], []
    for _ in range(int(sys.argv[1])):
        main.logged_at -= PAUSE
        start = time.perf_counter()
        progress.add(metrics, 1.0)
        main.end_epoch(progress)
        trainer.step.assign_add(1)
        stalls.append(time.perf_counter() - start)
        main.writer.wait()
        whole.append(time.perf_counter() - start)
    scored = []
    for _ in range(4):
        start = time.perf_counter()
        score(5)
        scored.append(time.perf_counter() - start)
    main.close()
found = {"end_of_epoch": np.median(whole), "stalls": np.median(stalls)}
found |= {"first_score": scored[0], "score": np.median(scored[1:])}
print(json.dumps({name: float(seconds) for name, seconds in found.items()}))
"""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-c", script, str(rounds)]
        finished = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=True
        )
    return json.loads(finished.stdout.splitlines()[-1])


def measure_workers(count):
    """Images per second of the training command on this machine, shared by some workers."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        with np.load(REPOSITORY / "assets" / "mnist.npz") as arrays:
            np.savez(f"{folder}/part.npz", x_train=arrays["x_train"][: 256 * 20])
        words = ["--data", f"{folder}/part.npz", "--epochs", "3", "--strategy"]
        words += ["multi_worker" if count > 1 else "one"]
        addresses = [f"127.0.0.1:{4700 + os.getpid() % 1000 + index}" for index in range(count)]
        processes = []
        for index in range(count):
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment = os.environ | ({"TF_CONFIG": json.dumps(task)} if count > 1 else {})
            command = [sys.executable, str(REPOSITORY / "train_dcgan.py"), *words]
            processes.append(
                subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
            )
        for process in processes:
            if process.wait():
                raise RuntimeError("a worker failed")
        history = np.genfromtxt(f"{folder}/samples/digits/history.csv", delimiter=",", names=True)
    return float(np.median(history["images_per_second"][1:]))


if __name__ == "__main__":
    main()
