# If something is missing on the machine, the message names the command that installs it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TAXIPHONE := $(BIN)/taxiphone

.PHONY: help install demo test test-all check docs lock clean \
	bench bench-calls bench-postgres bench-hangups bench-talks bench-mp3 bench-pins bench-short bench-billing bench-start

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 22

# A bare environment: enough for `make lock`, whose result `make install` needs.
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed, this is $$($(PYTHON) -V): apt-get install python3.11 python3.11-venv, then make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(STAMP): requirements.lock setup.cfg Makefile | $(BIN)/python
	@command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || echo "note: apt-get and dpkg-deb are missing; taxiphone then needs an Asterisk on the PATH"
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@mkdir -p .cache/src && ln -sfn ../.. .cache/src/taxiphone
	@touch $@

install: $(STAMP) ## create .venv with the locked packages and the command taxiphone

demo: install ## run a real call from a client's phone to a consultant's, priced and recorded, in a minute
	@$(TAXIPHONE) demo

check: install ## run ruff, ruff format, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The tests with real calls run last and separately: they mostly wait, and need a quiet machine to be on time. The tests of
# a file share a platform and a network, so each file runs in one process. A busy machine loses audio, so a test that fails
# because somebody did not hear a prompt, or because it was too slow, is repeated once. The summary names it.
CALLS := -n 5 --dist loadfile --no-loadscope-reorder -r aR \
	--reruns 1 --only-rerun "did not hear" --only-rerun "not within" --only-rerun "did not answer" --only-rerun TimeoutError

test: check ## run all checks and tests except the slow ones, with Asterisk, SQLite and PostgreSQL
	$(TAXIPHONE) asterisk install
	$(BIN)/pytest -n 3 --dist worksteal -m "not slow and not e2e"
	$(BIN)/pytest $(CALLS) -m "not slow and e2e"

test-all: check ## also run the slow tests, such as a hundred processes killed during a storm of calls
	$(TAXIPHONE) asterisk install
	$(BIN)/pytest -n 3 --dist worksteal -m "not e2e"
	$(BIN)/pytest $(CALLS) -m e2e

docs: install ## generate the reference pages in docs/
	$(BIN)/python -m taxiphone.commands.settings_reference docs/settings.md
	$(BIN)/python -m taxiphone.commands.call_flow_reference docs/call-flow.md
	$(TAXIPHONE) man --format markdown > docs/cli.md

bench: bench-calls bench-postgres bench-hangups bench-talks bench-mp3 bench-pins bench-billing bench-start ## run all benchmarks, in 40 minutes; options for each: BENCH="--append FILE"

bench-calls: install ## raise the calls a second, beside a plain Dial(), until both fail, in 20 minutes; options: BENCH=--help
	@$(BIN)/python -m taxiphone.bench.calls $(BENCH)

bench-postgres: install ## compare calls with a plain Dial() at 4 a second, with PostgreSQL, in three minutes
	@$(BIN)/python -m taxiphone.bench.calls --database postgresql --rates 4 $(BENCH)

bench-hangups: install ## measure how soon talks are priced if 20 a second end, in two minutes
	@$(BIN)/python -m taxiphone.bench.hangups $(BENCH)

bench-talks: install ## raise the number of recorded talks until a packet is lost, in five to ten minutes
	@$(BIN)/python -m taxiphone.bench.talks $(BENCH)

bench-mp3: install ## measure how fast a recording of three hours becomes an MP3, in three minutes
	@$(BIN)/python -m taxiphone.bench.mp3 $(BENCH)

bench-pins: install ## measure another call's writes while a hundred callers enter PINs, in a minute
	@$(BIN)/python -m taxiphone.bench.pins $(BENCH)

bench-short: install ## fail if a call costs much more than recorded, in a minute (part of .ci/run)
	$(TAXIPHONE) asterisk install
	@$(BIN)/python -m taxiphone.bench.short $(BENCH)

bench-billing: install ## measure prices and postings per second on both databases, in a minute
	@$(BIN)/python -m taxiphone.bench.billing $(BENCH)

bench-start: install ## measure how long commands take
	@$(BIN)/python -m taxiphone.bench.start $(BENCH)

lock: | $(BIN)/python ## resolve the bounds of setup.cfg into requirements.lock
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --extra dev setup.cfg requirements-build.in -o requirements.lock

clean: ## remove the environment, but not the downloaded Asterisk (taxiphone asterisk uninstall)
	rm -rf $(VENV) .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
