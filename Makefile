PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo docs test test-cluster matrix lint bench bench-full clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-13s %s\n", $$1, $$2}'

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

test-cluster: $(READY) ## Test the chart and the image on real kubelets (root; ten minutes, and eight more the first time)
	@$(BIN)/python -m tests.cluster.real

matrix: $(READY) ## Inject every fault and write down what came of it (docs/fault-matrix.md; 25 minutes)
	@$(BIN)/python -m tests.matrix

lint: $(READY) ## Check style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/.bench: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group bench
	@touch $@

bench: $(VENV)/.bench ## Measure on a real API server, beside others, and write docs/benchmarks (half an hour)
	@$(BIN)/python -m bench

bench-full: $(VENV)/.bench ## The same with more trials, 10 000 objects and half an hour under load (two hours; in pieces: bench/README.md)
	@$(BIN)/python -m bench --full

clean: ## Remove what was made here
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build
