# `make train`, `make digits` and `make test` each set up all they need in .venv first.
# More flags: make train ARGS="--epochs 10"

PYTHON ?= python3
BIN = .venv/bin
ARGS =
# The NVIDIA driver leaves these on Linux and on Windows' WSL.
NVIDIA = $(wildcard /proc/driver/nvidia/version /usr/lib/wsl/lib/libnvidia-ml.so.1)
REQUIREMENTS = $(if $(NVIDIA),requirements-gpu.txt,requirements.txt)

.PHONY: train digits test lint clean

train: .venv/ready
	$(BIN)/python train_dcgan.py $(ARGS)

digits: .venv/ready
	$(BIN)/python generate_digits.py --num_samples 10 $(ARGS)

test: .venv/ready-dev
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Digitgen needs Python 3.11 or newer; try: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 2; }

.venv/ready: requirements.txt requirements-gpu.txt | .venv/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -r $(REQUIREMENTS)
	@touch $@

.venv/ready-dev: requirements-dev.txt .venv/ready
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .venv
