# Everything is installed into .venv, and nothing outside this folder is touched.
#
#   make demo    install, then watch an agent find out what task it has been given
#   make test    install what the tests need as well, and run them
#   make lint    style, formatting and types
#   make docs    build the documentation site into build/site
#   make gpu     on a machine with a GPU: its tests, benchmarks and a wide model, in ten minutes
#   make clean   remove .venv and whatever was built
#
#   make demo PYTHON=/usr/bin/python3.12     with a Python of your choice
#   make demo DEMO=environment.task=walk     with another task

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint docs gpu clean

FITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3 python,\
	$(shell $(name) -c '$(FITS)' >/dev/null 2>&1 && echo $(name))))
BIN := .venv/bin

help:
	@sed -n 's/^#   //p' Makefile

demo: .venv/.installed
	@run=$$($(BIN)/bfmkit run opti_bfm trace_every=2 $(DEMO)) && $(BIN)/bfmkit play "$$run" >/dev/null
	@echo 'The address above shows its episodes 1, 3 and 10. Reward it yourself: $(BIN)/bfmkit live taught'

# A worker a core, each of one thread: torch would take all cores in each.
test: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

# mypy knows the package only by its own name, so it is shown a tree of links that is laid out as the package is.
lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@rm -rf .venv/types && mkdir -p .venv/types/bfmkit
	@ln -s "$(CURDIR)"/framework/* "$(CURDIR)/components" "$(CURDIR)/recipes" .venv/types/bfmkit/
	cd .venv/types && ../bin/mypy --config-file "$(CURDIR)/pyproject.toml" --cache-dir ../../.mypy_cache -p bfmkit

gpu: .venv/.installed-dev
	$(BIN)/python tests/benchmarks/gpu.py --out runs/gpu

docs: .venv/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip is quiet but for its errors and for every download of a megabyte or more.
define install
	@echo "Installing into .venv. The first time, 0.4 GB are downloaded with a CPU build of torch, 2.9 GB with a GPU build."
	@$(BIN)/python -u -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '$(1)' \
		| { grep -E --line-buffered '^ *(Downloading .*[0-9] [MG]B\)|Installing collected)' | cut -c 1-100 || true; }
endef

.venv/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,.)
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,.[dev])
	@touch $@ .venv/.installed

$(BIN)/python:
	@if [ -z '$(PYTHON)' ]; then \
		echo 'bfmkit needs Python 3.11 or 3.12 with its venv module, and there is none on the PATH' \
			'(python3 is: '"$$(python3 --version 2>&1 || true)"').'; \
		echo 'Debian, Ubuntu: apt install python3-venv. Elsewhere: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11'; \
		exit 1; \
	elif ! '$(PYTHON)' -c '$(FITS)' >/dev/null 2>&1; then \
		echo 'bfmkit needs Python 3.11 or 3.12 with its venv module; $(PYTHON) is:' \
			"$$('$(PYTHON)' --version 2>&1 || true)"; \
		exit 1; \
	fi
	@echo "Making .venv with $$('$(PYTHON)' --version)."
	@'$(PYTHON)' -m venv --clear .venv
