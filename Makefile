# Each target installs what it needs into this folder: .venv* for Python, .cache for the rest. `make clean` removes it all.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

export SAM_CLI_TELEMETRY := 0

# Some containers set it. Every process would then compile every package again, at two seconds of a processor each.
unexport PYTHONDONTWRITEBYTECODE

# tools/needs.py puts the programs there that this machine lacks.
export PATH := $(CURDIR)/.cache/bin:$(PATH)

# What `make run` takes. From the command line (make run PORT=8080) or from the environment.
PORT ?= 3000
HOST ?= 127.0.0.1
STORE ?= memory
AUTH ?=
ALLOW_HOSTS ?=
AGENT ?= echo
FORWARD_TO ?=
FORWARD_FILTER ?=

# What the test targets pass to pytest: make test-unit ARGS="-k renew".
ARGS ?=

, := ,
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# Every requirement stands in the lock, with its hash: pip has nothing to resolve, and little to compile before the first start.
PIP_INSTALL := -m pip install -qq --disable-pip-version-check --require-hashes --no-deps --no-compile -r

TEMPLATES := template.yaml examples/consumer/template.yaml examples/agent/template.yaml
EXPANDED := $(TEMPLATES:%.yaml=.cache/expanded/%.json)

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- what a person wants ---------------------------------------------------------------------------------------------

.PHONY: run
run: .venv/.run $(if $(filter dynamodb-local,$(STORE)),with-java .cache/dynamodb-local/.fetched) ## the local stack (PORT=3000 STORE=memory|dynamodb-local AUTH=1 AGENT=echo|none|URL FORWARD_TO=URL; docs/local-stack.md)
	@PORT='$(PORT)' HOST='$(HOST)' STORE='$(STORE)' AUTH='$(AUTH)' ALLOW_HOSTS='$(ALLOW_HOSTS)' AGENT='$(AGENT)' \
	  FORWARD_TO='$(FORWARD_TO)' FORWARD_FILTER='$(FORWARD_FILTER)' exec $(BIN)/python -m local

.PHONY: test
test: test-needs ## all tests; installs the programs that this machine lacks, and names at the end what could not run
	$(PYTEST) -n auto $(ARGS)

.PHONY: check
check: .venv/.dev ## format, lint, types and unit tests: under a minute
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy & types=$$!; $(PYTEST) tests/unit -n auto -q $(ARGS) || { wait $$types; exit 1; }; wait $$types

.PHONY: test-unit
test-unit: .venv/.dev ## the unit tests: no network, no other program
	$(PYTEST) tests/unit -n auto $(ARGS)

.PHONY: test-integration
test-integration: .venv/.dev with-java .cache/dynamodb-local/.fetched ## the tests against DynamoDB Local
	$(PYTEST) tests/integration -n auto $(ARGS)

.PHONY: test-e2e
test-e2e: test-needs ## the tests over HTTP: the local stack, a browser, a real client, the deployed template
	$(PYTEST) tests/e2e $(ARGS)

.PHONY: bench
bench: .venv/.dev with-java .cache/dynamodb-local/.fetched .cache/lambda-runtime/.installed build ## measure beside peers, write docs/benchmarks.md: half an hour, needs valgrind (ARGS="cold warm" prints those alone)
	$(BIN)/python -m tests.benchmarks $(ARGS)

.PHONY: build
build: .aws-sam/build/template.yaml ## the deployable functions and layers, with `sam build`

.PHONY: client
client: .venv/.run ## build the wheel and the sdist of the Python client into dist/
	@$(BIN)/python -m tools.build_client | grep bytes

.PHONY: lint-template
lint-template: .venv-sam/.installed $(EXPANDED) ## check the templates as SAM and as the CloudFormation they expand to
	for template in $(TEMPLATES); do .venv-sam/bin/sam validate --lint --template $$template; done
	.venv-sam/bin/cfn-lint $(EXPANDED)

.PHONY: openapi
openapi: .venv/.run ## write docs/openapi.json from the request and response models
	$(BIN)/python -m tools.openapi

.PHONY: demo
demo: .venv/.run ## a conversation on a local stack of its own, from the question to the expiry, in a few seconds
	$(BIN)/python -m local.demo

.PHONY: api-key
api-key: .venv/.run ## make, list, revoke or rotate API keys (TENANT=acme makes one; ARGS="list --tenant acme"; STACK=name)
	@$(BIN)/python -m tools.keys $(if $(STACK),--stack '$(STACK)') $(if $(TENANT),create --tenant '$(TENANT)') $(ARGS)

.PHONY: clean
clean: ## remove everything that make has made
	rm -rf .venv .venv-* .cache .aws-sam build dist *.egg-info
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- what a maintainer wants -----------------------------------------------------------------------------------------

# the scaling table and the cost plot of docs/operations.md
.PHONY: cost
cost: .venv/.dev
	$(BIN)/python -m tools.cost

# docs/licenses.md, the licences of what ships
.PHONY: licenses
licenses: .venv/.dev
	$(BIN)/python -m tools.licenses

# the expanded templates against checkov's rules (no network)
.PHONY: audit-template
audit-template: .venv-audit/.installed $(EXPANDED)
	LOG_LEVEL=ERROR BC_SKIP_MAPPING=TRUE .venv-audit/bin/checkov $(addprefix -f ,$(EXPANDED)) --framework cloudformation \
	  --compact --quiet --skip-download

# also known vulnerabilities of what ships (asks an advisory database over the network)
.PHONY: audit
audit: audit-template .venv/.dev
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r layers/dependencies/requirements.lock

# Keeps the versions that are in the locks; `make lock UPGRADE=--upgrade` moves to the newest. What ships is pinned by hand, and pins the rest.
UPGRADE ?=
LOCK = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock' $(UPGRADE)

.PHONY: lock
lock: .venv-lock/.installed
	$(LOCK) layers/dependencies/requirements.txt -o layers/dependencies/requirements.lock
	$(LOCK) requirements/run.in -o requirements/run.lock
	$(LOCK) requirements/dev.in -c requirements/run.lock -o requirements/dev.lock
	$(LOCK) requirements/sam.in -o requirements/sam.lock
	$(LOCK) requirements/ministack.in -o requirements/ministack.lock
	$(LOCK) requirements/audit.in -o requirements/audit.lock
	for peer in usual fastapi floor; do $(LOCK) requirements/bench-$$peer.in -o requirements/bench-$$peer.lock; done
	$(LOCK) requirements/lambda.in -o requirements/lambda.lock
	$(LOCK) requirements/frameworks.in -o requirements/frameworks.lock
	$(LOCK) requirements/lock.in -o requirements/lock.lock
	$(LOCK) requirements/java.in -o requirements/java.lock
	$(LOCK) requirements/node.in -o requirements/node.lock

# --- what the targets need -------------------------------------------------------------------------------------------

# The deployed runtime's Python first, though the code runs on 3.11 and later; `make check PYTHON=python3.11` asks for another.
# A name on PATH need not run, because version managers leave shims there, so each candidate is tried.
PYTHON ?= python3.13 "$$(pyenv prefix 3.13)/bin/python3.13" "$$(uv python find --system 3.13)" python3 python3.14 python3.12 python3.11

.venv/bin/python:
	@exec 3>&2 2>/dev/null; for python in $(PYTHON) ""; do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'; then break; fi; \
	done; exec 2>&3 3>&-; \
	if [ -z "$$python" ]; then \
	  echo >&2 "No Python 3.11 or later that runs (with venv and pip; Debian and Ubuntu: apt-get install python3-venv) was found."; exit 1; \
	fi; \
	echo "making .venv with $$("$$python" --version)" && "$$python" -m venv --clear .venv

# `make run` installs little; the tests' packages come on top of it in the same place, from a lock with the same versions.
.venv/.run: requirements/run.lock pyproject.toml | .venv/bin/python
	@echo "installing what runs (once)"
	@$(BIN)/python $(PIP_INSTALL) requirements/run.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.venv/.dev: requirements/dev.lock .venv/.run
	@echo "installing what tests and lints (once)"
	@$(BIN)/python $(PIP_INSTALL) requirements/dev.lock
	@touch $@

# $(NEEDS) java node: find these programs or install them; a program that cannot be had is an error.
NEEDS := $(BIN)/python -m tools.needs

.venv-sam/.installed: requirements/sam.lock | .venv/bin/python
	@$(NEEDS) python3.13
	@echo "installing the SAM CLI into .venv-sam (once)"
	@python3.13 -m venv --clear .venv-sam
	@.venv-sam/bin/python $(PIP_INSTALL) requirements/sam.lock
	@touch $@

.venv-ministack/.installed: requirements/ministack.lock | .venv/bin/python
	@$(NEEDS) python3.13
	@echo "installing ministack into .venv-ministack (once)"
	@python3.13 -m venv --clear .venv-ministack
	@.venv-ministack/bin/python $(PIP_INSTALL) requirements/ministack.lock
	@touch $@

# Lambda's runtime client, which runs a built function behind the emulator that the SAM CLI brings.
.cache/lambda-runtime/.installed: requirements/lambda.lock .venv-sam/.installed
	@rm -rf $(@D)
	@.venv-sam/bin/python $(PIP_INSTALL) requirements/lambda.lock --target $(@D)
	@touch $@

# The frameworks that the Python client has adapters for.
.venv-frameworks/.installed: requirements/frameworks.lock | .venv/bin/python
	@echo "installing OpenAI Agents and ADK into .venv-frameworks (once)"
	@$(BIN)/python -m venv --clear .venv-frameworks
	@.venv-frameworks/bin/python $(PIP_INSTALL) requirements/frameworks.lock
	@touch $@

# The SDK's own tests come with its sdist alone.
.cache/openai-agents/.fetched: .venv-frameworks/.installed
	@echo "fetching the tests of OpenAI Agents (once)"
	@rm -rf $(@D) && mkdir -p $(@D)
	@sed -n '/^openai-agents==/,/# via/p' requirements/frameworks.lock >$(@D).lock
	@.venv-frameworks/bin/python -m pip download -qq --disable-pip-version-check --require-hashes --no-deps --no-build-isolation --no-binary :all: -d $(@D) -r $(@D).lock
	@tar -xzf $(@D)/openai_agents-*.tar.gz -C $(@D) --strip-components=1
	@touch $@

# The checker of the template has a place of its own: it pins an older boto3.
.venv-audit/.installed: requirements/audit.lock | .venv/bin/python
	@echo "installing checkov into .venv-audit (once)"
	@$(BIN)/python -m venv --clear .venv-audit
	@.venv-audit/bin/python $(PIP_INSTALL) requirements/audit.lock
	@touch $@

.venv-lock/.installed: requirements/lock.lock | .venv/bin/python
	@$(BIN)/python -m venv --clear .venv-lock
	@.venv-lock/bin/python $(PIP_INSTALL) requirements/lock.lock
	@touch $@

# The templates as CloudFormation: .cache/expanded/template.json, .cache/expanded/examples/consumer/template.json
$(EXPANDED): .cache/expanded/%.json: %.yaml .venv-sam/.installed template_reader.py tools/expand_template.py
	@mkdir -p $(@D)
	.venv-sam/bin/python -m tools.expand_template $< > $@

# The processor that the layer is built for: arm64 or x86_64; both where it is empty. Another value than before builds anew.
ARCHITECTURE ?=
BUILT_FOR := .cache/built-for-$(or $(ARCHITECTURE),both)

$(BUILT_FOR):
	@mkdir -p $(@D) && rm -f .cache/built-for-* && touch $@

.aws-sam/build/template.yaml: .venv-sam/.installed template.yaml $(BUILT_FOR) $(shell find functions layers -type f -not -path '*/__pycache__/*' 2>/dev/null)
	ARCHITECTURE='$(ARCHITECTURE)' PATH="$(CURDIR)/.venv-sam/bin:$$PATH" .venv-sam/bin/sam build

.cache/dynamodb-local/.fetched: local/dynamodb_local.py .venv/.run
	@$(NEEDS) node
	$(BIN)/python -m local.dynamodb_local --fetch
	@touch $@

# The client that the contract is for, alone: its one file runs in Node without the packages that it names.
.cache/npm/api-client/dist/index.js: | .venv/bin/python
	@$(NEEDS) node
	$(BIN)/python -m local.npm_package @elizaos/api-client@1.7.2 fef74dda541e2e7797acf30dea294dcc760d09963b5db8873e34bceee9d55bef .cache/npm/api-client
	@touch $@

# AWS's own validator of what SNS posts: its one file runs in Node.
.cache/npm/sns-validator/index.js: | .venv/bin/python
	@$(NEEDS) node
	$(BIN)/python -m local.npm_package sns-validator@0.3.5 7a03818b7ef6436f29495e50378624148c751c4b1b330952fe6bc20ce2a1c5d0 .cache/npm/sns-validator

# All programs are checked first. Then comes what the tests need with each of those that are there.
.PHONY: test-needs with-java with-node with-chromium with-python3.13
test-needs: | .venv/bin/python
	@there="$$($(NEEDS) --tests java node chromium python3.13)" && $(MAKE) --silent --no-print-directory .venv/.dev .cache/openai-agents/.fetched $${there:+$$(printf 'with-%s ' $$there)}
with-java: | .venv/bin/python
	@$(NEEDS) java
with-node: .cache/dynamodb-local/.fetched .cache/npm/api-client/dist/index.js .cache/npm/sns-validator/index.js
with-chromium: ;
with-python3.13: .venv-ministack/.installed .cache/lambda-runtime/.installed build
