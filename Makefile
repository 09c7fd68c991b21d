# `make demo` and `make test` do all their own set-up. They need Python 3.11 or newer and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .demo
DEMO_PORT ?= 8765
# Saved with its output: a copy, as the one in the repository has none.
NOTEBOOK := notebooks/my_quickstart.ipynb
# The port of the Dagster UI; empty for 3000, or another one where that is taken.
UI_PORT ?=
# The port of the map; empty for 8000, or another one where that is taken.
MAP_PORT ?=
# The environment on AWS: dev, qa, staging, prod, or account for what all of them share.
ENV ?=
CHECKOV := .bench/envs/checkov
# Where pip-audit and CycloneDX are, once `make audit` or `make sbom` has put them there.
AUDIT := .bench/envs/audit/bin
# Passwords of `make up`: made once, for this folder only, and in no commit.
SECRETS := deploy/docker/.env
# Debian's packages for a real S3, each named like the program in it.
CEPH := ceph-mon ceph-osd radosgw

# One process more than there are processors, as some wait, and four at most: each starts servers of its own.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

# Dagster prefers `dg dev`, which needs another package and does the same: hide its notice.
QUIET := PYTHONWARNINGS='ignore:Function `dev_command`'

# `flood-assets` sets this for itself: Arrow's own allocator keeps a heap for each thread.
LEAN := ARROW_DEFAULT_MEMORY_POOL=system

# Images for containers set it, and each process of a test would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo notebook serve test test-fast test-s3 test-readers test-long test-deploy test-image plan deploy destroy checkov ceph soak bench bench-large bench-shards lint ui ui-demo audit sbom packages up down lock clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.done ## Make .venv with the packages that requirements.lock pins

$(VENV)/.done: requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, not " + sys.version)'
	@echo "Setting up $(VENV) from requirements.lock: about a minute, more without a package cache"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Fill 24 hours of a simulated country, offline, and show them
	@DEMO=$(DEMO) PORT=$(DEMO_PORT) BIN=$(BIN) sh demo.sh

notebook: setup ## Open the quickstart notebook in JupyterLab, on FLOOD_LAKE_URL or else on the demo's lake
	@[ -e $(NOTEBOOK) ] || cp notebooks/quickstart.ipynb $(NOTEBOOK)
	@[ -n "$$FLOOD_LAKE_URL" ] || find $(DEMO)/lake/_watermarks.parquet -mmin -60 2> /dev/null | grep -q . || $(MAKE) --no-print-directory demo
	@FLOOD_LAKE_URL="$${FLOOD_LAKE_URL:-$(abspath $(DEMO))/lake}" \
		$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(JUPYTER) $(NOTEBOOK)

test: setup ## Run all tests
	$(PYTEST)

test-fast: setup ## Run the tests that are not marked slow
	$(PYTEST) -m "not slow"

test-s3: setup ## Run the storage tests on a real S3, Ceph's gateway; installs Debian's packages if they are missing
	@for program in $(CEPH); do command -v $$program > /dev/null || exec $(MAKE) --no-print-directory ceph; done
	$(BIN)/python -m pytest -m s3

ceph:
	@command -v apt-get > /dev/null || { echo "No apt-get here: install $(CEPH) with this system's package manager" >&2; exit 1; }
	@echo "Installing $(CEPH): about 60 packages, 200 MB"
	@as=; [ "$$(id -u)" = 0 ] || as=sudo; \
		[ -z "$$as" ] || command -v sudo > /dev/null || { echo "Needs root: apt-get install $(CEPH)" >&2; exit 1; }; \
		$$as apt-get update -q && $$as apt-get install -y -q --no-install-recommends $(CEPH)

test-readers: setup ## Read every table with DuckDB, Polars, pandas, DataFusion, Spark and ClickHouse, in an environment of their own
	@$(BIN)/python -m benchmarks.envs readers
	$(BIN)/python -m pytest --numprocesses 0 flood_assets_tests/lake/test_other_readers.py flood_assets_tests/deploy/test_hive_types.py

test-image: setup ## Build the image for containers and run it (needs buildah, podman, runc, debootstrap and root)
	$(BIN)/python -m pytest --numprocesses 0 -m image

soak: setup ## Simulate seven days and compare the lake with the truth (about half an hour; SOAK="--days 30 --faults")
	@$(BIN)/python -m flood_assets_tests.support.soak $(SOAK)

test-long: setup ## Run the long proofs: a hundred kills and races, hundreds of stories, days of ticks
	FLOOD_REPEAT=100 $(BIN)/python -m pytest -q --timeout 7200 -m races
	FLOOD_MODEL_EXAMPLES=500 FLOOD_MODEL_JOB_EXAMPLES=40 FLOOD_FAULT_STORIES=60 FLOOD_KILLS=100 FLOOD_ROUNDS=4 \
		$(BIN)/python -m pytest --timeout 7200 -m "long or not long" \
		flood_assets_tests/proofs/test_model.py flood_assets_tests/proofs/test_model_jobs.py \
		flood_assets_tests/serve/test_stream_model.py flood_assets_tests/proofs/test_source_faults.py \
		flood_assets_tests/proofs/test_source_outages.py flood_assets_tests/proofs/test_crashes.py \
		flood_assets_tests/proofs/test_side_by_side.py flood_assets_tests/proofs/test_refresh_day.py flood_assets_tests/proofs/test_soak.py \
		flood_assets_tests/proofs/test_publishing.py flood_assets_tests/proofs/test_following.py \
		flood_assets_tests/proofs/test_alert_outage.py flood_assets_tests/simulator/test_server.py \
		flood_assets_tests/deploy/test_postgres_as_store.py
	FLOOD_KILLS=50 $(BIN)/python -m pytest --timeout 7200 -m long flood_assets_tests/proofs/test_shards_killed.py

test-deploy: setup ## Apply the settings of prod to a simulated AWS, use what was made, and destroy it (some ten minutes; needs Terraform)
	$(BIN)/python -m pytest --numprocesses 0 --timeout 3600 -m deploy

plan: setup ## Show what `make deploy` would change on AWS (ENV=dev, IMAGE=...)
	@$(BIN)/python -m deploy.terraform.deploy plan $(ENV)

deploy: setup ## Make or change an environment on AWS (ENV=dev, IMAGE=...)
	@$(BIN)/python -m deploy.terraform.deploy deploy $(ENV)

destroy: setup ## Destroy an environment on AWS (ENV=dev); asks for its name
	@$(BIN)/python -m deploy.terraform.deploy destroy $(ENV)

checkov: ## Look for insecure settings in deploy/terraform with checkov, in an environment of its own
	@[ -x $(CHECKOV)/bin/checkov ] || { $(PYTHON) -m venv $(CHECKOV) && $(CHECKOV)/bin/python -m pip install --quiet checkov==3.3.30; }
	@# It looks at the resources of all sizes, whatever the variables say.
	@$(CHECKOV)/bin/checkov --directory deploy/terraform --framework terraform --skip-download --compact --quiet

bench: setup ## Compare with common tools and write benchmarks/RESULTS.md (some five minutes, seven the first time)
	@$(BIN)/python -m benchmarks $(BENCH)

bench-large: setup ## Fill networks of 10 and 100 times the size (some six minutes, 4 GiB of memory)
	@$(BIN)/python -m benchmarks --large $(BENCH)

bench-shards: setup ## Fill a network in shards and write benchmarks/SHARDS.md (half an hour, 2 GiB of memory)
	@$(BIN)/python -m benchmarks --only shards --rounds 3 $(BENCH)

lint: setup ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

ui: setup ## Open Dagster on localhost:3000 (UI_PORT=...) against the live API
	$(QUIET) $(LEAN) DAGSTER_HOME=$(CURDIR)/dagster_home $(BIN)/dagster dev --host 127.0.0.1 $(if $(UI_PORT),--port $(UI_PORT))

serve: setup ## Serve the lake over HTTP on localhost:8000 (MAP_PORT=...): API, map and pages
	@$(BIN)/flood-assets serve $(if $(MAP_PORT),--port $(MAP_PORT))

ui-demo: setup ## Open Dagster on localhost:3000 (UI_PORT=...) and the map on 8000 (MAP_PORT=...) against the simulator
	@$(QUIET) $(LEAN) DEMO=$(DEMO) PORT=$(DEMO_PORT) UI_PORT=$(UI_PORT) MAP_PORT=$(MAP_PORT) BIN=$(BIN) sh demo.sh ui

audit: setup ## Look for known vulnerabilities of what the locks pin (ADVISORIES=all.zip asks no service)
	@$(BIN)/python -m benchmarks.envs audit
	@$(if $(ADVISORIES),$(BIN)/python -m deploy.ci.advisories $(ADVISORIES) --) $(AUDIT)/pip-audit --strict --progress-spinner off --disable-pip \
		--require-hashes --requirement requirements.lock --requirement deploy/docker/requirements.lock

sbom: setup ## Write the image's bill of materials, dist/sbom.cdx.json, in CycloneDX
	@$(BIN)/python -m benchmarks.envs audit
	@mkdir -p dist
	@$(AUDIT)/cyclonedx-py requirements --output-reproducible --output-file dist/sbom.cdx.json deploy/docker/requirements.lock

packages: setup ## Write the source archive and the wheel of a release to dist
	@$(BIN)/python -c 'from setuptools import build_meta as b; b.build_sdist("dist"); b.build_wheel("dist")' > /dev/null

up: $(SECRETS) ## Run Dagster, Postgres, the server and a local S3 in containers (needs docker compose)
	@docker compose --file deploy/docker/compose.yaml up --detach --build --wait
	@echo "Map: http://127.0.0.1:$(or $(MAP_PORT),8000)   Dagster: http://127.0.0.1:$(or $(UI_PORT),3000)   (make down ends all and keeps the data)"

$(SECRETS):
	@umask 077 && $(PYTHON) -c 'import secrets; [print(f"{name}={secrets.token_hex(20)}") for name in ("DAGSTER_PG_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]' > $@

down: ## End what `make up` started; the data is kept
	@docker compose --file deploy/docker/compose.yaml down

lock: ## Pin the dependencies again (needs uv)
	uv pip compile --universal --python-version 3.11 --upgrade --generate-hashes --no-strip-extras --no-header \
		--extra dev --output-file requirements.lock setup.cfg
	@# The image has the same versions, and of the packages those that it runs.
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header --no-annotate \
		--extra deploy --constraint requirements.lock --output-file deploy/docker/requirements.lock setup.cfg deploy/docker/requirements.in
	@# The tools that benchmarks compare with conflict with ours: one lock per environment.
	for wanted in benchmarks/requirements/*.in; do uv pip compile --universal --python-version 3.11 --upgrade --generate-hashes \
		--no-strip-extras --no-header --no-annotate --output-file $${wanted%.in}.lock $$wanted || exit 1; done

clean: ## Remove what the other targets made, except the lake and your notebook
	@[ ! -d $(DEMO) ] || DEMO=$(DEMO) BIN=$(BIN) PYTHON=$(PYTHON) sh demo.sh clean
	rm -rf $(VENV) .bench dagster_home/history dagster_home/schedules dagster_home/storage dagster_home/logs .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
