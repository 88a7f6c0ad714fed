.DEFAULT_GOAL := help
.PHONY: help setup demo check test lint format generate counts bench tax overhead holds neighbours chaos money caps compat
.PHONY: lint-format lint-code lint-types lint-layers lint-twins
.NOTPARALLEL:

PYTHON_IN := .venv/bin/python
READY := .venv/.complete
STEP := @tools/step.sh
ARGS ?=

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1: \2/p' Makefile | awk -F': ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv from uv.lock; needs nothing but Python >= 3.11
	@:

$(READY): pyproject.toml uv.lock tools/setup.sh
	@tools/setup.sh

demo: $(READY) ## tag 1,000 support tickets on an embedded Postgres; ARGS="--help" says more
	@$(PYTHON_IN) examples/tag_tickets/tag_tickets.py $(ARGS)

check: lint ## everything that needs no server, in under a minute
	$(STEP) "unit tests" $(PYTHON_IN) -m pytest -q tests/unit $(ARGS)

test: lint ## everything, on real servers; installs them from Debian's packages when run as root
	$(STEP) "Postgres 15" tools/postgres15.sh
	$(STEP) "Redis, RabbitMQ" tools/brokers.sh
	$(STEP) "model clients" tools/clients.sh
	@$(PYTHON_IN) -m pytest -q --papayya-counts=check $(ARGS)

lint: lint-format lint-code lint-types lint-layers lint-twins ## formatting, lint, types, import layers, generated modules

lint-format: $(READY)
	$(STEP) "format" .venv/bin/ruff format --check .

lint-code: $(READY)
	$(STEP) "lint" .venv/bin/ruff check .

lint-types: $(READY)
	$(STEP) "types" .venv/bin/mypy

lint-layers: $(READY)
	$(STEP) "import layers" .venv/bin/lint-imports

lint-twins: $(READY)
	$(STEP) "generated modules" $(PYTHON_IN) tools/unasync.py --check

format: $(READY) ## format, and fix what lint can fix
	@.venv/bin/ruff check --quiet --fix . || true
	@.venv/bin/ruff format .

generate: $(READY) ## write the sync twins of the async modules
	@$(PYTHON_IN) tools/unasync.py

counts: $(READY) ## note how many tests there are, for make test to insist on
	$(STEP) "counting" $(PYTHON_IN) -m pytest -q --collect-only --papayya-counts=write
	@cat tests/expected_counts.toml

bench: $(READY) ## measure what a checkpoint costs
	@.venv/bin/uv sync --quiet --locked --all-extras --inexact --group bench --python .venv/bin/python
	@$(PYTHON_IN) -m tests.benchmarks.checkpoint $(ARGS)

tax: $(READY) ## measure what Papayya costs a Celery task; needs redis-server
	@$(PYTHON_IN) -m tests.benchmarks.celery_tax $(ARGS)

overhead: $(READY) ## measure what recording a call to a model costs
	@$(PYTHON_IN) -m tests.benchmarks.llm_overhead $(ARGS)

holds: $(READY) ## measure holds per second, and what caps let through, beside others; needs redis-server
	$(STEP) "LiteLLM" tools/litellm.sh
	@$(PYTHON_IN) -m tests.benchmarks.holds $(ARGS)

neighbours: $(READY) ## measure what a noisy neighbour costs the other tenants; needs redis-server
	@$(PYTHON_IN) -m tests.benchmarks.neighbours $(ARGS)

chaos: $(READY) ## kill Celery workers, brokers and Postgres for five minutes; ARGS="--broker rabbitmq"
	@$(PYTHON_IN) -m tests.chaos.celery_chaos $(ARGS)

money: $(READY) ## hold 2,000 items' calls against a provider's ledger, under fire; ARGS="--write"
	@$(PYTHON_IN) -m tests.chaos.calls_chaos $(ARGS)

caps: $(READY) ## spend on caps with 64 workers, and 10,000 items on a cap that is raised, under fire; ARGS="--write"
	@$(PYTHON_IN) -m tests.chaos.budget_chaos $(ARGS)

compat: $(READY) ## Celery's own integration suite with us and without; needs redis-server
	@$(PYTHON_IN) -m tools.compat $(ARGS)
