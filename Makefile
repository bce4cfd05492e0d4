PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo docs test matrix lint bench clean

help: ## Show what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: set PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,metrics]' --group dev
	@touch $@

demo: $(READY) ## See three replicas of an operator hand over to each other, without a cluster
	@$(BIN)/kopf-leader demo

docs: $(READY) ## Build the documentation as a site in build/site
	@$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --fresh-env --write-all -c docs -d build/doctrees . build/site
	@echo "Open build/site/index.html."

test: $(READY) ## Run all rings of tests, the cheap ones first, and say which ran
	@$(BIN)/python -m tests.rings

matrix: $(READY) ## Inject every fault and write down what came of it (docs/fault-matrix.md; 25 minutes)
	@$(BIN)/python -m tests.matrix

lint: $(READY) ## Check style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## Measure handovers and requests on a real API server
	@$(BIN)/python -m bench

clean: ## Remove what was made here
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build
