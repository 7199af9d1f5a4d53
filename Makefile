# Stakewire: `make run` and `make test` are all a newcomer needs; both set up what is missing.
# Finished steps leave a stamp, so the second time starts at once. `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?= python3
PORT ?= 8080
DATA ?= stakewire-data
PYTEST ?=

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
STATIC := src/stakewire/static

# `make run` and others go to a virtual environment of their own, whatever is active around them.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export npm_config_update_notifier := false

WEB_SOURCES = $(shell find web -path web/node_modules -prune -o -type f -print 2>/dev/null)

say = @printf '\033[1m==>\033[0m %s\n' "$(1)"

.PHONY: help
help:
	@echo "make run [PORT=8080] [DATA=stakewire-data]   run a sportsbook, a wallet and a site to play on"
	@echo "make test [PYTEST='-k words']                every check and test, the browser's among them"
	@echo "make lint                                    ruff, mypy and svelte-check alone"
	@echo "make bench                                   measure; real data from STAKEWIRE_REAL_DATA"
	@echo "make soak                                    long runs with kills; real data likewise"
	@echo "make wheel                                   dist/stakewire-*.whl, with the built pages"
	@echo "make lock                                    choose newer versions of the dependencies"
	@echo "make clean                                   forget everything that setup made, not your data"

.PHONY: run
run: setup
	@exec $(BIN)/stakewire up --port "$(PORT)" --data "$(DATA)"

.PHONY: test
test: setup chromium nats-server lint
	$(call say,Testing the pages)
	@cd web && npm test --silent
	$(call say,Testing (pytest))
	@$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST)

.PHONY: lint
lint: setup
	$(call say,Checking style and types)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@cd web && npm run --silent check

.PHONY: bench
bench: setup nchan
	@$(BIN)/python -m benchmarks

.PHONY: soak
soak: setup
	@$(BIN)/python -m benchmarks.soak

.PHONY: wheel
wheel: setup
	$(call say,Building the wheel)
	@$(UV) build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist
	@ls dist/*.whl

# -- setup, by stamps --------------------------------------------------------------------------

.PHONY: setup
setup: $(VENV)/.stakewire-installed $(STATIC)/.built

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "Stakewire needs Python 3.11 or newer as '$(PYTHON)': install python3, or name one with make PYTHON=python3.12." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv module is missing: install it with apt-get install python3-venv." >&2; exit 1; }
	$(call say,Making a virtual environment in $(VENV))
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.uv-installed: requirements/uv.txt | $(VENV)/bin/python
	$(call say,Installing uv)
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/uv.txt
	@touch $@

$(VENV)/.synced: requirements/dev.txt $(VENV)/.uv-installed
	$(call say,Installing the Python packages (about a minute the first time))
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	@touch $@

$(VENV)/.stakewire-installed: pyproject.toml $(VENV)/.synced
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

web/node_modules/.installed: web/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null \
	  || { echo "Stakewire's pages are built with Node 20 and npm: install nodejs (20.19 or newer) and npm." >&2; exit 1; }
	@node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' \
	  || { echo "Stakewire's pages need Node 20.19 or newer; this is $$(node --version)." >&2; exit 1; }
	$(call say,Installing the packages of the pages)
	@cd web && npm ci --silent --no-audit --no-fund
	@touch $@

$(STATIC)/.built: web/node_modules/.installed $(WEB_SOURCES)
	$(call say,Building the pages)
	@cd web && { said=$$(npm run --silent build 2>&1) || { echo "$$said" >&2; exit 1; }; }
	@touch $@

# What the tests need besides: programs from the distribution's own packages.
define install_program
	@PATH="$$PATH:/usr/sbin"; command -v $(1) >/dev/null && exit 0; \
	why="The tests need $(2): install it so that the command '$(1)' is found."; \
	command -v apt-get >/dev/null || { echo "$$why" >&2; exit 1; }; \
	as_root=(); if [ "$$(id -u)" != 0 ]; then \
	  command -v sudo >/dev/null || { echo "$$why (apt-get needs root, and there is no sudo)" >&2; exit 1; }; \
	  as_root=(sudo); fi; \
	printf '\033[1m==>\033[0m %s\n' "Installing $(2) for the tests"; \
	{ "$${as_root[@]}" apt-get update -qq && \
	  "$${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) >/dev/null; } \
	  || { echo "$$why" >&2; exit 1; }
endef

.PHONY: chromium
chromium:
	$(call install_program,chromium,Chromium)

.PHONY: nats-server
nats-server:
	$(call install_program,nats-server,NATS)

# A peer of the hub's measurements; without it they say that it is missing. The system's nginx is not started.
.PHONY: nchan
nchan:
	@test -e /usr/lib/nginx/modules/ngx_nchan_module.so || ! command -v apt-get >/dev/null && exit 0; \
	as_root=(); if [ "$$(id -u)" != 0 ]; then command -v sudo >/dev/null || exit 0; as_root=(sudo); fi; \
	printf '\033[1m==>\033[0m %s\n' "Installing nchan, a peer of the measurements"; \
	"$${as_root[@]}" apt-get update -qq && \
	  "$${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
	    apt-get install -y -qq --no-install-recommends nginx libnginx-mod-nchan >/dev/null || true

# -- locks: versions and hashes, no addresses, so that they serve whatever registry a user has --

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --upgrade

.PHONY: lock
lock: $(VENV)/.uv-installed
	$(call say,Locking)
	@echo uv | $(COMPILE) --no-annotate - -o requirements/uv.txt
	@$(COMPILE) pyproject.toml -o requirements/run.txt
	@$(COMPILE) pyproject.toml --extra dev --extra bench -o requirements/dev.txt
	@cd web && npm install --package-lock-only --omit-lockfile-registry-resolved --silent --no-audit --no-fund

.PHONY: clean
clean:
	@rm -rf $(VENV) $(STATIC) web/node_modules dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
