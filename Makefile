# `make train`, `make digits`, `make demo` and `make test` each set up what they need first.
# More flags: make train ARGS="--epochs 10"

PYTHON ?= python3
BIN = .venv/bin
ARGS =
# Address of the page; HOST=0.0.0.0 makes it reachable from outside a container. HOST is not taken
# from the environment, where conda and some shells set it.
HOST = 127.0.0.1
PORT ?= 8000
SITE = demo/site
WEB_RUNTIME = demo/node_modules/onnxruntime-web/dist
# Files of NVIDIA's driver on Linux and in WSL; some containers have only nvidia-smi.
NVIDIA = $(wildcard /proc/driver/nvidia/version /usr/lib/wsl/lib/libnvidia-ml.so.1) \
	$(shell command -v nvidia-smi 2>/dev/null)
REQUIREMENTS = $(if $(strip $(NVIDIA)),requirements-gpu.txt,requirements.txt)

# Installs with pip; without pip, as in environments of uv, with uv; else ensurepip adds pip.
HAS_PIP = $(BIN)/python -c 'import pip' 2>/dev/null
INSTALL = install() { \
		if ! $(HAS_PIP) && command -v uv >/dev/null; then uv pip install --python $(BIN)/python "$$@"; \
		else { $(HAS_PIP) || $(BIN)/python -m ensurepip; } && \
			$(BIN)/python -m pip install --disable-pip-version-check "$$@"; fi; }; install

.PHONY: train digits demo site test test-all lint clean

train: .venv/ready
	$(BIN)/python train_dcgan.py $(ARGS)

digits: .venv/ready
	$(BIN)/python generate_digits.py --num_samples 10 $(ARGS)

demo: .venv/ready-dev
	@$(BIN)/python demo/serve.py --host '$(HOST)' --port '$(PORT)' --check
	@$(MAKE) site
	@$(BIN)/python demo/serve.py --host '$(HOST)' --port '$(PORT)' --folder $(SITE)

# Builds the page for any static host, under any path. Some hosts do not know .mjs, hence .js.
site: .venv/ready-dev demo/node_modules/ready
	mkdir -p $(SITE)/onnxruntime-web
	cp demo/index.html demo/demo.css demo/demo.js $(SITE)
	cp $(WEB_RUNTIME)/ort.wasm.bundle.min.mjs $(SITE)/onnxruntime-web/ort.js
	cp $(WEB_RUNTIME)/ort-wasm-simd-threaded.wasm $(SITE)/onnxruntime-web
	$(BIN)/python export_generator.py --format onnx --with_classifier --overwrite \
		--output $(SITE)/generator.onnx $(ARGS)

# The quick tests, three minutes at most.
test: .venv/ready-test
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-all: .venv/ready-dev
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Digitgen needs Python 3.11 or newer; try: make PYTHON=python3.12, or: uv venv -p 3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || \
		echo "If TensorFlow is not found for this Python: make clean, then make PYTHON=python3.13" >&2
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 2; }

.venv/ready: requirements.txt requirements-gpu.txt | .venv/bin/python
	@$(INSTALL) -r $(REQUIREMENTS)
	@touch $@

.venv/ready-test: requirements-test.txt .venv/ready
	@$(INSTALL) -r requirements-test.txt
	@touch $@

.venv/ready-dev: requirements-dev.txt .venv/ready-test
	@$(INSTALL) -r requirements-dev.txt
	@touch $@

demo/node_modules/ready: demo/package-lock.json
	@npm --version >/dev/null || { echo "The page needs npm, which comes with Node.js" >&2; exit 2; }
	npm ci --prefix demo --ignore-scripts --no-audit --no-fund
	@touch $@

clean:
	rm -rf .venv demo/node_modules demo/site
