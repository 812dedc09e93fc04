# `make demo`: from a fresh clone to a table. `make test`: the checks and the fast tests. `make help` lists the rest.
PYTHON ?= python3
# Where pip's default torch is a CUDA build: TORCH_INDEX=<address of PyTorch's CPU wheels> takes the small CPU build.
TORCH_INDEX ?=
VENV := .venv
VLLM := .venv-vllm
KVPRESS := .venv-kvpress
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Byte code is made where it is first imported: most of what is installed never is, and making it all takes a minute.
INSTALL := $(PIP) install --no-compile --progress-bar off $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.DEFAULT_GOAL := help
.PHONY: help demo ui bench test test-slow test-long test-slurm test-vllm vllm test-kvpress kvpress browser check format clean

help:
	@echo "make demo       install into $(VENV), run experiment=demo on the CPU, print the table"
	@echo "make ui         MLflow's pages on 127.0.0.1, at the comparison of the sweep tracked last (or SWEEP=name)"
	@echo "make bench      measure speed and memory against peers (about two hours): results/bench.md"
	@echo "make test       install, lint and types, fast tests"
	@echo "make test-slow  the slow tests (as root on Debian it installs chromium for those of the report)"
	@echo "make test-long  more of what the slow tests try (a quarter of an hour)"
	@echo "make test-slurm whole sweeps through sbatch, on a SLURM of two nodes on this machine (as root on Debian it installs it)"
	@echo "make vllm       install vLLM into $(VLLM), an interpreter of its own, for engine=vllm (3 GB)"
	@echo "make test-vllm  the tests that need it"
	@echo "make kvpress    install kvpress into $(KVPRESS), for engine=kvpress (1 GB)"
	@echo "make test-kvpress  the tests that need it"
	@echo "make check      ruff and mypy"
	@echo "make format     ruff's formatter and safe fixes"
	@echo "make clean      remove $(VENV), $(VLLM) and $(KVPRESS) (results/ stays)"

demo: $(VENV)/core.done
	@$(BIN)/scbench sweep experiment=demo

ui: $(VENV)/core.done
	@$(BIN)/scbench ui $(SWEEP)

bench: $(VENV)/core.done
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m bench $(BENCH)

# Two processes of one thread each: most tests are too small for more threads.
test: check
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2

test-slow: $(VENV)/test.done browser
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m "slow and not long and not venv" -n 2 --dist worksteal --timeout 1800

# What takes long and is like what the slow tests try.
test-long: $(VENV)/test.done
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m long -n 2 --timeout 1800

test-slurm: $(VENV)/test.done
	@OMP_WAIT_POLICY=PASSIVE tests/slurm/run.sh $(abspath $(BIN))/python

# vLLM's tests, one process: it takes what cores there are.
test-vllm: $(VENV)/test.done $(VLLM)/done
	@OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m venv tests/engines/test_vllm.py tests/engines/test_vllm_server.py --timeout 900

vllm: $(VLLM)/done

test-kvpress: $(VENV)/test.done $(KVPRESS)/done
	@OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m venv tests/engines/test_kvpress.py -n 2 --timeout 900

kvpress: $(KVPRESS)/done

# For the tests that open the report's page; elsewhere they are skipped and say so.
browser:
	@command -v chromium > /dev/null \
	  || { test "$$(id -u)" = 0 && apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	       apt-get install -y -qq --no-install-recommends chromium fonts-liberation > /dev/null; } \
	  || echo "no chromium, and no right to install it: the tests of the report's page will be skipped"

check: $(VENV)/test.done
	@$(BIN)/ruff format --check --quiet src tests bench || { echo "make format would mend this"; exit 1; }
	@$(BIN)/ruff check --no-cache --quiet src tests bench
	@$(BIN)/mypy --no-error-summary

format: $(VENV)/test.done
	@$(BIN)/ruff format --quiet src tests bench
	@$(BIN)/ruff check --quiet --fix src tests bench

$(VENV)/core.done: envs/core.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "scbench needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "no venv module: apt-get install python3-venv"; exit 1; }
	@echo "installing envs/core.txt into $(VENV) (a few minutes, once)"
	@$(INSTALL) -r envs/core.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@$(PIP) check
	@touch $@

$(VENV)/test.done: envs/test.txt $(VENV)/core.done
	@$(INSTALL) -r envs/test.txt
	@touch $@

# Another engine's own pins, apart from those above. All versions are in its lock; what vLLM names besides isn't needed.
.venv-%/done: envs/%.txt
	@test -x .venv-$*/bin/python || $(PYTHON) -m venv .venv-$* \
	  || { rm -rf .venv-$*; echo "no venv module: apt-get install python3-venv"; exit 1; }
	@echo "installing envs/$*.txt into .venv-$* (a few minutes, once)"
	@.venv-$*/bin/python -m pip --disable-pip-version-check --quiet install --no-compile --progress-bar off --no-deps \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r envs/$*.txt
	@touch $@

clean:
	rm -rf $(VENV) $(VLLM) $(KVPRESS)
