# Each of these sets up what it needs in .venv and runs: demo, test, check, format, tables.
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

.PHONY: demo test check format tables clean

demo: $(VENV)/installed
	@$(BIN)/headway demo

test: $(VENV)/installed-dev bind9
	$(BIN)/pytest

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The README's tables of settings and metrics, from the code.
tables: $(VENV)/installed-dev
	$(BIN)/python -m tests.tables

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) install --group dev
	@touch $@

$(VENV)/installed: pyproject.toml proxy/__init__.py
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
