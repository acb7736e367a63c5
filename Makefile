# `make demo` and `make test` need nothing before them but Python 3.11 or newer: the first
# target that needs it makes .venv and installs the tested versions into it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs

.DEFAULT_GOAL := help
.PHONY: extras lowest help demo test test-slow test-real test-kit test-all lint type format cli settings docs docs-serve

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Answer held-out questions with the bundled model, draft beside final answer
	$(BIN)/latent-agent demo

test: $(STAMP) ## Run the tests, without the slow ones
	$(BIN)/python -m pytest -m "not slow and not real"

MODEL ?=
test-real: $(STAMP) ## Try a real model on each engine that is installed: make test-real MODEL=FILE
	LATENT_AGENT_REAL_MODEL="$(MODEL)" $(BIN)/python -m pytest -m real -n 0 -s tests/real

# What the wheel's dependencies are used by; not the developers' tools.
LOWEST := tests/call tests/chat tests/evaluation tests/memory tests/migrations tests/model tests/recall tests/reward tests/search tests/tools

# A folder that a run found something in stays.
test-slow: $(STAMP) ## Run what `make test` leaves out: slow tests, a hundred kills, five minutes of soak
	$(BIN)/python -m pytest -m "slow and not real"
	folder=$$(mktemp -d) && $(BIN)/python -m tests.crash --kills 100 --folder $$folder && rm -r $$folder
	folder=$$(mktemp -d) && $(BIN)/python -m tests.soak --minutes 5 --folder $$folder && rm -r $$folder

# On the bundled model as a GGUF file, and on the one that LATENT_AGENT_REAL_MODEL names; there the
# examples take too long for a check before each merge: make test-real runs them.
test-kit: $(STAMP) ## Run what `make test-real` does on the bundled model, and on a real one if it is named
	file=$$(mktemp -d)/bundled.gguf && $(BIN)/python -m dev.bundled_model.export_gguf --out $$file && $(MAKE) test-real MODEL=$$file && rm -r $$(dirname $$file)
	if [ -n "$$LATENT_AGENT_REAL_MODEL" ]; then $(BIN)/python -m pytest -m real -n 0 -s tests/real --ignore tests/real/test_examples.py; else echo "LATENT_AGENT_REAL_MODEL names no model: the bundled one alone was tried"; fi

test-all: test test-slow test-kit ## Run all of these, as CI does

lint: $(STAMP) ## Check the code with ruff (rules and format)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

type: $(STAMP) ## Check the types with pyright
	$(BIN)/pyright

cli: $(STAMP) ## Write the command line's help into docs/cli.md
	$(BIN)/typer latent_agent.cli utils docs --name latent-agent --title "Command line" --output docs/cli.md

settings: $(STAMP) ## Write the settings and recipes into docs/reference/settings.md
	$(BIN)/python -m dev.settings_page

docs: $(DOCS_STAMP) ## Build the docs into site/; a warning is an error
	$(BIN)/zensical build --strict --clean

docs-serve: $(DOCS_STAMP) ## Show the docs on http://127.0.0.1:8000 and rebuild them at each change
	$(BIN)/zensical serve

extras: $(STAMP) ## Install each extra from the wheel into an environment of its own, and try it
	folder=$$(mktemp -d) && $(BIN)/python -m build --wheel --no-isolation --outdir $$folder && $(BIN)/python -m dev.extras $$folder/*.whl && rm -r $$folder

lowest: $(STAMP) ## Run quick tests with the oldest dependencies that pyproject.toml allows
	folder=$$(mktemp -d) && $(BIN)/python -m dev.lowest > $$folder/lowest.txt && $(PYTHON) -m venv $$folder/venv && $$folder/venv/bin/python -m pip install --quiet -c $$folder/lowest.txt -e ".[dev]" && $$folder/venv/bin/python -m pytest -m "not slow and not real" $(LOWEST) && rm -r $$folder

format: $(STAMP) ## Format the code and sort its imports with ruff
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(f"Python 3.11 or newer is needed, $(PYTHON) is {v}: name another with make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[dev]"
	@touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install -c constraints.txt -e ".[docs]"
	@touch $@
