# `make run` and `make test` need Python >= 3.11 and make; they bring everything else into $(VENV).
#
#   VENV=path     another place for the virtual environment
#   PYTHON=path   another Python to make it with
#   ARGS="…"      more arguments for pytest (make test) or agentos (make run)

VENV ?= .venv
PYTHON ?=
ARGS ?=

BIN := $(VENV)/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 "$(BIN)/python" -m pip install --quiet --constraint constraints.txt
# Packages that are built here get pinned tools, too.
PINNED := --build-constraint constraints.txt
INPUTS := pyproject.toml constraints.txt
# Tests wait for their children about as long as they work, so two share a processor.
TESTERS ?= $(shell expr 2 \* "$$(getconf _NPROCESSORS_ONLN)")

# Tests start hundreds of processes; without the files of compiled modules each compiles its own.
unexport PYTHONDONTWRITEBYTECODE

# An environment whose Python is gone (an upgrade, a moved folder) has nothing installed.
$(shell [ -x "$(BIN)/python" ] || rm -f "$(VENV)/.installed" "$(VENV)/.installed-dev")

.DEFAULT_GOAL := help
.PHONY: help run demo test check format-check lint types imports dockerfile format reference pins clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.installed ## Talk to it; without a terminal, run it as a service
	@if [ -t 0 ]; then exec "$(BIN)/agentos" chat $(ARGS); else exec "$(BIN)/agentos" up $(ARGS); fi

demo: $(VENV)/.installed ## See it do everything once, without any key
	@"$(BIN)/agentos" demo $(ARGS)

test: $(VENV)/.installed-dev ## Run all tests
	@"$(BIN)/python" -m pytest -n $(TESTERS) $(ARGS)

check: format-check lint types imports dockerfile ## Formatting, linters, types, layers

format-check: $(VENV)/.installed-dev
	@echo "ruff format --check" && "$(BIN)/ruff" format --check --quiet .

lint: $(VENV)/.installed-dev
	@echo "ruff check" && "$(BIN)/ruff" check --quiet .

types: $(VENV)/.installed-dev
	@echo "mypy --strict" && "$(BIN)/mypy" --no-error-summary

imports: $(VENV)/.installed-dev
	@echo "lint-imports" && PYTHONPATH=. "$(BIN)/lint-imports" --no-cache

dockerfile: $(VENV)/.installed-dev
	@echo "hadolint" && "$(BIN)/hadolint" Dockerfile

format: $(VENV)/.installed-dev ## Format the code and mend what can be mended
	@"$(BIN)/ruff" format . && "$(BIN)/ruff" check --fix .

reference: $(VENV)/.installed-dev ## Write docs/reference.md anew from --help
	@"$(BIN)/python" .ci/reference > docs/reference.md.new && mv docs/reference.md.new docs/reference.md

pins: ## Renew constraints.txt with the newest versions that fit together
	@.ci/pins

clean: ## Remove what make and the tools made here
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . \( -name .git -o -path "./$(VENV)" \) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -f "$(VENV)/.made-by-make" ]; then rm -rf "$(VENV)"; fi

$(BIN)/python:
	@.ci/venv "$(VENV)" "$(PYTHON)"

# pip itself is pinned as well: the one that comes with Python may be too old for this.
$(VENV)/.installed: $(INPUTS) | $(BIN)/python
	@echo "Installing agentos into $(VENV): about 320 MB to fetch, 900 MB on disk, once."
	@$(PIP) pip
	@$(PIP) $(PINNED) --editable .
	@touch "$@"

$(VENV)/.installed-dev: $(INPUTS) | $(BIN)/python
	@echo "Installing agentos and what its tests need into $(VENV): about 1 GB to fetch, 3 GB on disk, once."
	@echo "Where PyTorch comes with CUDA it is some GB more; the first tests fetch three CLIs, 700 MB on disk."
	@$(PIP) pip
	@$(PIP) $(PINNED) --no-compile --group dev --editable .
	@touch "$(VENV)/.installed" "$@"
