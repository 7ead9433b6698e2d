# Every target does its own set-up in a virtual environment of its own, also on a fresh machine.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Processes that share the tests, file by file.
WORKERS ?= 2

# Python files are used where they are; these have to be built or installed.
BUILT_FROM := pyproject.toml CMakeLists.txt $(shell find cpp kernels -type f)

# What other environments leave behind must not decide what is used here.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME

.PHONY: help demo test test-long lint bench docs install clean
help:
	@echo 'make demo       simulate scans, reconstruct, register, write the reports'
	@echo 'make test       tests, WORKERS=2 files at once (a quarter of an hour)'
	@echo 'make test-long  campaigns that take longer'
	@echo 'make lint       style, types, import rules'
	@echo 'make bench      speed, against limits measured in the same run'
	@echo 'make docs       docs/steps.md from the program itself, docs/performance.md from what was measured'
	@echo 'make install PREFIX=/opt/hpcdaas/VERSION [MODULEFILES=FOLDER]  lay out program and module'
	@echo 'make clean      remove all that make has made'

demo: $(STAMP)
	$(BIN)/hpcdaas demo -o demo

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile

test-long: $(STAMP)
	$(BIN)/python -m pytest -m long --timeout=3600

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	mkdir -p build/benchmarks
	set -e; for file in benchmarks/bench_*.py; do $(BIN)/python $$file --json build/benchmarks; done

docs: $(STAMP)
	$(BIN)/python docs/make_steps.py >build/steps.md
	mv build/steps.md docs/steps.md
	$(BIN)/python docs/make_performance.py

# PREFIX and the others reach it as environment variables
install: export PREFIX := $(PREFIX)
install:
	@modulefiles/install

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): $(BUILT_FROM)
	@.ci/setup $(VENV)

# A folder that was copied or moved is installed anew.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif
