# The commands of a day with AdapterHub; `make` alone lists them. None of them asks anything.

PYTHON ?= python3
BIN := .venv/bin
# --no-compile saves a third of the time: most modules of the dependencies are never imported.
INSTALL := $(BIN)/python -m pip install -qq --no-input --disable-pip-version-check --no-compile --constraint constraints.txt --editable

.PHONY: help setup serve test check format bench torture migration clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: .venv/.dev ## an environment in .venv with everything to run, test and change the hub

serve: .venv/.runtime ## run the hub; settings are variables: HUB_PORT=9000 make serve
	@exec $(BIN)/adapterhub serve

test: .venv/.dev ## all tests, with the real clients; ARGS="-k resolve -x" and the like go to pytest
	$(BIN)/python -m tests.clients.build
	$(BIN)/python -m pytest $(ARGS)

check: .venv/.dev ## format, lint, types, layers and templates
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/djlint templates --lint --quiet
	$(BIN)/djlint templates --check --quiet

format: .venv/.dev ## put code and templates into their one form
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format
	$(BIN)/djlint templates --reformat --quiet --warn

bench: .venv/.dev ## the benchmarks; ARGS go to `python -m benchmarks`
	$(BIN)/python -m benchmarks $(ARGS)

torture: .venv/.dev ## kill, cut and starve a running hub, and see that nothing is lost; takes minutes
	$(BIN)/python -m tests.torture $(ARGS)

migration: .venv/.dev ## a new migration from what changed in hub/models.py: make migration NAME="add likes"
	rm -f .venv/migration.sqlite3
	$(BIN)/alembic -x url=sqlite:///.venv/migration.sqlite3 upgrade head
	$(BIN)/alembic -x url=sqlite:///.venv/migration.sqlite3 revision --autogenerate -m "$(NAME)" \
		--rev-id $$(printf %04d $$(($$(ls migrations/versions/[0-9]*.py | wc -l) + 1)))
	$(BIN)/ruff format --quiet migrations

clean: ## remove what the commands above made, but no data of a hub
	rm -rf .venv .venvs dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.runtime: pyproject.toml constraints.txt
	@echo "Installing the hub into .venv ..."
	@$(PYTHON) -m venv .venv
	@$(INSTALL) .
	@touch $@

.venv/.dev: .venv/.runtime
	@echo "Installing the development tools into .venv ..."
	@$(INSTALL) '.[dev]'
	@touch $@
