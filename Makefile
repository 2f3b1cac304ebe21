# make demo: the main job on the embedded digits.  make test: everything.  make check: format, lint, types (make lint), fast tests.
# make bench: all benchmarks, and docs/speed.md from what they measured. Stopped and called again, it goes on where it was;
# make bench FRESH=--fresh measures everything again.
# Each creates and fills .venv when that has not been done; PYTHON=python3.12 picks another interpreter for it.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
DATA := $(if $(LIFELONG_DATA),$(LIFELONG_DATA),$(abspath $(wildcard ../shared/data)))
# One thread for each test process: two processes with several threads each get in each other's way.
BENCH := $(if $(DATA),LIFELONG_DATA="$(DATA)") $(BIN)/python
PYTEST := OMP_NUM_THREADS=1 $(if $(DATA),LIFELONG_DATA="$(DATA)") $(BIN)/python -m pytest -n 2

.PHONY: demo test lint check bench format clean

demo: .venv/.installed
	$(BIN)/lifelong run demo

test: .venv/.installed
	@$(PYTEST) -q

lint: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint
	@$(PYTEST) -q -m "not slow"

bench: .venv/.installed
	$(BENCH) benchmarks/step.py $(FRESH)
	$(BENCH) benchmarks/ways.py $(FRESH)
	$(BENCH) benchmarks/pieces.py $(FRESH)
	$(BENCH) benchmarks/stream.py $(FRESH)
	$(BENCH) benchmarks/thousand.py $(FRESH)
	$(BENCH) benchmarks/peers.py $(FRESH)
	$(BENCH) benchmarks/speed.py

format: .venv/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv

# Rewritten only when the installation succeeded, so that an interrupted one is done again.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("lifelong needs Python 3.11 or newer; this is %d.%d. Name another: make PYTHON=python3.12 ..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python -a -d .venv/lib/python3*/site-packages/pip || $(MAKE) --no-print-directory .venv-with-pip
	@echo "Installing lifelong and what it needs into .venv (only this time) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Debian has `venv` but not always the module that puts pip into it: the system's pip does that then.
.PHONY: .venv-with-pip
.venv-with-pip:
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then \
	    $(PYTHON) -m venv .venv; \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
	    echo "This Python has no ensurepip (Debian: package python3-venv); using its pip to fill .venv instead."; \
	    $(PYTHON) -m venv --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; \
	else \
	    echo "This Python can make no environment with pip in it. Debian: apt install python3-venv" >&2; exit 1; \
	fi
