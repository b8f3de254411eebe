# Everything that this needs and does not find is named with the line that installs it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TAXIPHONE := $(BIN)/taxiphone

.PHONY: help install demo test test-all check docs bench bench-billing lock clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(STAMP): requirements.lock setup.cfg Makefile
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed, this is $$($(PYTHON) -V): apt-get install python3.11 python3.11-venv, then make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || echo "note: apt-get and dpkg-deb are missing; taxiphone then needs an Asterisk on the PATH"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@mkdir -p .cache/src && ln -sfn ../.. .cache/src/taxiphone
	@touch $@

install: $(STAMP) ## the environment alone: .venv with the locked packages and the command taxiphone

demo: install ## a real call from a client's phone to a consultant's, priced and recorded, in a minute
	@$(TAXIPHONE) demo

check: install ## ruff, ruff format, mypy, and the rule that imports run downwards
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Real calls come last and by themselves: they mostly wait, but what they wait for comes in time only on a quiet machine.
test: check ## every check and every test but the long ones, on a real Asterisk, SQLite and PostgreSQL
	$(TAXIPHONE) asterisk install
	$(BIN)/pytest -n 3 --dist worksteal -m "not slow and not e2e"
	$(BIN)/pytest -n 4 --dist worksteal -m "not slow and e2e"

test-all: check ## the long ones too: a hundred processes killed in a storm of calls
	$(TAXIPHONE) asterisk install
	$(BIN)/pytest -n 3 --dist worksteal -m "not e2e"
	$(BIN)/pytest -n 4 --dist worksteal -m e2e

docs: install ## write the generated pages of docs/
	$(BIN)/python -m taxiphone.commands.settings_reference docs/settings.md
	$(BIN)/python -m taxiphone.commands.call_flow_reference docs/call-flow.md

bench: install ## what the application costs per call beside a plain Dial(), in three minutes (BENCH="--append docs/benchmarks.md")
	@$(BIN)/python -m taxiphone.bench.calls $(BENCH)
	@$(BIN)/python -m taxiphone.bench.billing

bench-billing: install ## prices and postings a second, against what the databases can do, in a minute
	@$(BIN)/python -m taxiphone.bench.billing

lock: ## resolve setup.cfg's bounds again into requirements.lock
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --extra dev setup.cfg requirements-build.in -o requirements.lock

clean: ## remove the environment; the unpacked Asterisk stays in its cache (taxiphone asterisk uninstall)
	rm -rf $(VENV) .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
