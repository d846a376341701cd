# Everything runs in a virtual environment in .venv; `make setup` makes it, the other targets call it when needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DONE := $(VENV)/.imperv-ready
DEMO ?= demo

.PHONY: setup demo test test-fast lint format bench lock vendor clean

setup: $(DONE)

# One file says that the environment is complete, so that a second run is quick and needs no network.
$(DONE): requirements.lock pyproject.toml deployments/setup.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" sh deployments/setup.sh
	touch $@

demo: $(DONE)
	$(BIN)/imperv demo $(DEMO)

# Files stay together in a worker and the longest begin first (tests/conftest.py). The many processes that tests start would
# compile every module again if they could not keep what they compiled.
TEST := env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(DONE)
	$(TEST)

# Minutes: what `make test` runs, less whole chains, servers and trainings.
test-fast: $(DONE)
	$(TEST) --ignore tests/integration -m "not slow"

# mypy knows nothing of editable installs: links show it the package as it is imported.
ROOMS := grids layers calibration tasks flows deployments
TYPING := $(VENV)/typing/imperv

lint: $(DONE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	mkdir -p $(TYPING)
	ln -sfn $(addprefix ../../../,$(ROOMS) $(wildcard imperv/*.py) imperv/py.typed) $(TYPING)/
	$(BIN)/mypy

format: $(DONE)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DONE)
	VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv pip install --quiet --requirement benchmarks/requirements.lock
	$(BIN)/python -m benchmarks

# Newest versions of everything, for all Python versions and platforms at once; review and commit the result.
lock: $(DONE)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		--group dev pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --upgrade --no-header --no-annotate \
		--group bench --constraint requirements.lock pyproject.toml --output-file benchmarks/requirements.lock

# The libraries and maps that the portal's page brings along; needs npm. Review and commit the result.
vendor: $(DONE)
	$(BIN)/python -m imperv.flows.portal.vendoring

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
