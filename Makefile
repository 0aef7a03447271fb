# Each of these sets up what it needs in .venv and runs: demo, test, check, sanitize, loadtest, format, tables, lock.
# `make image` needs Docker, or another builder that takes its arguments.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: demo test check sanitize loadtest format tables lock image clean

demo: $(VENV)/installed
	@$(BIN)/headway demo

test: $(VENV)/installed-dev bind9 kubectl promtool peers
	$(BIN)/pytest --numprocesses auto --maxprocesses 4

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The native relay under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer: a driver without Python,
# then the tests of the data path. They are built anew: for a change of the sources nothing has to be installed.
sanitize:
	@$(MAKE) -s NATIVE= $(VENV)/installed-dev
	BIN=$(abspath $(BIN)) tests/datapath/native/sanitize

# Headway beside HAProxy, nginx, Envoy and a direct connection: twenty minutes on a machine that does nothing else.
# `make loadtest LOADTEST=--quick` takes three; LOADTEST=--help tells the rest.
loadtest: $(VENV)/installed-loadtest peers
	$(BIN)/python -m loadtest.compare $(LOADTEST)

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The README's tables of settings and metrics, from the code.
tables: $(VENV)/installed-dev
	$(BIN)/python -m tests.tables

# The Dockerfile says what the arguments are for: `make image IMAGE=registry/headway:1 PYTHON_IMAGE=…`. Those
# without a value here are taken from this call or the environment, or have the Dockerfile's default.
VERSION := $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' proxy/__init__.py)
IMAGE ?= headway:$(VERSION)
DOCKER ?= docker
FROM_OUTSIDE := PYTHON_IMAGE BUILD_IMAGE PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST
image:
	$(DOCKER) build --tag $(IMAGE) $(FROM_OUTSIDE:%=--build-arg %) --build-arg VERSION=$(VERSION) \
	--build-arg REVISION=$$(git rev-parse HEAD || echo unknown) --build-arg CREATED=$$(date -u +%Y-%m-%dT%H:%M:%SZ) \
	$(BUILD_FLAGS) .

# What the image is made of, with hashes, for every Python from 3.11 on; and what makes its wheels.
LOCK = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header
REQUIRES = import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")
lock: $(VENV)/installed
	$(PIP) install uv
	$(LOCK) pyproject.toml --extra injector --output-file requirements.lock
	$(BIN)/python -c '$(REQUIRES)' | $(LOCK) - --output-file requirements-build.lock

# kubectl renders deploy/ for its tests. Where it is missing and cannot be installed, they are skipped.
.PHONY: kubectl promtool
kubectl:
	@command -v kubectl >/dev/null \
	|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -qq --yes --no-install-recommends kubernetes-client; } \
	|| echo "The tests of deploy/ will be skipped. They want: sudo apt-get install kubernetes-client"

# promtool plays the alerts. Debian's package is a server that would start: only the tool is taken out of it.
promtool: $(VENV)/installed-dev
	@command -v promtool $(BIN)/promtool >/dev/null \
	|| { d=$$(mktemp -d) && cd $$d && { apt-get -qq download prometheus || { apt-get update -qq && apt-get -qq download prometheus; }; } \
	     && dpkg-deb -x prometheus_*.deb . && cp usr/bin/promtool $(abspath $(BIN)) && rm -r $$d; } 2>/dev/null \
	|| echo "One test of the alerts will be skipped. It wants promtool: sudo apt-get install prometheus"

# Whom Headway is compared with, the pods, and a compiler for the load generator. Envoy comes from PyPI.
.PHONY: peers install-peers
PEERS := haproxy nginx libnginx-mod-stream gcc libc6-dev
peers:
	@PATH="$$PATH:/usr/sbin"; { command -v haproxy && command -v nginx && command -v cc; } >/dev/null \
	|| { test "$$(id -u)" = 0 && $(MAKE) --no-print-directory install-peers; } \
	|| echo "The load test goes without, or not at all. It wants: sudo apt-get install $(PEERS)"

# Masked as BIND is.
install-peers:
	@! command -v systemctl >/dev/null || test -x /usr/sbin/haproxy || systemctl mask --quiet haproxy
	@! command -v systemctl >/dev/null || test -x /usr/sbin/nginx || systemctl mask --quiet nginx
	apt-get update -qq
	apt-get install -qq --yes --no-install-recommends $(PEERS)

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install --group dev
	@touch $@

$(VENV)/installed-loadtest: $(VENV)/installed
	$(PIP) install --group loadtest --group peers
	@touch $@

# An editable installation builds the native relay in place; where that fails, the rest is installed.
NATIVE := setup.py $(filter-out %/_relay.c,$(wildcard proxy/datapath/native/*.[ch] proxy/datapath/native/*.pyx))
$(VENV)/installed: pyproject.toml proxy/__init__.py $(NATIVE)
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Headway needs Python 3.11 or later"; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory ensurepip
	python3 -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --editable .
	@touch $@

# Debian keeps the means to make a virtual environment in a package of its own.
.PHONY: ensurepip
ensurepip:
	@test "$$(id -u)" = 0 || { echo "Install it first: sudo apt-get install python3-venv"; exit 1; }
	apt-get update -qq
	apt-get install -qq --yes --no-install-recommends python3-venv

# Some tests ask BIND, a name server that others wrote. Where it is missing and cannot be installed, they are skipped.
.PHONY: bind9
bind9:
	@PATH="$$PATH:/usr/sbin"; { command -v named && command -v nsupdate; } >/dev/null \
	|| { test "$$(id -u)" = 0 && $(MAKE) --no-print-directory install-bind9; } \
	|| echo "The tests that ask BIND will be skipped. They want: sudo apt-get install bind9 bind9-dnsutils"

# Masked before it is there, its service starts neither now nor at boot (`systemctl unmask named` undoes that).
.PHONY: install-bind9
install-bind9:
	@! command -v systemctl >/dev/null || test -x /usr/sbin/named || systemctl mask --quiet named
	apt-get update -qq
	apt-get install -qq --yes --no-install-recommends bind9 bind9-dnsutils
