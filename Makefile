# Set-up and every check of the project. `make demo` needs Python 3.11 or newer; `make test` also Node 20.

PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,$(shell $(name) -c \
	'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
NODE_PEERS := $(patsubst %/package.json,%,$(wildcard tests/interop/*/package.json))

FUZZ_TIME ?= 60

.PHONY: demo test check docs bench fuzz node dev coverage clean

demo: $(VENV)/installed
	$(BIN)/peersockets demo

test: dev node
	$(BIN)/python -m pytest

check: dev docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: dev
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

coverage: dev node
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

bench: dev node
	$(BIN)/python -m benchmarks

fuzz: dev
	$(BIN)/python -m pip install --quiet '.[fuzz]'
	for harness in fuzz/hypercore*.py; do $(BIN)/python $$harness -max_total_time=$(FUZZ_TIME) || exit 1; done

dev: $(VENV)/installed-dev
node: $(addsuffix /node_modules/.installed,$(NODE_PEERS))

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs]'
	@touch $@

%/node_modules/.installed: %/package.json %/package-lock.json
	cd $* && npm ci --silent
	@touch $@

clean:
	rm -rf $(VENV) tests/interop/*/node_modules .coverage* .mypy_cache .pytest_cache .ruff_cache build dist docs/_build
