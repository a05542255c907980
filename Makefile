# Two commands: `make demo` (set-up and the main job) and `make test` (set-up and the tests).
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/08x_ds8_l2.yaml
PYTEST_ARGS ?=
EXECUTIONS ?= 10000000

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz lint setup-demo setup-test clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: setup-demo ## set up, build and validate a firmware with trained weights, draw original against reconstruction
	$(BIN)/kit build-firmware --config $(CONFIG)
	$(MAKE) --no-print-directory -C firmware host-test
	@echo
	@echo "Report:  runs/$(notdir $(basename $(CONFIG)))/report.html"
	@echo "Picture: runs/$(notdir $(basename $(CONFIG)))/reconstruction.png"

test: setup-test ## set up and run every test
ifeq ($(strip $(PYTEST_ARGS)),)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile -m 'not alone'
	$(BIN)/python -m pytest -m alone
else
	$(BIN)/python -m pytest $(PYTEST_ARGS)
endif

fuzz: setup-test ## the device's receiver under libFuzzer, EXECUTIONS (10 million) per target, and what that covers
	$(BIN)/python -m tests.fuzz.run --executions $(EXECUTIONS)

lint: setup-test ## code style and static types
	$(BIN)/ruff check .
	tools/typecheck.sh

setup-demo: $(VENV)/.installed-demo
	@tools/debian-packages.sh gcc=gcc,libc6-dev arm-none-eabi-gcc=gcc-arm-none-eabi,libnewlib-arm-none-eabi qemu-system-arm=qemu-system-arm

setup-test: $(VENV)/.installed-test
	@tools/debian-packages.sh gcc=gcc,libc6-dev arm-none-eabi-gcc=gcc-arm-none-eabi,libnewlib-arm-none-eabi \
	    arm-none-eabi-g++=gcc-arm-none-eabi,libstdc++-arm-none-eabi-newlib \
	    qemu-system-arm=qemu-system-arm qemu-system-riscv32=qemu-system-misc \
	    riscv64-unknown-elf-gcc=gcc-riscv64-unknown-elf,picolibc-riscv64-unknown-elf \
	    clang=clang,libclang-rt-dev llvm-cov=llvm cmake=cmake g++=g++

$(VENV)/bin/python:
	@tools/debian-packages.sh python3-venv=python3-venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "kit: Python 3.10 or newer is needed; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo,train,dev]'
	@touch $@ $(VENV)/.installed-demo

clean: ## remove rendered firmware and compiled files; runs/ and the virtual environment stay
	rm -rf build firmware/build firmware/generated
