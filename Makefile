# `make` lists the targets.
.DEFAULT_GOAL := help
.PHONY: help run test check contract bench format lock clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := node_modules/.installed
export REDOCLY_TELEMETRY := off

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

run: $(INSTALLED) ## install, migrate, seed, and run everything on this machine; Ctrl-C stops it
	@exec $(BIN)/ocms demo

test: $(INSTALLED) $(TOOLS) ## run the whole suite, contract fuzzing included
	@$(BIN)/pytest

check: $(INSTALLED) $(TOOLS) ## format, lint, types, layers, spec lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict openapi/*.yaml
	$(BIN)/ocms spec check
	npx --no-install spectral lint --quiet openapi/ocms.yaml openapi/cas.yaml
	npx --no-install redocly lint
	@mkdir -p build
	@for name in ocms cas; do \
		$(BIN)/ocms spec export $$name -o build/$$name.yaml && openapi/lint/compatible.sh $$name build/$$name.yaml || exit 1; \
	done

contract: $(INSTALLED) ## hold live servers to both contracts over HTTP; reports in build/
	@mkdir -p build
	@rm -f build/contract.db*
	@export OCMS_DATABASE_URL=sqlite:///build/contract.db OCMS_PORT=18080 OCMS_CAS_PORT=18090; \
	$(BIN)/ocms demo > build/contract.log 2>&1 & demo=$$!; trap 'kill $$demo; wait $$demo' EXIT; \
	for second in $$(seq 60); do grep -q Ctrl-C build/contract.log && break; sleep 1; done; \
	$(BIN)/ocms spec verify ocms --url http://127.0.0.1:18080 --key CAS:demo-cas-key --key PLUS:demo-plus-key \
		--junit build/contract-ocms.xml && \
	$(BIN)/ocms spec verify cas --url http://127.0.0.1:18090 --key OCMS:demo-ocms-key --junit build/contract-cas.xml

bench: $(INSTALLED) ## measure side by side and print the ratios
	@$(BIN)/python -m benchmarks.bench

format: $(INSTALLED) ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(INSTALLED) ## resolve the newest versions into requirements.lock
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --group dev \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		pyproject.toml --output-file requirements.lock

clean: ## remove the virtual environment and the demo's data
	rm -rf $(VENV) node_modules build var

$(TOOLS): package-lock.json
	@command -v npm > /dev/null || { echo "ocms: Node.js 20 or newer with npm is needed to lint the contracts"; exit 1; }
	npm ci --silent
	@touch $@

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ocms: Python 3.11 or newer is needed; set PYTHON=python3.11")'
	@echo "Installing into $(VENV); this takes about a minute."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@
