# What a newcomer and CI run. `make` alone lists the targets.
#
#   PYTHON=/path/to/python make demo    uses that interpreter instead of the one found

VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# One process more than cores: many tests wait for a server, a signal or a lease.
PROCESSES := $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# Settings of the user's own books (TRIALBOOK_STORAGE and so on) must not reach demo and tests.
$(foreach name,$(filter TRIALBOOK_%,$(.VARIABLES)),$(eval unexport $(name)))

.PHONY: help demo test check bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    search, rerun, report: handwritten digits, about two minutes"
	@echo "make test    run the tests"
	@echo "make check   formatting, lint, types and floors"
	@echo "make bench   overhead, many workers and a large report, beside plain Optuna"
	@echo "make clean   remove $(VENV), caches and build output; books stay"

# The demo keeps its trials in the checkout's own book. Run again, it finds the budget met, and
# only reruns the best trial and writes the report again.
demo: export TRIALBOOK_STORAGE = $(CURDIR)/.trialbook/book.db
demo: $(VENV)/.demo
	$(BIN)/trialbook run studies/digits-mlp.yaml
	$(BIN)/trialbook show digits-mlp/best
	$(BIN)/trialbook rerun digits-mlp/best
	$(BIN)/trialbook report digits-mlp

# Where Python may write no bytecode, each of the many processes that the tests start would compile
# the project anew.
test: $(VENV)/.dev
	@$(BIN)/python -m compileall -q src
	@$(BIN)/python -m pytest --numprocesses=$(PROCESSES) --maxprocesses=8 --dist=worksteal

check: $(VENV)/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/workers.py
	$(BIN)/python benchmarks/report.py

clean:
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache \
		.import_linter_cache .hypothesis .coverage htmlcov
	find . -path ./.trialbook -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each set of packages; a newer pyproject.toml installs again.
$(VENV)/.demo: pyproject.toml $(VENV)/.created
	@echo "Installing Trialbook and scikit-learn into $(VENV) ..."
	@$(PIP_INSTALL) --editable ".[examples]"
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.created
	@echo "Installing Trialbook and its development tools into $(VENV) ..."
	@$(PIP_INSTALL) --editable ".[dev,postgres]"
	@touch $@ $(VENV)/.demo

# An interpreter serves when it is new enough and can make virtual environments (Debian splits
# ensurepip off into python3-venv). A version manager's stub that fails is passed over.
$(VENV)/.created:
	@if $(BIN)/python -m pip --version >/dev/null 2>&1; then touch $@; exit 0; fi; \
	for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
		if "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
			>/dev/null 2>&1; then \
			"$$python" -m venv $(VENV) && touch $@; exit; \
		fi; \
	done; \
	echo "Python 3.11 or newer with the venv module is needed, and none was found." >&2; \
	echo "  tried: $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11)" >&2; \
	echo "  try: apt install python3-venv, or PYTHON=/path/to/python make" >&2; \
	exit 1
