# Two commands on a fresh machine: `make demo` and `make test`. Everything they install goes into .venv.
PYTHON ?= python3
PEOPLE ?= 20000
SEED ?= 7
SERVE ?= 1
DEMO ?= demo

BIN := .venv/bin
PRESAGE := $(BIN)/presage
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint requirements.lock

export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test quick check lint types lock clean

SOURCE := $(DEMO)/source
RECORD := $(DEMO)/record
SCORES := $(foreach trait,CHD T2D BC,--scores $(SOURCE)/scores/SIM-$(trait).txt.gz)
STUDIES ?= chd-10y
AS_OF := 2024-12-31

# A health system from its source systems to the worklist. Its store and MLflow's runs are its own, and made anew.
demo: export PRESAGE_HOME = $(abspath $(DEMO))/home
demo: .venv/.installed
	rm -rf $(DEMO)
	$(PRESAGE) simulate $(SOURCE) --people $(PEOPLE) --seed $(SEED)
	$(PRESAGE) ingest omop $(SOURCE)/omop --record $(RECORD)
	$(PRESAGE) ancestry fit $(SOURCE)/reference/panel.pgen --labels SuperPop $(SCORES) --out $(DEMO)/ancestry
	$(PRESAGE) ingest genotypes $(SOURCE)/genotypes/genotypes.pgen $(SCORES) --ancestry $(DEMO)/ancestry \
		--reference-frequencies $(SOURCE)/scores/reference_frequencies.afreq --record $(RECORD)
	$(PRESAGE) ingest findings $(SOURCE)/reports --record $(RECORD)
	for study in $(STUDIES); do \
		$(PRESAGE) train $$study --record $(RECORD) --truth $(SOURCE)/truth.parquet \
			--json $(DEMO)/$$study.json && \
		{ $(PRESAGE) promote $$study latest --card $$study --signed-by demo || \
		  $(PRESAGE) promote $$study latest --signed-by demo \
			--override --reason "demonstration on $(PEOPLE) simulated people"; } && \
		$(PRESAGE) report $$study --out $(DEMO)/$$study-report.html && \
		$(PRESAGE) score $$study --record $(RECORD) --as-of $(AS_OF) --out $(DEMO)/$$study.scores.parquet && \
		$(PRESAGE) flag $(DEMO)/$$study.scores.parquet --policy $$study --record $(RECORD) \
		|| exit $$?; \
	done
	$(PRESAGE) user demo
	@echo "MLflow's runs:  $(BIN)/mlflow ui --backend-store-uri sqlite:///$(DEMO)/home/mlflow.db --port 5000"
	@echo "The worklist:   http://127.0.0.1:3000  (again: PRESAGE_HOME=$(DEMO)/home $(PRESAGE) serve --record $(RECORD))"
ifeq ($(SERVE),1)
	$(PRESAGE) serve --record $(RECORD)
endif

test: .venv/.installed-for-tests
	$(BIN)/pytest -q

# For while one works: pure functions, readers, laws and the store; no whole training, ingest or service.
QUICK := tests/test_docs.py tests/test_error_lines.py tests/test_error_texts.py tests/test_rooms.py \
	tests/features/test_*.py tests/features/catalogue tests/features/engine tests/features/equations \
	tests/features/findings tests/features/sources/test_person_ids.py \
	$(addprefix tests/features/polygenic/test_,dosage_weights.py laws.py lookup.py packed.py rescue.py text.py vcf_text.py) \
	tests/training/evaluation \
	$(addprefix tests/training/learners/test_,censoring.py design.py partial_likelihood.py stack.py) \
	$(addprefix tests/training/test_,card.py choose.py cohort_index.py cohort_record.py curves.py flat_horizon.py \
		group_labels.py registry.py run_figures.py splits.py study.py summary.py suppression.py) \
	$(addprefix tests/serving/test_,console.py faults.py options.py policy.py serve.py store.py)

quick: .venv/.installed-for-tests
	$(BIN)/pytest -q -m "not slow and not realdata" $(QUICK)

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

.venv/.installed: .venv/bin/uv pyproject.toml requirements.lock $(wildcard features/polygenic/columns/*.c features/polygenic/columns/*.inc)
	@echo "Installing what Presage needs (about a minute) ..."
	$(INSTALL) --editable .
	@touch $@

.venv/.installed-for-tests: .venv/.installed
	@echo "Installing what the tests need ..."
	$(INSTALL) --editable ".[test,notebook,postgres,spark]"
	@touch $@
