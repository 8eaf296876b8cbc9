# Two commands on a fresh machine: `make demo` and `make test`. Everything they install goes into .venv.
PYTHON ?= python3
PEOPLE ?= 20000
SEED ?= 7
SERVE ?= 1
DEMO ?= demo

BIN := .venv/bin
PRESAGE := $(BIN)/presage
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint requirements.lock

export PRESAGE_HOME ?= $(CURDIR)/.presage
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test check lint types lock clean

demo: .venv/.installed
	PRESAGE=$(CURDIR)/$(PRESAGE) PEOPLE=$(PEOPLE) SEED=$(SEED) SERVE=$(SERVE) DEMO=$(DEMO) sh demo.sh

test: .venv/.installed-for-tests
	$(BIN)/pytest -q

check: .venv/.installed-for-tests lint types
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q

lint: .venv/.installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed-for-tests
	$(BIN)/mypy

# Made for Python 3.11 to 3.13 on every platform; names no package host.
lock: .venv/bin/uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --generate-hashes --no-header \
		pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv .presage $(DEMO)

.venv/bin/uv:
	@echo "Setting up .venv ..."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

.venv/.installed: .venv/bin/uv pyproject.toml requirements.lock
	@echo "Installing what Presage needs (about a minute) ..."
	$(INSTALL) --editable .
	@touch $@

.venv/.installed-for-tests: .venv/.installed
	@echo "Installing what the tests need ..."
	$(INSTALL) --editable ".[test,notebook,postgres,spark]"
	@touch $@
