# Set-up and every check of the project. `make demo` needs Python 3.11 or newer; `make test` also Node 20.

PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,$(shell $(name) -c \
	'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
NODE_PEERS := $(patsubst %/package.json,%,$(wildcard tests/interop/*/package.json))

# Tests wait longer than they compute, for real time to pass and for real peers: three for each core.
WORKERS ?= $(shell echo $$((3 * $$(getconf _NPROCESSORS_ONLN))))
FUZZ_TIME ?= 60
HARNESSES ?= $(patsubst fuzz/harnesses/%.py,%,$(wildcard fuzz/harnesses/[a-z]*.py))

# The Python of the documentation, which `make check` writes here.
PROGRAMS := build/documentation

# The hundreds of processes that the tests start share what the first one has compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-browser test-lowest test-nat check docs bench bench-quick fuzz traces changelog reference node dev coverage clean

demo: $(VENV)/installed
	$(BIN)/peersockets demo

test: dev node
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# The tests in real browsers, which `make test` leaves out. Each worker starts both.
test-browser: dev node
	@command -v chromium > /dev/null && command -v firefox-esr > /dev/null || \
		{ echo "chromium and firefox-esr are needed: apt-get install --no-install-recommends chromium firefox-esr" >&2; exit 1; }
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/browser

# The lowest versions that pyproject.toml allows, as tests/lowest.txt has them.
test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/python -m pytest -n $(WORKERS) --dist worksteal tests/core $(addprefix tests/adapter/,test_node.py test_node_connecting.py test_topic.py test_topic_waiting.py test_drive.py runtime/test_addresses.py)

# Needs nftables and iproute2, and user namespaces; no rights.
test-nat: dev node
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/nat

check: dev docs tests/pyright/node_modules/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYTHONPATH=tests $(BIN)/python -m docs.programs $(PROGRAMS)
	$(BIN)/mypy $(PROGRAMS)
	node tests/pyright/node_modules/pyright/index.js

docs: dev
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html

coverage: dev node
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine -q
	$(BIN)/coverage report
	$(BIN)/coverage report --include='*/peersockets_core/*' --fail-under=100

# Writes the figures and the picture of docs/performance.md; a quick look writes nothing.
bench: dev node
	$(BIN)/python -m pip install --quiet '.[bench]'
	$(BIN)/python -m benchmarks --json docs/performance.json --page docs/performance.md --plot docs/performance
	$(BIN)/python -m benchmarks.udx --page docs/performance.md
	$(BIN)/python -m benchmarks.dht --page docs/performance.md
	if command -v chromium > /dev/null; then $(BIN)/python -m benchmarks.browser --page docs/performance.md; fi

bench-quick: dev node
	$(BIN)/python -m benchmarks --quick

fuzz: dev
	$(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	for harness in $(HARNESSES); do \
		PYTHONPATH=tests $(BIN)/python -m fuzz $$harness -max_total_time=$(FUZZ_TIME) -print_final_stats=1 || exit 1; \
	done

traces: dev node
	PYTHONPATH=tests $(BIN)/python -m traces.record

# The changes since the last release, as the next one will list them.
changelog: dev
	@$(BIN)/towncrier build --draft 2>/dev/null

# The reference as text, from the docstrings.
reference: dev
	$(BIN)/python docs/text_reference.py

dev: $(VENV)/installed-dev
node: $(addsuffix /node_modules/.installed,$(NODE_PEERS))

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[cli]'
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs]'
	@touch $@

$(LOWEST)/installed: pyproject.toml tests/lowest.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed" >&2; exit 1; }
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --constraint tests/lowest.txt --editable '.[cli]' pytest pytest-trio pytest-xdist hypothesis
	@touch $@

%/node_modules/.installed: %/package.json %/package-lock.json
	cd $* && npm ci --silent
	@touch $@

clean:
	rm -rf $(VENV) $(LOWEST) tests/interop/*/node_modules tests/pyright/node_modules .coverage* .mypy_cache .pytest_cache .ruff_cache build dist docs/_build
