# Needs Python 3.11 and make; everything else is installed here, pinned by envs/*.txt.
PYTHON ?= python3.11
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
BIN := .venv/bin
# Without cached bytecode every start of Python compiles its imports again, which takes seconds.
unexport PYTHONDONTWRITEBYTECODE
# uv does not read pip's setting for extra wheel folders.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
UV := $(BIN)/python -m uv

.PHONY: demo test routes check bench bench-techniques bench-quantization torture lock schema clean

## demo: build the default matrix and show what to ship per target
demo: $(BIN)/.core
	@$(BIN)/snakemake --cores $(CORES) --logger edgeflow
	@$(BIN)/edgeflow summary

## test: run the tests; makes the toolchains that they need
test: $(BIN)/.dev
	@$(BIN)/snakemake --cores $(CORES) $$($(BIN)/python -m tests.tools.toolchains) --logger edgeflow
	@$(BIN)/python -m pytest -n $(CORES) --dist loadgroup -q -m "not e2e and not trials and not routes"
	@$(BIN)/python -m pytest -q -m e2e # alone: it measures, and what it measures decides what is released

## routes: the whole table of sources, networks and runtimes; `make test` has a part of it
routes: $(BIN)/.dev
	@$(BIN)/snakemake --cores $(CORES) $$($(BIN)/python -m tests.tools.toolchains) --logger edgeflow
	@$(BIN)/python -m pytest -q tests/routes

## check: lint, types, layers, formatting
check: $(BIN)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/python -m tests.tools.snakemake_lint

## bench: print how long things take; some of it needs minutes
bench: $(BIN)/.dev
	@$(BIN)/python -m bench

## bench-techniques: what training-time steps and mixed precision do to accuracy, zeros and size, over three seeds
bench-techniques: $(BIN)/.dev
	@$(BIN)/python -m bench techniques mixed_precision

## bench-quantization: what the settings of post-training quantization do to accuracy and size
bench-quantization: $(BIN)/.dev
	@$(BIN)/python -m bench quantization

## torture: 22 models × 5 targets × 5 schemes, of which a good part must fail; nothing wrong may be released
torture: $(BIN)/.dev
	@$(BIN)/snakemake --cores $(CORES) .toolchains/torch.json .toolchains/edge.json --logger edgeflow
	@$(BIN)/python -m bench torture

## schema: rewrite the JSON schemas of the configuration
schema: $(BIN)/.core
	$(BIN)/edgeflow schema

## lock: resolve envs/*.in into envs/*.txt; envs/<toolchain>.user.in is what your own code needs beside its toolchain
LOCK := pip compile -q --no-header --no-annotate --no-emit-index-url --no-emit-find-links
# A line `# python: >=3.12` asks for another Python: it stays in the lock.
LEAST = $$(sed -n 's/^\# python: *>= *//p' envs/$$name.in)
lock: $(BIN)/.core
	for name in $(filter-out dev %.user,$(basename $(notdir $(wildcard envs/*.in)))); do \
	  least=$(LEAST); \
	  $(UV) $(LOCK) --python-version $${least:-3.11} envs/$$name.in -o envs/$$name.txt || exit 1; \
	  [ -z "$$least" ] || sed -i "1i \# python: >=$$least" envs/$$name.txt; done
	$(UV) $(LOCK) --python-version 3.11 -c envs/core.txt envs/dev.in -o envs/dev.txt
	sed -i 's/+cpu$$//' envs/torch.txt
	for name in $(basename $(basename $(notdir $(wildcard envs/*.user.in)))); do \
	  least=$(LEAST); \
	  $(UV) $(LOCK) --python-version $${least:-3.11} -c envs/$$name.txt envs/$$name.user.in -o envs/$$name.user.txt || exit 1; \
	  sed -i 's/+cpu$$//' envs/$$name.user.txt; done

## clean: remove everything that was built; environments stay
clean:
	rm -rf results .snakemake

$(BIN)/python:
	@$(PYTHON) -m venv .venv

$(BIN)/.core: envs/core.txt pyproject.toml | $(BIN)/python
	@$(BIN)/python -m pip install -q --disable-pip-version-check $$(grep '^uv==' envs/core.txt)
	@$(UV) pip install -q -r envs/core.txt
	@$(UV) pip install -q --no-deps -e .
	@touch $@

$(BIN)/.dev: envs/dev.txt $(BIN)/.core
	@$(UV) pip install -q -r envs/dev.txt
	@touch $@
