#!/usr/bin/env bash
# The table of docs/performance.md for a machine with an NVIDIA GPU, with one command:
#   bash benchmarks/gpu.sh
# Milliseconds a step with XLA on and off, in float32, with TF32 and in bfloat16, the tutorial's
# loop and (where torch is installed) PyTorch beside; then a run of EPOCHS epochs, timed and scored.
set -euo pipefail
cd "$(dirname "$0")/.."
epochs=${EPOCHS:-100}
steps=${STEPS:-468} # a round: two epochs
rounds=${ROUNDS:-5}
out=${OUT:-gpu-benchmark}

make --silent .venv/ready
python=.venv/bin/python
mkdir -p "$out"
{ nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv 2>/dev/null || true; } |
  tee "$out/gpu.txt"
[ -s "$out/gpu.txt" ] || echo "No NVIDIA GPU answers here; these are the CPU's figures." >&2

$python benchmarks/benchmark.py --gpu --steps_only --steps "$steps" --rounds "$rounds" \
  --output "$out/steps.json" | tee "$out/steps.txt"

roots=(--checkpoints_dir "$out/checkpoints" --samples_dir "$out/samples")
start=$(date +%s)
$python train_dcgan.py --run gpu --epochs "$epochs" "${roots[@]}" | tee "$out/training.txt"
echo "$epochs epochs, with scores and pictures: $(($(date +%s) - start)) s" | tee "$out/time.txt"
$python evaluate_digits.py --run gpu "${roots[@]}" | tee "$out/scores.txt"
echo "All figures are in $out/; please open an issue with them, and they will be added to the docs."
