# Everything a developer types. `make` alone lists it.
# The environment lives in .venv and is made by the first target that needs it: `make demo` gets by
# with requirements.lock, tests and linters add requirements-dev.lock on top.

CHOSEN_PYTHON := $(PYTHON)
PYTHON ?= python3.11
UV ?= uv
# Workers of the test run. The tests under tests/workflow start processes of their own.
WORKERS ?= 2

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin

# A stamp is written when a setup is complete, and its name holds what it was made from. No stamp of
# that name: the setup was interrupted, a version changed or the clone moved, and .venv is made anew.
fingerprint = $(shell { pwd; grep -hv '^ *\#' $(1); } | sha256sum | cut -c1-12)
RUNTIME := $(VENV)/.runtime-$(call fingerprint,pyproject.toml requirements.lock)
DEV := $(VENV)/.dev-$(call fingerprint,pyproject.toml requirements.lock requirements-dev.lock)

# pip compiles one file after another; `compile` uses every core and leaves out test suites.
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 \
	--no-compile --no-deps
INSTALL_LOCKED := $(PIP_INSTALL) --require-hashes
compile = cd $(VENV)/lib/python3.*/site-packages && \
	../../../bin/python -m compileall -qq -j 0 -x '/tests?/' . || true

# One setup at a time, also when two terminals ask for it, or when a killed make left its pip running.
once = @flock Makefile $(MAKE) --no-print-directory --silent

# The newest Python from 3.11 to 3.13 that can make environments, pyenv's among them.
PYENV_ROOT ?= $(HOME)/.pyenv
NEWEST_PYTHON = $(firstword $(foreach version,3.13 3.12 3.11,$(foreach python, \
	python$(version) $(wildcard $(PYENV_ROOT)/versions/$(version).*/bin/python$(version)), \
	$(shell $(python) -c 'import ensurepip, sys, venv; print(sys.executable)' 2>/dev/null))))
# The environments for the lowest and the newest versions.
LOWEST := .venv-lowest
NEWEST := .venv-newest
LOWEST_READY := $(LOWEST)/.ready-$(call fingerprint,pyproject.toml requirements-lowest.lock)
# Newest is what the package index has today, without hashes: there is no list of it to check.
NEWEST_READY := $(NEWEST)/.ready-$(shell date +%F)-$(call fingerprint,pyproject.toml)
INSTALL_PLAINLY := -m pip install --quiet --disable-pip-version-check
# Snakemake is not installed there, and these modules are its plug-in and its process.
VERSION_TESTS := tests/unit platefuse --ignore=platefuse/command/child.py \
	--ignore=platefuse/command/events.py

EXAMPLE := example/demo.zarr

.PHONY: help setup setup-dev setup-lowest setup-newest demo test test-slow test-lowest test-newest writers readers bench accuracy torture lint docs config lock clean FORCE

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

setup: ## make .venv with what the workflow needs (PYTHON=… chooses the interpreter)
	$(once) $(RUNTIME)

setup-dev: ## add tests and linters to .venv
	$(once) $(DEV)

# Receipts without a fused plate are of an example plate that was deleted. A profile of the user's
# does not count here.
demo: setup $(EXAMPLE) ## measure, register, fuse and check a raw example plate
	@test -d $(EXAMPLE:.zarr=_fused.zarr) || rm -rf results/demo
	env -u SNAKEMAKE_PROFILE $(BIN)/platefuse run example/config.yaml
	$(BIN)/platefuse status $(EXAMPLE)
	@echo
	@$(BIN)/python example/compare.py $(EXAMPLE) results/demo/fields.tsv

$(EXAMPLE): | setup
	rm -rf results/demo
	$(BIN)/platefuse example --raw $@

PYTEST = @$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=10

test: setup-dev ## run the tests but the slow ones (WORKERS=… processes; ARGS=… goes to pytest)
	$(PYTEST) -m 'not slow' $(ARGS)

test-slow: setup-dev ## run the slow tests: kills, whole runs again and again, a real Slurm
	$(PYTEST) -m slow $(ARGS)

setup-lowest: ## make .venv-lowest with the lowest versions that pyproject.toml allows
	@$(MAKE) --no-print-directory --silent $(LOWEST_READY)

setup-newest: ## make .venv-newest with the newest versions of today, on the newest Python
	@$(MAKE) --no-print-directory --silent $(NEWEST_READY)

test-lowest: setup-lowest ## run the unit tests with the lowest versions
	@$(LOWEST)/bin/python -m pytest -n $(WORKERS) --dist worksteal $(VERSION_TESTS) $(ARGS)

test-newest: setup-newest ## run the unit tests with the newest versions, and install the wheel
	@$(NEWEST)/bin/python -m pytest -n $(WORKERS) --dist worksteal tests/packaging/test_wheel.py $(VERSION_TESTS) $(ARGS)

writers: setup-dev ## let the newest ngio, iohub and acquire-zarr write the plates that tests read
	@$(BIN)/python -m tests.writers.make_archive --newest

readers: setup-dev ## let the newest ngio, napari-ome-zarr, spatialdata and others read fused plates
	@$(BIN)/python -m tests.readers.run "$(or $(CHOSEN_PYTHON),$(NEWEST_PYTHON))" $(ARGS)

bench: setup-dev ## measure speed and memory against the peers
	@$(BIN)/python -m benchmarks $(SUITE)

# `make accuracy` and `make bench accuracy` run this suite only.
accuracy: bench ## measure the errors of registration against the peers

SUITE = $(if $(filter accuracy,$(MAKECMDGOALS)),accuracy --repeats 1)

torture: setup-dev ## try every crash point, and whole runs; ARGS="--every 50": one of fifty (docs/reliability.md)
	@$(BIN)/python -m tests.torture --workers $(WORKERS) --write $(ARGS)
	@TORTURE=complete $(BIN)/python -m pytest -q tests/torture/test_machine.py \
		tests/workflow/test_kill.py tests/workflow/test_pairs.py tests/slurm/test_many_wells.py

lint: setup-dev ## check style, types and the workflow
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_imports.py
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

docs: setup-dev ## build the documentation into site/; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Built site/index.html"

config: setup-dev ## write schema, example and table of keys of the config anew
	@$(BIN)/python -m platefuse.workflow.config.files

lock: ## make the locks anew from pyproject.toml (needs uv; versions move only where they must)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: install it, or say where it is with UV=…" >&2; exit 1; }
	$(LOCK) --universal --extra workflow --extra build --output-file requirements.lock
	$(LOCK) --universal --all-extras --constraints requirements.lock --output-file requirements-dev.lock
	$(LOCK) --extra build --extra test --resolution lowest-direct --output-file requirements-lowest.lock

LOCK = $(UV) pip compile --quiet --python-version 3.11.2 --generate-hashes \
	--annotation-style line --custom-compile-command "make lock" pyproject.toml

clean: ## remove caches, build products and the demo's plates (the environments stay)
	rm -rf build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf example/*.zarr example/*.zarr.staging results/demo
	find . -path './.venv*' -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

$(RUNTIME): $(if $(realpath $(BIN)/python),,FORCE)
	command -v $(PYTHON) >/dev/null || { \
		echo "platefuse needs Python 3.11 and finds no '$(PYTHON)'." \
		"Install it (Debian: apt-get install python3.11-venv) or say where it is: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "platefuse needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
		"Say where a newer one is: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments: its venv module is missing." \
		"Install it (Debian: apt-get install python3.11-venv)." >&2; exit 1; }
	echo "Setting up $(VENV) from requirements.lock: about a minute, once."
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	# First what builds: one package has no wheel, and builds here with hashed tools or not at all.
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock | $(INSTALL_LOCKED) -r /dev/stdin
	$(INSTALL_LOCKED) --no-build-isolation -r requirements.lock
	$(PIP_INSTALL) --no-build-isolation --editable .
	$(compile)
	touch $@

$(LOWEST_READY): $(if $(realpath $(LOWEST)/bin/python),,FORCE)
	echo "Setting up $(LOWEST) from requirements-lowest.lock."
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python $(INSTALL_PLAINLY) --no-deps --require-hashes -r requirements-lowest.lock
	$(LOWEST)/bin/python $(INSTALL_PLAINLY) --no-deps --no-build-isolation --editable .
	touch $@

$(NEWEST_READY): $(if $(realpath $(NEWEST)/bin/python),,FORCE)
	python="$(or $(CHOSEN_PYTHON),$(NEWEST_PYTHON))"; \
	echo "Setting up $(NEWEST) with the newest versions for $$("$$python" --version)."; \
	"$$python" -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python $(INSTALL_PLAINLY) --editable '.[build,test]'
	touch $@

$(DEV): $(RUNTIME)
	echo "Adding tests and linters to $(VENV) from requirements-dev.lock."
	rm -f $(RUNTIME)
	$(INSTALL_LOCKED) --no-build-isolation -r requirements-dev.lock
	$(compile)
	touch $(RUNTIME)
	touch $@

FORCE:
