# Every target sets up what it needs first; a fresh clone needs only Python 3.11+ and make.
PYTHON ?= python3
PORT   ?= 8080
# Seconds for which make fuzz sends each load of tests/overload, and inputs that it gives to each property test.
OVERLOAD_SECONDS ?= 20
LAW_EXAMPLES ?= 1000
BIN    := .venv/bin
# python -m: the scripts in .venv/bin contain the path that .venv was made at, which may have changed.
PY     := $(BIN)/python -m
# Compiled modules are kept, also where a shell says otherwise: without them a start takes three times as long.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help install run quick test coverage conformance fuzz bench bench-quick check format lock clean lint types pure

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/dev  ## make .venv with everything the other targets need

run: .venv/runtime  ## serve on 127.0.0.1:8080 with the embedded sandbox; LIVE=1 for the real Runflow
	@MCP_PORT=$(PORT) exec $(PY) runflow_mcp serve $(if $(LIVE),,--sandbox)

quick: .venv/dev  ## lint, types and the tests without I/O, in seconds, while you work
	@$(MAKE) --no-print-directory -j lint types pure

# Tests that meet other processes spend time waiting: a third worker keeps two cores busy. Each worker begins with a third
# of the tests in their order, so that what a file or a folder starts is mostly started once, and then takes from others.
TESTS := pytest -n 3 --dist worksteal

test: .venv/dev  ## the whole test-suite
	$(PY) $(TESTS) $(ARGS)

coverage: .venv/dev  ## the whole test-suite, and the branches that it does not reach
	$(PY) coverage erase
	$(PY) coverage run -m $(TESTS) $(ARGS)
	$(PY) coverage combine -q
	$(PY) coverage report

conformance: .venv/dev  ## the official MCP conformance suite, in every revision (npm, the first time)
	$(PY) tests.conformance.run

fuzz: .venv/dev  ## the long fuzz: CHAOS_EXAMPLES scenarios, 10,000 disconnects, properties, each overload for OVERLOAD_SECONDS, rolling restarts
	$(PY) tests.chaos.fuzz
	LAW_EXAMPLES=$(LAW_EXAMPLES) $(PY) pytest -q -n 2 $$(grep -rl property_settings --include='test_*.py' tests)
	OVERLOAD_SECONDS=$(OVERLOAD_SECONDS) $(PY) pytest -q tests/overload
	for workers in 1 2; do WORKERS=$$workers $(PY) tests.deploy.rolling_restart || exit; done

bench: .venv/dev  ## the product beside a bare handler and other SDKs, waiting streams: 12 minutes (wrk, two cores)
	$(PY) tests.bench.run $(ARGS)

bench-quick: .venv/dev  ## product ÷ a bare handler in under a minute (wrk, two cores); BASE=/another/checkout compares
	$(PY) tests.bench.quick $(if $(BASE),--base $(BASE)) $(ARGS)

check: lint types  ## format check, lint, strict types: before every commit (subject ≤ 72 characters, why in the body)

lint: .venv/dev
	$(PY) ruff format --check -q .
	$(PY) ruff check -q .

types: .venv/dev
	$(PY) mypy

pure: .venv/dev
	@LAW_EXAMPLES=5 $(PY) pytest -q -p no:anyio -p no:logging -p no:cacheprovider $$($(PY) tests.import_graph)

format: .venv/dev  ## rewrite the sources in the house format
	$(PY) ruff format .
	$(PY) ruff check --fix .

lock:  ## renew the pinned lists (needs uv and npm)
	$(LOCK) --group build --extra metrics --extra redis --extra sandbox pyproject.toml -o deploy/requirements.txt
	$(LOCK) --group dev --constraint deploy/requirements.txt pyproject.toml -o tests/requirements.txt
	for list in tests/*/peers/*.in; do $(LOCK) $$list -o $${list%.in}.txt || exit; done
	for folder in tests/bench/peers tests/browser tests/clients/commands tests/clients/peers tests/conformance; do (cd $$folder && $(LOCK_NPM)) || exit; done

clean:  ## remove .venv and caches
	rm -rf .venv .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis

LOCK := uv pip compile -q --universal --python-version 3.11 --only-binary :all: --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
LOCK_NPM := npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

# A .venv that is unfinished, or whose Python is gone, is made again.
ifeq ($(shell { $(BIN)/python -c 'import pip; print("usable")'; } 2>/dev/null),)
.PHONY: $(BIN)/pip
endif

$(BIN)/pip:
	$(writable)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	|| { echo 'Python 3.11 or newer is needed. Install it, or name it: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -c 'import venv; from ensurepip import version' 2>/dev/null && $(PYTHON) -m venv --clear .venv >/dev/null \
	|| { rm -rf .venv; $(PYTHON) -c 'import sys; print("$(NO_VENV)%d.%d-venv" % sys.version_info[:2])' >&2; exit 1; }

.venv/runtime: deploy/requirements.txt pyproject.toml $(BIN)/pip
	$(install_list)
	@$(PIP_INSTALL) --no-deps --no-build-isolation --no-index -e .
	@$(PY) compileall -q runflow_mcp
	@touch $@

.venv/dev: tests/requirements.txt .venv/runtime
	$(install_list)
	@touch $@

PIP_INSTALL := $(PY) pip install -qq --disable-pip-version-check
NO_VENV     := This Python cannot make a virtual environment. On Debian and Ubuntu: apt install python

# Exactly the listed packages are installed: pip resolves nothing and builds nothing. It compiles what the server runs on,
# and not what only the tests need: most of those modules are never imported.
define install_list
	$(writable)
	@echo 'installing the packages of $<'
	@output=$$($(PIP_INSTALL) $(if $(filter tests/%,$<),--no-compile) --no-deps --only-binary :all: --require-hashes -r $< 2>&1) || { case $$output in \
	*'(from versions: none)'*) echo 'No package index answers. Check the network, HTTPS_PROXY and PIP_INDEX_URL.';; \
	*) echo "$$output"; echo 'The packages of $< could not be installed; the output of pip above says why.';; esac >&2; exit 1; }
endef

define writable
	@for place in . $(wildcard .venv); do test -w $$place \
	|| { echo 'This folder belongs to another user. Work in a clone of your own.' >&2; exit 1; }; done
endef
