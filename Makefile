# make run    set up everything and start Restyle         make test   set up everything and run all tests
# make check  what to run before a commit                 make bench  the figures of README.md, as JSON
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run setup test test-long page-test check bench bench-consistency fuzz soak churn chaos admission network engine sbom semgrep client \
	client-types lock browser clean fixtures docker-lint

PYTHON ?= python3
PY := .venv/bin/python
ARGS ?=
CLIENT_SOURCES := $(shell find frontend/src frontend/public server/overlay -type f 2>/dev/null) \
	frontend/index.html frontend/package-lock.json

help: ## what there is
	@grep -hE '^[a-z -]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: setup ## set up and start; ARGS="--port 9000" for options
	@exec $(PY) -m server serve $(ARGS)

setup: .venv/.ready frontend/dist/index.html ## Python environment and built page

# torch first and alone: on Linux without an NVIDIA GPU the small CPU build, so that nothing pulls in
# gigabytes of CUDA. An index that is configured here may have it; else the project's own one has.
.venv/.ready: pyproject.toml requirements.lock
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@echo "restyle: installing Python packages (the first time takes some minutes)"
	@if [ "$$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null; then \
	  version=$$(sed -n 's/^torch==//p' requirements.lock); \
	  $(PY) -c "import torch" 2>/dev/null \
	  || $(PY) -m pip install -q "torch==$$version+cpu" -c requirements.lock 2>/dev/null \
	  || $(PY) -m pip install -q "torch==$$version+cpu" --index-url https://download.pytorch.org/whl/cpu \
	  || $(PY) -m pip install -q "torch==$$version" -c requirements.lock; fi
	@$(PY) -m pip install -q -c requirements.lock -r <($(PY) -c 'import tomllib; \
	  print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"]))') \
	  hatchling editables
	@$(PY) -m pip install -q -c requirements.lock --no-build-isolation -e .
	@touch $@

# what the tests alone want
.venv/.foreign: .venv/.ready
	@$(PY) -m pip install -q -c requirements.lock -r <($(PY) -c 'import tomllib; \
	  print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["foreign"]))')
	@touch $@

frontend/node_modules/.ready: frontend/package-lock.json
	@echo "restyle: installing the page's packages"
	@cd frontend && npm ci --no-fund --no-audit --loglevel=error
	@touch $@

frontend/dist/index.html: frontend/node_modules/.ready $(CLIENT_SOURCES)
	@echo "restyle: building the page"
	@cd frontend && npm run --silent build
	@touch $@

client: frontend/dist/index.html ## the page alone

client-types: .venv/.ready frontend/node_modules/.ready ## TypeScript types from the server's schema
	@$(PY) -m server.openapi > frontend/schema.json && cd frontend && npm run --silent types

COMPUTING := tests/pipeline tests/fuzz tests/streams/test_simulation.py
BROWSER := tests/e2e
# these wait for clocks and processes; those that measure sound or a bad link have the machine alone
ALONE := $(wildcard tests/streams/test_*_sound.py tests/server/test_*sound.py) tests/reliability/test_network.py
WAITING := $(filter-out $(COMPUTING) $(ALONE),\
	$(wildcard tests/test_*.py $(addsuffix /test_*.py,tests/bench tests/reliability tests/streams tests/server)))

test: ## set up and run all tests but the long ones
	@$(MAKE) --no-print-directory -j 2 setup .venv/.foreign browser page-test # the page beside Python's packages
	@$(PY) -m pytest -n 2 $(COMPUTING)
	@$(PY) -m pytest -n 3 --dist loadfile $(WAITING)
	@$(PY) -m pytest -n 2 $(BROWSER)
	@$(PY) -m pytest $(addprefix --ignore ,$(COMPUTING) $(WAITING) $(BROWSER))

page-test: frontend/node_modules/.ready
	@cd frontend && npm run --silent test

test-long: setup .venv/.foreign browser ## the few tests that would make `make test` too long
	@$(PY) -m pytest -m long $(ARGS)

check: setup ## before a commit: format, lint, types, import layers, fast tests
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@.venv/bin/bandit -q -c pyproject.toml -r server streams pipeline
	@cd frontend && npm run --silent check
	@$(PY) -m server.openapi | diff -q - frontend/schema.json >/dev/null \
	  || { echo "frontend/schema.json is out of date: make client-types"; exit 1; }
	@$(PY) -m pytest -q --size small $(ARGS)

bench: setup browser ## measure and print JSON, also to build/bench.json
	@$(PY) -m tests.bench $(ARGS)

bench-consistency: setup ## how steady each part makes the picture; table, plot and film into docs/
	@$(PY) -m tests.bench.consistency $(ARGS)

fuzz: setup ## mutate the corpus; ARGS="--minutes 10", crashers are kept in it
	@$(PY) -m tests.fuzz $(ARGS)

soak churn chaos admission network engine: setup ## leaks, visits, bad neighbours, floods, bad links, a dying engine: a verdict and a plot; ARGS="--seconds 600", of soak also ARGS=--accelerated
	@$(PY) -m tests.reliability $@ $(ARGS)

sbom: .venv/.ready ## what is installed, as CycloneDX in build/sbom.json
	@test -x build/sbom-tool/bin/cyclonedx-py || { $(PYTHON) -m venv build/sbom-tool \
	  && build/sbom-tool/bin/pip install -q "cyclonedx-bom>=7,<8"; }
	@build/sbom-tool/bin/cyclonedx-py environment --of JSON -o build/sbom.json $(PY)
	@echo "build/sbom.json"

semgrep: ## our own rules about secrets, files, deadlines and the hot path (tests/semgrep)
	@test -x build/semgrep-tool/bin/semgrep || { $(PYTHON) -m venv build/semgrep-tool \
	  && build/semgrep-tool/bin/pip install -q "semgrep>=1.185,<2"; }
	@export SEMGREP_ENABLE_VERSION_CHECK=0 && cd tests/semgrep && ../../build/semgrep-tool/bin/semgrep --metrics off --test --quiet .
	@export SEMGREP_ENABLE_VERSION_CHECK=0 && build/semgrep-tool/bin/semgrep scan --metrics off --quiet --error --config tests/semgrep/restyle.yml server streams pipeline
	@echo "semgrep: nothing found"

# A browser for the end-to-end tests. Without one they are skipped, and say so.
browser: .venv/.ready
	@$(PY) -m tests.e2e.browser >/dev/null 2>&1 || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "restyle: installing chromium for the browser tests"; \
	    apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	  else echo "restyle: no Chromium found, browser tests will be skipped"; fi; }

lock: ## write the installed versions into requirements.lock
	@{ echo "# Exact versions that are tested together; used as pip constraints. Made by: make lock"; \
	  $(PY) -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > requirements.lock.tmp
	@mv requirements.lock.tmp requirements.lock

docker-lint: .venv/.ready ## lint the Dockerfile and compose file
	@$(PY) -m pytest -q tests/test_docker.py

clean: ## remove everything that set-up made
	@rm -rf .venv frontend/node_modules frontend/dist build .mypy_cache .ruff_cache .pytest_cache
