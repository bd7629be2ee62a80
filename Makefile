# What to type. tox.ini has the same commands, with an environment each.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Tests that run at once. Most wait, so more than there are processors; 0 for one after
# another in one process, as `pytest` itself does.
TESTS ?= 4
PYTEST := pytest -n $(TESTS) --dist worksteal

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# The PyTorch of the tests. Newer ones come with libraries for GPUs, of 4 GB, unless pip is
# told where to find a build for the processor.
TORCH ?= torch<2.14

# What decides which packages are installed. The code itself is installed in place.
WE_ARE := setup.cfg setup.py pyproject.toml
DIGITS := $(wildcard examples/digits/setup.cfg examples/digits/setup.py \
    examples/digits/pyproject.toml)

# pip, twice at once in one environment, breaks it
.NOTPARALLEL:

.PHONY: help run test coverage lint format doc links sample screenshot vendor vendor-check clean

help:
	@echo "make run         serve examples/digits on http://127.0.0.1:5000/"
	@echo "make test        all tests; make test ARGS=\"-k upload\" for some"
	@echo "make coverage    the tests, and the lines that they leave out"
	@echo "make lint        formatting, rules, types, who imports whom"
	@echo "make format      mend what ruff can mend"
	@echo "make doc         the documentation, in doc/_build/html"
	@echo "make links       ask for each page that the documentation links to"
	@echo "make sample      write etc/deepaas.conf.sample anew"
	@echo "make screenshot  take the pictures in doc/images anew"
	@echo "make vendor      fetch what deepaas/web/vendor holds; needs npm;"
	@echo "                 make vendor ARGS=swagger-ui-dist=5.36.0 for another version"
	@echo "make vendor-check  say which of these have a newer release; needs npm"
	@echo "make clean       remove what these have made"

run: $(VENV)/.run
	@exec $(BIN)/deepaas-run --listen-ip 127.0.0.1 --listen-port 5000 $(ARGS)

test: $(VENV)/.run $(VENV)/.test $(VENV)/.examples
	$(BIN)/python -m $(PYTEST) $(ARGS)

# Every process is slower when it is measured: this is not part of .ci/run.
coverage: $(VENV)/.run $(VENV)/.test $(VENV)/.examples
	$(BIN)/coverage erase
	$(BIN)/coverage run -m $(PYTEST) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(VENV)/.test $(VENV)/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

doc: $(VENV)/.doc
	$(BIN)/sphinx-build -W --keep-going -q -b html doc doc/_build/html
	@echo "doc/_build/html/index.html"

links: $(VENV)/.doc
	$(BIN)/sphinx-build -q -b linkcheck doc doc/_build/links

sample: $(VENV)/.run
	$(BIN)/oslo-config-generator --config-file etc/deepaas-config-generator.conf

screenshot: $(VENV)/.run $(VENV)/.test
	PYTHONPATH=. $(BIN)/python doc/screenshot.py

vendor: $(VENV)/.test
	$(BIN)/python tools/vendor.py $(ARGS)

vendor-check: $(VENV)/.test
	@$(BIN)/python tools/vendor.py --check

clean:
	rm -rf $(VENV) .coverage .coverage.* doc/_build build *.egg-info .mypy_cache .pytest_cache .ruff_cache

# --clear: a half-made environment is made again
$(VENV)/.made:
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.made $(WE_ARE) $(DIGITS)
	$(PIP) -e . -e ./examples/digits
	@touch $@

$(VENV)/.examples: $(VENV)/.made examples/requirements.txt
	$(PIP) "$(TORCH)" -r examples/requirements.txt
	@touch $@

$(VENV)/.%: $(VENV)/.made $(WE_ARE)
	$(PIP) -e ".[$(EXTRAS)]"
	@touch $@

$(VENV)/.test: EXTRAS := compat,ray,test
$(VENV)/.lint: EXTRAS := lint
$(VENV)/.doc: EXTRAS := doc
