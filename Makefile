# The one command surface. `make demo` and `make test` do all of their own set-up; they need Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPARK := .venv-spark
DEPLOY := .venv-deploy
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKERS ?= 3
EVENTS ?= 1000000
KILLS ?= 100

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev system demo test lint typecheck check kill kill-stream kill-build test-pairs bench bench-long bench-commit bench-stream bench-build bench-compact bench-query bench-quality bench-dashboard bench-formats bench-privacy image walk-e deploy-check docs lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.runtime: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed; name it: make PYTHON=python3.12 ..."; exit 1; }
	@echo "installing into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@echo "installing what the tests need ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.runtime  ## install Headgate into .venv

setup-dev: $(VENV)/.dev  ## install Headgate and what its tests need into .venv

# What the tests need of the system: Prometheus with promtool, and a browser. No wheel carries them.
SYSTEM := prometheus promtool chromium

system:  ## install Prometheus and Chromium, which the tests run, where they are missing
	@missing=""; for name in $(SYSTEM); do command -v $$name >/dev/null || missing="$$missing $$name"; done; \
	[ -z "$$missing" ] && exit 0; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "installing prometheus and chromium ..."; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends prometheus chromium >/dev/null; \
	else \
	  echo "the tests need$$missing: install Debian's packages prometheus and chromium (apt-get install prometheus chromium), or run make as root"; \
	  [ -z "$$CI" ]; \
	fi

demo: setup  ## the main job on 200,000 generated events, into ./headgate-demo
	@$(BIN)/headgate demo --dir headgate-demo

test: setup-dev system  ## the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

lint: setup-dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: setup-dev  ## mypy --strict on src
	$(BIN)/mypy

check: lint typecheck test  ## what CI runs

kill: setup-dev  ## KILLS (100) random SIGKILLs in a run of 300,000 events, for each format
	$(BIN)/python benchmarks/kill.py --kills $(KILLS)

kill-stream: setup-dev  ## a stream of 4 shards, resharded 20 times, under consumers and functions that are killed
	$(BIN)/python benchmarks/stream_kill.py

kill-build: setup-dev  ## run, build and compact at once for two minutes, each killed again and again
	$(BIN)/python benchmarks/build_kill.py $(KILL_BUILD)

test-pairs: setup-dev  ## every claim store with every format, local and on S3, killed again and again
	$(BIN)/python benchmarks/pairs.py --kills 20

bench: setup-dev  ## events/s and CPU time of each stage, EVENTS (1,000,000) events to delta and parquet
	$(BIN)/python benchmarks/main_job.py --events $(EVENTS)
	$(BIN)/python benchmarks/claims.py

bench-long: setup-dev  ## 20,000,000 events: rate and peak memory
	$(BIN)/python benchmarks/main_job.py --events 20000000 --formats delta

bench-commit: setup-dev  ## 50 functions writing 10-second batches into one Delta lake on S3: commits and publications
	$(BIN)/python benchmarks/commit.py

bench-stream: setup-dev  ## the Kinesis consumer on replayed answers, with each claim store
	$(BIN)/python benchmarks/stream.py

$(SPARK)/.installed: requirements-spark.lock
	@echo "installing the peer, PySpark, into $(SPARK) ..."
	@$(PYTHON) -m venv $(SPARK)
	@$(SPARK)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-spark.lock
	@touch $@

bench-build: setup-dev $(SPARK)/.installed  ## 5,000,000 events of 100 types into typed tables, beside PySpark (needs Java 17)
	$(BIN)/python benchmarks/build.py --events 5000000 --spark $(SPARK)/bin/python

bench-compact: setup-dev  ## 10,000 small commits joined: files and query times before and after
	$(BIN)/python benchmarks/compact.py

bench-query: setup-dev  ## 50,000,000 rows asked by type and date: time, and files that were read
	$(BIN)/python benchmarks/query.py

bench-quality: setup-dev  ## what the quality table costs, microseconds an event
	$(BIN)/python benchmarks/quality.py

bench-dashboard: setup-dev  ## the dashboard over 10,000 commits of 50,000,000 events: time to the first page
	$(BIN)/python benchmarks/dashboard.py

bench-formats: setup-dev  ## the same events in each format: bytes and query times, and what no transformation would save
	$(BIN)/python benchmarks/formats.py

bench-privacy: setup-dev  ## what hashing, masking and dropping fields costs
	$(BIN)/python benchmarks/privacy.py

$(DEPLOY)/.installed: requirements-deploy.lock
	@echo "installing the policy scanner and the AWS CLI into $(DEPLOY) ..."
	@$(PYTHON) -m venv $(DEPLOY)
	@$(DEPLOY)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements-deploy.lock
	@touch $@

# What the image is made of and run with is installed where that is possible; see infrastructure/image.
IMAGE ?= localhost/headgate

image: setup-dev  ## build the container image with podman, run consumer, functions and jobs in it, build it again
	$(BIN)/python infrastructure/image/build.py --tag $(IMAGE)
	HEADGATE_IMAGE=$(IMAGE) $(BIN)/python -m pytest -n 0 infrastructure/image/test_image.py

walk-e: setup-dev $(DEPLOY)/.installed  ## type the commands of docs/designs/e-walk.md against emulators, and see what the page shows
	$(BIN)/python infrastructure/walk/walk.py docs/designs/e-walk.md

deploy-check: setup-dev $(DEPLOY)/.installed  ## all that is proven of the infrastructure without an account: Terraform, an emulator, a policy scan
	$(BIN)/python infrastructure/check.py --checkov $(DEPLOY)/bin/checkov
	$(MAKE) image
	$(MAKE) walk-e

docs: setup-dev  ## write the pages that are made from the code
	$(BIN)/python docs/make_pages.py

lock:  ## resolve the lock files anew (needs uv)
	uv pip compile pyproject.toml --upgrade --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate --python-version 3.11 -o requirements.lock
	uv pip compile pyproject.toml --group dev --all-extras --upgrade --universal --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate --python-version 3.11 -o requirements-dev.lock
	uv pip compile pyproject.toml --all-extras --constraint requirements-dev.lock --universal --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate --python-version 3.11 -o requirements-image.lock
	uv pip compile infrastructure/image/requirements-build.in --constraint requirements-dev.lock --universal --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate --python-version 3.11 \
	  -o infrastructure/image/requirements-build.lock
	printf 'awscli>=1.46,<2\ncheckov>=3.3,<4\n' | uv pip compile - --upgrade --universal --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --no-annotate --python-version 3.11 -o requirements-deploy.lock

clean:  ## remove what was installed and made here
	rm -rf $(VENV) $(SPARK) $(DEPLOY) headgate-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
