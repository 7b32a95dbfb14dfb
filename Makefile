# The course's commands; `make` alone lists them. Each says what it does.
#   make lab PYTHON=python3.12        with another Python, 3.11 to 3.13
#   make test ARGS="-k house"         more for pytest, and then in one process
#   make test ARGS="-k exercises" WORKERS=2
#   make chapters NB=chapters/01_autoencoder.ipynb
#   make results NAMES=autoencoder.fashion_mnist

PY := .venv/bin/python
READY := .venv/.ready
NB ?= $(wildcard chapters/*.ipynb solutions/*.ipynb)
BUDGET ?= laptop
# Another Python with Keras and PyTorch: make bench BENCH_PY=/path/to/python
BENCH_PY := .venv-bench/bin/python
BENCH_READY = $(if $(filter .venv-bench/%,$(BENCH_PY)),.venv-bench/.ready)
EXTRAS := --extra lab --extra test --extra grade
# The first Python on this machine that will do, and that can make a .venv.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
  $$p -c "$(FITS)" >/dev/null 2>&1 && { echo $$p; break; }; done)
FITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

# A .venv that is half made, was moved, or has lost its Python is made again.
ifneq ($(shell $(PY) -c "print(open('$(READY)').read().strip())" 2>/dev/null),$(CURDIR))
  $(shell rm -f $(READY))
endif

.PHONY: help lab env test quick lint chapters exercises quotes results bench faults lock clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /make \1: /p' Makefile

lab: env ## set up, then open JupyterLab at chapter 1
	@echo "Opening JupyterLab at chapter 1; Ctrl-C here ends it."
	@$(PY) -m jupyterlab --ServerApp.root_dir=. --LabApp.default_url=$(FIRST) \
	  $(AS_ROOT) $(GENCOURSE_LAB_ARGS)
FIRST := /lab/tree/chapters/01_autoencoder.ipynb
AS_ROOT = $(if $(filter 0,$(shell id -u)),--allow-root) # containers: Jupyter asks for it

env: $(READY) ## set up alone: .venv with the locked packages and gencourse

test: env ## set up, then run every test, notebooks too: minutes on two cores
	@echo "Running the tests, every notebook in its smallest budget: some minutes."
	@$(PY) -m pytest -n $(WORKERS) $(if $(ARGS),,--junitxml=build/tests.xml) $(ARGS)
# Each takes a core and up to 2 GB, a notebook's kernel included.
WORKERS ?= $(if $(ARGS),0,2)

quick: env ## the tests without notebooks, for every day
	@$(PY) -m pytest -n 2 --ignore=tests/test_notebooks.py -k "not blank_fails" $(ARGS)

lint: env ## style, and that nothing generated is stale
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m check_jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(PY) -m tools.notebooks quotes --check
	$(PY) -m tools.notebooks exercises --check
	$(PY) -m tools.notebooks pictures --check

chapters: env ## run chapters and solutions in place: up to 10 minutes each
	$(PY) -m tools.notebooks run --budget $(BUDGET) $(NB)
	$(PY) -m tools.notebooks exercises
	$(PY) -m tools.notebooks pictures

exercises: env ## make exercises/ from solutions/
	$(PY) -m tools.notebooks exercises

quotes: env ## fill the figures quoted in prose from results/results.json
	$(PY) -m tools.notebooks quotes

results: env ## measure again what the prose quotes: long
	$(PY) -m experiments.measure $(NAMES)
	$(PY) -m tools.notebooks quotes

bench: env $(BENCH_READY) ## speed here and in Keras and PyTorch: an hour
	$(PY) -m benchmarks.loop
	$(PY) -m benchmarks.compare --bench-python $(BENCH_PY)
	$(PY) -m benchmarks.growth --bench-python $(BENCH_PY)
	$(PY) -m benchmarks.ablation
	$(PY) -m benchmarks.profiling

# Keras and PyTorch live apart, since learners have no need of them.
BENCH := import tomllib; p = tomllib.load(open('pyproject.toml', 'rb')); \
  print(*p['project']['optional-dependencies']['bench'])
.venv-bench/.ready: pyproject.toml
	@[ -x .venv-bench/bin/python ] || { $(PY) -m venv .venv-bench; \
	  echo "Making .venv-bench with Keras and PyTorch: gigabytes to fetch."; }
	.venv-bench/bin/python -m pip install -q --disable-pip-version-check \
	  $$($(PY) -c "$(BENCH)")
	@touch $@

faults: env ## kill training and damage checkpoints, often: nothing must come of it
	$(PY) -m tools.faults $(KILLS)

lock: env ## resolve requirements.lock anew; UPGRADE=--upgrade for newer packages
	rm -rf build/uv && $(PY) -m venv build/uv && build/uv/bin/python -m pip -q install uv
	env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL \
	  build/uv/bin/uv pip compile pyproject.toml $(EXTRAS) $(UPGRADE) -q -p 3.11 \
	  --universal --fork-strategy fewest --generate-hashes --no-annotate --no-header \
	  -o requirements.lock

clean: ## remove .venv, .venv-bench and caches, never data or results
	rm -rf .venv .venv-bench build dist .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# JupyterLab's own question about news would be the first thing that a learner sees.
SETTINGS := .venv/share/jupyter/lab/settings
NO_NEWS := {"@jupyterlab/apputils-extension:notification": \
  {"fetchNews": "false", "checkForUpdates": false}}

$(READY): requirements.lock pyproject.toml
	@if [ -f $@ ]; then echo "Bringing .venv up to date with requirements.lock."; \
	elif $(or $(PYTHON),false) -c "$(FITS)" 2>/dev/null; then \
	  echo "Making .venv with $(PYTHON): 1.5 GB to fetch and unpack, 2 to 10 minutes."; \
	  rm -rf .venv && $(PYTHON) -m venv .venv; \
	else \
	  echo "Python 3.11, 3.12 or 3.13 with venv is needed$(if $(PYTHON),; $(PYTHON) is not)."; \
	  echo "Debian, Ubuntu: apt install python3 python3-venv; elsewhere python.org."; \
	  echo "Have one already? Name it: make lab PYTHON=/path/to/python3.11"; exit 1; \
	fi
	@rm -f $@
	@[ -t 1 ] || quiet=-q; export PIP_DISABLE_PIP_VERSION_CHECK=1; set -e; \
	$(PY) -m pip install $$quiet --require-hashes -r requirements.lock; \
	$(PY) -m pip install -q --no-deps --no-build-isolation -e .; \
	mkdir -p $(SETTINGS) && echo '$(NO_NEWS)' > $(SETTINGS)/overrides.json
	@echo "$(CURDIR)" > $@ && echo "Ready: .venv"
