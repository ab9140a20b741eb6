# Everything lives in one virtual environment, .venv. `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin
ifneq ($(wildcard ../shared/data),)
export PELLUCID_TEST_DATA ?= $(abspath ../shared/data)
endif

.PHONY: demo test lint bench clean

demo: .venv/.demo
	$(BIN)/pellucid demo

test: .venv/.test
	$(BIN)/python -m pytest

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.test
	$(BIN)/python benchmarks/tap_cost.py
	$(BIN)/python benchmarks/loading_memory.py
	$(BIN)/python benchmarks/engine_overhead.py
	$(BIN)/python benchmarks/throughput.py --requests 16
	$(BIN)/python benchmarks/encoder_decoder.py --only translate --rounds 1 --requests 16

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install -q -e .
	@touch $@

.venv/.test: .venv/.demo
	$(BIN)/python -m pip install -q -e ".[test]"
	@touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
