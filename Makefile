# Everything a person types. CI and pre-commit run the same targets.
.PHONY: setup dev up test test-fast test-db test-long check format lock compose bench faults clean
.DEFAULT_GOAL := up

PYTHON ?= python3
VENV := .venv
BENCH_VENV := .venv-bench
UV := $(shell command -v uv 2>/dev/null || echo $(VENV)/bin/uv)
export UV_LINK_MODE ?= copy

# uv is fetched into the virtual environment when the machine has none. Installed without hashes:
# it is the tool that checks the hashes of everything else.
$(VENV)/bin/python:
	@if command -v uv >/dev/null 2>&1; then uv venv --quiet --python $(PYTHON) $(VENV); \
	else $(PYTHON) -m venv $(VENV) && $(VENV)/bin/pip install --quiet uv; fi

# The package itself is installed in place; `uv pip sync` removes what is not in the lock.
define install
	@echo "Installing $(1) into $(2)"
	@$(UV) pip sync --quiet --python $(2)/bin/python --require-hashes $(1)
	@$(UV) pip install --quiet --python $(2)/bin/python --no-deps --editable .
endef

$(VENV)/.runtime: pyproject.toml requirements.lock | $(VENV)/bin/python
	$(call install,requirements.lock,$(VENV))
	@touch $@

# The developer's lock holds all of the runtime lock, so both stamps are fresh after it.
$(VENV)/.dev: pyproject.toml requirements.lock requirements-dev.lock | $(VENV)/bin/python
	$(call install,requirements-dev.lock,$(VENV))
	@touch $(VENV)/.runtime $@

# Apart from the others, so that what is measured beside us is not installed with us.
$(BENCH_VENV)/.bench: pyproject.toml requirements-bench.lock | $(VENV)/bin/python
	@$(UV) venv --quiet --allow-existing --python $(VENV)/bin/python $(BENCH_VENV)
	$(call install,requirements-bench.lock,$(BENCH_VENV))
	@touch $@

setup: $(VENV)/.runtime

dev: $(VENV)/.dev

up: setup
	@exec $(VENV)/bin/duetime up $(ARGS)

PYTEST = $(VENV)/bin/pytest --numprocesses auto --maxprocesses 4 --dist loadgroup

test: dev
	$(PYTEST) -m "not long" $(ARGS)

# Before each commit: needs no PostgreSQL, no Prefect and no browser.
test-fast: dev
	$(PYTEST) -m unit --hypothesis-profile fast $(ARGS)

# Before each push.
test-db: dev
	$(PYTEST) -m "unit or db" $(ARGS)

# Campaigns, and what tries many inputs.
test-long: dev
	$(PYTEST) -m long $(ARGS)

check: dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: dev
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .

lock: | $(VENV)/bin/python
	$(UV) pip compile --quiet --universal --generate-hashes --no-header pyproject.toml -o requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --group dev pyproject.toml \
	  -c requirements.lock -o requirements-dev.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-header --group bench pyproject.toml \
	  -c requirements.lock -o requirements-bench.lock

compose:
	docker compose up --build

# Hours; ARGS="--quick" is half an hour, ARGS="--help" says what else there is.
bench: $(BENCH_VENV)/.bench
	@$(BENCH_VENV)/bin/python -m bench $(ARGS)

# An hour and a half; ARGS="--only read_only --trials 1" is two minutes, ARGS="--resume" goes on where it was stopped.
faults: dev
	$(VENV)/bin/python -m tests.faults $(ARGS)

clean:
	rm -rf $(VENV) $(BENCH_VENV) .mypy_cache .pytest_cache .ruff_cache test-artefacts
