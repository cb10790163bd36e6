#!/usr/bin/env bash
# The table of docs/performance.md for a machine with an NVIDIA GPU, with one command:
#   bash benchmarks/gpu.sh
# It times a step with and without XLA, in float32, TF32 and bfloat16, beside the tutorial's loop
# and, where torch is installed, PyTorch; then it trains EPOCHS epochs, times and scores them.
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
nvidia-smi -L 2>/dev/null | grep -q '^GPU' ||
  echo "No NVIDIA GPU answers here; these are the CPU's figures." >&2

$python benchmarks/benchmark.py --gpu --steps_only --steps "$steps" --rounds "$rounds" \
  --output "$out/steps.json" | tee "$out/steps.txt"

roots=(--checkpoints_dir "$out/checkpoints" --samples_dir "$out/samples")
start=$(date +%s)
$python train_dcgan.py --run gpu --fresh --epochs "$epochs" "${roots[@]}" | tee "$out/training.txt"
echo "$epochs epochs, with scores and pictures: $(($(date +%s) - start)) s" | tee "$out/time.txt"
$python evaluate_digits.py --run gpu "${roots[@]}" | tee "$out/scores.txt"
echo "All figures are in $out/; please open an issue with them, and they will be added to the docs."
