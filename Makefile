# Two commands on a fresh machine: `make run` and `make test`. `make test-all` adds what
# takes long: every test on PostgreSQL too, every case of a table, more random examples.
PYTHON ?= python3
VENV ?= .venv
# Processes that run tests; each takes a Chromium, and a PostgreSQL where there is one.
# One more than two cores: many tests wait for a page or a server.
WORKERS ?= 3
BIN := $(VENV)/bin
# Where it is set, each of the many processes of the tests compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE
SOURCES := app.py scripts pages imagebase tests benchmarks

# Exact versions with hashes. Other systems than Linux take what requirements.txt allows.
INSTALL_RUN := -r requirements.txt
ifeq ($(shell uname -s),Linux)
INSTALL_RUN := --require-hashes -r requirements.lock
endif

.PHONY: run test pytest test-all check format benchmark lock clean

run: $(VENV)/.run
	$(BIN)/python -m imagebase serve --samples

test: $(VENV)/.test $(VENV)/.datumaro
	$(MAKE) --no-print-directory --jobs 2 check pytest

pytest: $(VENV)/.test $(VENV)/.datumaro
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --durations=25 -m "not long"

test-all: $(VENV)/.test $(VENV)/.datumaro
	$(MAKE) --no-print-directory check
	$(BIN)/pytest -n $(WORKERS) --dist worksteal --durations=25 --hypothesis-profile=all

check: $(VENV)/.test
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

benchmark: $(VENV)/.test
	$(BIN)/python -m benchmarks

lock: | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-header --output-file $(VENV)/lock.txt requirements.txt
	(sed -n '/^#/!q;p' requirements.lock && cat $(VENV)/lock.txt) > $(VENV)/lock.new
	mv $(VENV)/lock.new requirements.lock

clean:
	rm -rf $(VENV) build test-results .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.run: requirements.txt requirements.lock scripts/system_packages.sh | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet $(INSTALL_RUN)
	scripts/system_packages.sh run "$(BIN)/python"
	touch $@

$(VENV)/.test: requirements.txt requirements-dev.txt requirements-train.txt scripts/system_packages.sh | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	scripts/system_packages.sh test "$(BIN)/python"
	touch $@

$(VENV)/.datumaro: requirements-datumaro.txt | $(VENV)/bin/python
	$(PYTHON) -m venv $(VENV)/datumaro
	$(VENV)/datumaro/bin/python -m pip install --quiet -r requirements-datumaro.txt
	touch $@
