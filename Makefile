# Weir. `make help` lists the targets. Everything it writes stays in WEIR_HOME (default .weir).
PYTHON ?= python3
PLATFORM := .venv/bin/python
WORKERS ?= 2  # of `make test`, each with about 2 GB; how they share: tests/side_by_side.py
BENCHES := $(patsubst tests/performance/bench_%.py,bench-%,$(wildcard tests/performance/bench_*.py))

.DEFAULT_GOAL := help
.PHONY: help setup run up review down status test lint types contracts check bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make the environments (idempotent)
	@$(PYTHON) infra/local/setup.py

run: setup ## the main job: one whole turn of the loop on real messages, under 15 minutes
	@$(PLATFORM) -m infra.local run

up: setup ## start Airflow, MLflow, the gateway and the model servers, and print their addresses
	@$(PLATFORM) -m infra.local up

review: setup ## start Label Studio and sync with the label queue (WATCH=SECONDS: again and again)
	@$(PLATFORM) -m infra.local review $(if $(WATCH),--watch $(WATCH))

down: ## stop what `make up`, `make run` or `make review` started, and nothing else
	@$(PLATFORM) -m infra.local down

status: ## what runs, where, and where its log is
	@$(PLATFORM) -m infra.local status

test: setup ## all tests
	@$(PLATFORM) -m pytest -n $(WORKERS)

lint: setup
	@$(PLATFORM) -m ruff check .
	@$(PLATFORM) -m ruff format --check .

types: setup
	@$(PLATFORM) -m mypy

contracts: setup
	@.venv/bin/lint-imports

check: lint types contracts test ## exactly what CI runs: lint, types, import contracts, tests

bench: $(BENCHES) ## every benchmark of tests/performance

bench-%: setup
	@$(PLATFORM) -m tests.performance.bench_$(subst -,_,$*)

clean: down ## stop everything and remove caches; the Weir home and the environments stay
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +
