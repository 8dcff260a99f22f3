# make demo: upscale the shipped picture.  make test: lint, types and every test.
# Everything lives in $(VENV); outside this folder nothing is changed, but for what `system` installs for the tests.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test system extras test-spandrel soak lint clean

PYTHON ?= python3
VENV ?= .venv
DEMO_IN ?= benchmarks/pictures/demo.png
DEMO_OUT ?= demo_x4.png
PYTEST_ARGS ?=
# One process of tests for each processor.
TEST_PROCESSES ?= auto

# Without an NVIDIA GPU the CPU build of PyTorch saves gigabytes. Its version sorts above the default
# wheel's, so pip prefers it; where the index cannot be reached, pip says so and takes the default wheel.
# TORCH_INDEX= (empty) takes the default wheel anywhere.
TORCH_VERSION ?= 2.13.0
TORCH_INDEX ?= $(shell nvidia-smi >/dev/null 2>&1 || echo https://download.pytorch.org/whl/cpu)

# spandrel brings torchvision, which is large: its tests have an environment of their own.
SPANDREL_VENV ?= .venv-spandrel

# Triton's server without a GPU, for the tests: of this wheel only its programs and libraries are used. What the wheel
# requires (numpy<2) is not installed, and nothing of it goes into $(VENV).
TRITON_SERVER ?= .triton-server
PYTRITON ?= nvidia-pytriton==0.7.0

PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
METADATA = setup.cfg pyproject.toml

help:
	@echo "make demo   upscale $(DEMO_IN) to $(DEMO_OUT)"
	@echo "make test   lint, type check and run every test"
	@echo "make test-spandrel  the tests with the real spandrel, in $(SPANDREL_VENV), and their record"
	@echo "make soak   the tests with long random loops, with their full counts"
	@echo "make extras whether all extras fit into one environment; nothing is installed"
	@echo "make lint   lint and type check only"
	@echo "make clean  remove $(VENV), caches and the demo's result"

demo: $(VENV)/.base
	$(VENV)/bin/srn-deploy upscale $(DEMO_IN) $(DEMO_OUT)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

test: lint system $(TRITON_SERVER)/.made
	$(VENV)/bin/python -m pytest -n $(TEST_PROCESSES) --dist worksteal $(PYTEST_ARGS)

# A browser and libpython, where Debian has them and this may install them; else their tests are skipped.
system: | $(VENV)/.made
	@PYTHON=$(VENV)/bin/python sh .ci/system_packages

extras: $(VENV)/.dev
	$(VENV)/bin/python -m tests.extras

test-spandrel:
	$(MAKE) VENV=$(SPANDREL_VENV) $(SPANDREL_VENV)/.spandrel
	$(SPANDREL_VENV)/bin/python -m pytest tests/spandrel $(PYTEST_ARGS)
	$(SPANDREL_VENV)/bin/python -m benchmarks.spandrel_study

soak: $(VENV)/.dev
	$(VENV)/bin/python -m pytest -n $(TEST_PROCESSES) --dist worksteal --soak -m soak $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) $(SPANDREL_VENV) $(TRITON_SERVER) build dist srn_deploy.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis $(DEMO_OUT)

# Debian ships Python without ensurepip, and `python3 -m venv` would leave half an environment behind.
$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no $(PYTHON) here. Debian and Ubuntu: sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1); srn-deploy needs Python 3.11 or later." >&2; \
	  echo "Name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) cannot make virtual environments: its venv package is missing." >&2; \
	  echo "Debian and Ubuntu: sudo apt install python3-venv" >&2; \
	  echo "(for a Python that is not the system's own: sudo apt install pythonX.Y-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.base: $(METADATA) | $(VENV)/.made
	$(PIP) install --editable .
	@touch $@

$(VENV)/.torch: | $(VENV)/.made
	$(if $(strip $(TORCH_INDEX)),$(PIP) install --retries 1 "torch==$(TORCH_VERSION)" --extra-index-url $(TORCH_INDEX))
	@touch $@

$(VENV)/.dev: $(METADATA) $(VENV)/.torch | $(VENV)/.made
	$(PIP) install --editable ".[dev]"
	@touch $(VENV)/.base $@

# torch and torchvision have to be of one build, so both come from the same place in one step.
$(VENV)/.spandrel: $(METADATA) | $(VENV)/.made
	$(PIP) install $(if $(strip $(TORCH_INDEX)),--retries 1 --extra-index-url $(TORCH_INDEX)) \
	  "torch==$(TORCH_VERSION)" torchvision --editable ".[spandrel]" hypothesis "pytest>=9.0"
	@$(VENV)/bin/python -c 'import spandrel' || { \
	  echo "torch and torchvision are not of the same build. For the default wheels of both:" >&2; \
	  echo "make test-spandrel TORCH_INDEX= TORCH_VERSION==$(TORCH_VERSION)" >&2; exit 1; }
	@touch $@

# There is no such wheel for other systems and for C libraries before glibc 2.35: the tests that need it are skipped.
$(TRITON_SERVER)/.made: | $(VENV)/.made
	@rm -rf $(TRITON_SERVER)
	@$(PIP) install --no-deps --only-binary :all: --target $(TRITON_SERVER) "$(PYTRITON)" && touch $@ || \
	  echo "Tests with Triton's server are skipped: $(PYTRITON) cannot be installed here." >&2
