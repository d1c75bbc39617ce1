# Every target sets up what it needs first; a fresh clone needs only Python 3.11+ and make.
PYTHON ?= python3
PORT   ?= 8080
BIN    := .venv/bin
# Downloaded wheels are kept here, so that the next clone installs without the network.
WHEELS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/runflow-mcp/wheels

.DEFAULT_GOAL := help
.PHONY: help install run test coverage conformance fuzz check format lock clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/dev  ## make .venv with everything the other targets need

run: .venv/runtime  ## serve on 127.0.0.1:8080 with the embedded sandbox; LIVE=1 for the real Runflow
	MCP_PORT=$(PORT) $(BIN)/python -m runflow_mcp serve $(if $(LIVE),,--sandbox)

test: .venv/dev  ## the whole test-suite
	$(BIN)/python -m pytest -n 3 $(ARGS)

coverage: .venv/dev  ## the same, and which branches it did not see
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 3 $(ARGS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

conformance: .venv/dev  ## the official MCP conformance suite, in every revision (npm, the first time)
	$(BIN)/python -m tests.conformance.run

fuzz: .venv/dev  ## the long fuzz: CHAOS_EXAMPLES random scenarios of faults, drains and kills, then 10,000 drops
	$(BIN)/python -m tests.chaos.fuzz

check: .venv/dev  ## format check, lint, strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/dev  ## rewrite the sources in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: .venv/dev  ## renew the pinned requirements from pyproject.toml (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --group build --extra redis --extra sandbox pyproject.toml -o deploy/requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o tests/requirements.txt

clean:  ## remove .venv and caches
	rm -rf .venv .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; say PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

# Installs pinned, hashed wheels: from the kept ones alone where they suffice, else after a download.
define pip_install
	@$(BIN)/pip install -q --disable-pip-version-check --no-index --find-links $(WHEELS) --require-hashes -r $(1) 2>/dev/null \
	|| { echo "downloading the packages of $(1)" && mkdir -p $(WHEELS) \
	&& $(BIN)/pip download -q --disable-pip-version-check -d $(WHEELS) --require-hashes -r $(1) \
	&& $(BIN)/pip install -q --disable-pip-version-check --no-index --find-links $(WHEELS) --require-hashes -r $(1); }
endef

.venv/runtime: deploy/requirements.txt pyproject.toml | .venv/bin/python
	$(call pip_install,$<)
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

.venv/dev: tests/requirements.txt .venv/runtime
	$(call pip_install,$<)
	@touch $@
