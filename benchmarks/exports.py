"""How alike, how large and how fast the exports are: the table of docs/export.md.

python benchmarks/exports.py exports the included generator in every format and has each runtime
draw the same noise on the CPU, in a process of its own. JAX, PyTorch and ONNX Runtime Web (Node.js
and `make site`) take part where they are installed. --output is the document to write the table to.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "benchmarks")]

from benchmark import describe_machine  # noqa: E402

import export_generator  # noqa: E402
from machine import files  # noqa: E402
from storage import exports, snapshots  # noqa: E402

NODE_MODULES = REPOSITORY / "demo" / "node_modules"
SIZES = (1, 100)  # digits in a call
QUIETLY = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
SECONDS = 2  # of calls that are timed, for each
# Format, runtime in words, package whose version counts, backend of Keras.
RUNTIMES = [
    ("keras", "Keras {keras} on TensorFlow", "tensorflow", "tensorflow"),
    ("keras", "Keras {keras} on JAX", "jax", "jax"),
    ("keras", "Keras {keras} on PyTorch", "torch", "torch"),
    ("saved_model", "TensorFlow", "tensorflow", None),
    ("onnx", "ONNX Runtime", "onnxruntime", None),
    ("tflite", "LiteRT", "ai-edge-litert", None),
]
IN_NODE = """
import * as ort from "onnxruntime-web";
import fs from "fs";
ort.env.wasm.numThreads = 1;
const [path, noisePath, drawnPath, seconds] = process.argv.slice(2);
const generator = await ort.InferenceSession.create(path);
const z = new Float32Array(fs.readFileSync(noisePath).buffer);
const milliseconds = [];
for (const size of [1, 100]) {
  const noise = new ort.Tensor("float32", z.slice(0, 200 * size), [size, 200]);
  const { digits } = await generator.run({ noise });
  fs.writeFileSync(drawnPath, new Uint8Array(digits.data.buffer));
  const times = [];
  for (const start = performance.now(); performance.now() - start < 1000 * seconds; ) {
    const before = performance.now();
    await generator.run({ noise });
    times.push(performance.now() - before);
  }
  milliseconds.push(times.sort((a, b) => a - b)[Math.floor(times.length / 2)]);
}
console.log(JSON.stringify(milliseconds));
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default=str(REPOSITORY / "docs" / "export.md"))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(*options.measure, options.seconds)
        return
    document = Path(options.output).read_text()
    rows = ["| format | runtime | MB | largest difference | ms for 1 digit | ms for 100 |"]
    rows += ["|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        rows += compare(Path(folder), options.seconds)
    table = "\n".join([*rows, "", describe_machine()])
    print(table)
    start, end = "<!-- table -->\n", "\n<!-- end of table -->"
    pattern = re.escape(start) + ".*?" + re.escape(end.lstrip())
    written = re.sub(pattern, lambda _: start + table + end, document, flags=re.DOTALL)
    with files.replacing(options.output) as file:
        file.write(written.encode())


def compare(folder, seconds):
    """The rows of the table, one for each runtime that is installed."""
    z = np.random.default_rng(0).standard_normal((max(SIZES), 200), np.float32)
    np.save(folder / "z.npy", z)
    z.tofile(folder / "z.bin")
    for name, kind in exports.FORMATS.items():
        words = ["--run", "pretrained", "--format", name]
        export_generator.main([*words, "--output", str(folder / f"generator{kind.suffix}")])
    expected = draw_here(z)
    for name, words, package, backend in RUNTIMES:
        if not importlib.util.find_spec(package.replace("-", "_")):
            continue
        path = folder / f"generator{exports.FORMATS[name].suffix}"
        command = [sys.executable, __file__, "--seconds", str(seconds), "--measure"]
        command += [name, path, folder / "z.npy", folder / "drawn.npy"]
        environment = {"KERAS_BACKEND": backend} if backend else {}
        milliseconds = run(command, env=os.environ | QUIETLY | environment)
        runtime = words.format(keras=version("keras")) + f" {version(package)}"
        drawn = np.load(folder / "drawn.npy")
        yield row(name, runtime, path, np.abs(drawn - expected).max(), milliseconds)
    web = NODE_MODULES / "onnxruntime-web"
    if shutil.which("node") and web.exists():
        (folder / "node_modules").symlink_to(NODE_MODULES)
        (folder / "draw.mjs").write_text(IN_NODE)
        path = folder / "generator.onnx"
        command = ["node", "draw.mjs", path, "z.bin", "drawn.bin", str(seconds)]
        milliseconds = run(command, cwd=folder)
        drawn = np.fromfile(folder / "drawn.bin", np.float32).reshape(expected.shape)
        runtime = f"ONNX Runtime Web {json.loads((web / 'package.json').read_text())['version']}"
        difference = np.abs(drawn - expected).max()
        yield row("onnx", f"{runtime} (one thread)", path, difference, milliseconds)


def row(name, runtime, path, difference, milliseconds):
    """A row of the table."""
    one, hundred = (f"{each:.3g}" for each in milliseconds)
    size = export_generator.size(path) / 1e6
    return f"| `{name}` | {runtime} | {size:.1f} | {difference:.1g} | {one} | {hundred} |"


def draw_here(z):
    """What the included generator draws in this process, float32 (N, 28, 28, 1)."""
    from storage.weights import load_generator

    folder = REPOSITORY / "checkpoints" / "pretrained"
    generator = load_generator(snapshots.load_snapshot(folder, "latest"))
    return generator(z, training=False).numpy()


def run(command, **options):
    """The JSON that a command prints last."""
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options)
    return json.loads(finished.stdout.splitlines()[-1])


def measure(name, path, noise_path, drawn_path, seconds):
    """In a process of its own: draw, save it, and print the milliseconds of each size."""
    draw = exports.FORMATS[name].load(Path(path))
    z, milliseconds = np.load(noise_path), []
    for size in SIZES:
        noise, times = {"noise": z[:size]}, []
        drawn = draw(noise)["digits"]
        end = time.monotonic() + seconds
        while not times or time.monotonic() < end:
            start = time.perf_counter()
            draw(noise)
            times.append(1000 * (time.perf_counter() - start))
        milliseconds.append(statistics.median(times))
    np.save(drawn_path, drawn)
    print(json.dumps(milliseconds))


if __name__ == "__main__":
    main()
