# Everything runs inside .venv, installed from hashed requirement files.
PYTHON ?= python3
SCENARIO ?= demo
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Most modules are never imported; compiling all of them takes longer than the rest of an install.
INSTALL := $(PIP) install --quiet --no-compile
# The requirement files are complete, so nothing is left to resolve.
PINNED := --no-deps --require-hashes

# Compiled kernels are kept between runs.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax
# Modules too are compiled once, not by every process, whatever the shell asks for.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX ?= $(CURDIR)/.cache/pyc

# Stamp files: an environment is installed again only when what it is made from changes.
RUN_STAMP := $(VENV)/.installed-run
TEST_STAMP := $(VENV)/.installed-test
DOCS_STAMP := $(VENV)/.installed-docs

# vLLM pins other versions than the rest of the project, and weighs 3 GB: an environment of its own.
VLLM := .venv-vllm
VLLM_STAMP := $(VLLM)/.installed

# skrl, and what it needs, are for one example only.
EXAMPLES := .venv-examples
EXAMPLES_STAMP := $(EXAMPLES)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo install test test-all test-vllm test-examples lint format bench experiments docs
.PHONY: gallery test-view view lock wheel clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUN_STAMP) ## Install what a run needs, then run SCENARIO (demo: language agents, offline)
	$(BIN)/society run $(SCENARIO)

install: $(TEST_STAMP) ## Create .venv with the development tools

# Most of the time of the fast tests goes into compiling; this way it takes two thirds as long.
# `make test-all` compiles as a user's run does.
test: export XLA_FLAGS ?= --xla_cpu_use_fusion_emitters=false --xla_llvm_disable_expensive_passes=true
test: lint ## Lint, then the fast tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not slow and not vllm and not network"

test-all: lint ## Lint, then all tests that need neither a server nor the network
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m "not vllm and not network"

test-vllm: $(VLLM_STAMP) ## Tests with a real vLLM server on loopback (CPU; builds .venv-vllm)
	$(VLLM)/bin/python -m pytest -m vllm -s -W default --timeout 2400 tests/llm_agents/test_*_live.py

test-examples: $(EXAMPLES_STAMP) ## A learner of somebody else's in our worlds (builds .venv-examples)
	$(EXAMPLES)/bin/python -m pytest -o addopts= -p no:cacheprovider -q \
		tests/examples/test_third_party_learner.py

test-view: $(TEST_STAMP) ## Tests of the viewer in a real Chromium (installs playwright and, as root, Chromium)
	$(PIP) install --quiet playwright
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || test -n "$$CHROMIUM" \
		|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq chromium; } \
		|| { echo "no Chromium: apt install chromium, or CHROMIUM=/path/to/it make test-view"; exit 1; }
	SOCIETY_TEST_VIEW=1 $(BIN)/pytest -p no:xdist tests/society/test_view.py \
		tests/society/test_view_browser.py

view: ## Build the viewer's page into society/view/static (needs node; the result is committed)
	cd society/view/web && npm ci --no-audit --no-fund && npm run build

lint: $(TEST_STAMP) ## Style, spelling, import direction and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/codespell
	$(BIN)/basedpyright

format: $(TEST_STAMP) ## Rewrite the code in the house format
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

bench: $(TEST_STAMP) ## Run every script in benchmarks/ but the experiments
	@for script in $$(find benchmarks -name '[!_]*.py' ! -name 'experiments_*' | sort); do \
		echo "== $$script"; $(BIN)/python $$script || exit 1; done

experiments: $(TEST_STAMP) ## Experiments of many hours: what culture adds to one lifetime, what evolves
	@for script in benchmarks/experiments_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

docs: $(DOCS_STAMP) ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

gallery: $(DOCS_STAMP) ## Run every scenario and draw its page of the documentation
	$(BIN)/python docs/gallery.py

wheel: $(TEST_STAMP) ## Build the wheel into dist/
	$(PIP) wheel --quiet --no-deps --no-build-isolation -w dist .

lock: ## Choose versions anew and write requirements/*.txt (needs uv)
	requirements/lock.sh

clean: ## Remove the environment, caches and build outputs; runs/ stays
	rm -rf $(VENV) $(VLLM) $(EXAMPLES) .cache .pytest_cache .ruff_cache .hypothesis build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): requirements/run.txt pyproject.toml | $(BIN)/python
	$(INSTALL) $(PINNED) -r requirements/run.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(TEST_STAMP): requirements/test.txt pyproject.toml | $(BIN)/python
	$(INSTALL) $(PINNED) -r requirements/test.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@ $(RUN_STAMP)

# The set is complete, and leaves out torchvision and its like, which break the import of vLLM.
$(VLLM_STAMP): requirements/vllm.txt pyproject.toml
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile \
		--no-deps --require-hashes -r requirements/vllm.txt
	$(VLLM)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile \
		--no-deps --no-build-isolation -e .
	@touch $@

$(EXAMPLES_STAMP): requirements/examples.txt pyproject.toml
	$(PYTHON) -m venv $(EXAMPLES)
	$(EXAMPLES)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile \
		--require-hashes -r requirements/examples.txt
	$(EXAMPLES)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile \
		--no-deps --no-build-isolation -e .
	@touch $@

$(DOCS_STAMP): requirements/docs.txt $(TEST_STAMP)
	$(INSTALL) --require-hashes -r requirements/docs.txt
	@touch $@
