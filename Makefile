# What is done with Quantum. `make run` and `make test` need nothing before them but Python 3.11.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
FUZZ_STAMP := .venv/fuzz-installed
WORKERS ?= 2
SEEDS ?= 1500
LITE_SEEDS ?= 6000
RUN_ARGS ?=
CONFORMANCE_ARGS ?=
MUTANTS_EVERY ?= 1
FUZZ_S ?= 60
FUZZ_ARGS ?=
STORM_ARGS ?=

.PHONY: run test check format sim simall failover mutants conformance bench storm fuzz properties compiled slow ci clean

run: $(STAMP)  ## a safe single node on loopback; data in ./data
	$(BIN)/quantum run $(RUN_ARGS)

test: $(STAMP)  ## every test that takes seconds, on two cores
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow" --ignore=tests/conformance --ignore=tests/bench

check: $(STAMP)  ## lint, format, types and the rules of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/python -m pytest -n0 tests/tidy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

sim: $(STAMP)  ## the simulator: kept schedules, LITE_SEEDS of consensus alone, SEEDS of whole nodes
	$(BIN)/python -m pytest -n $(WORKERS) tests/sim/test_kept_schedules.py tests/sim/test_kept_seeds.py
	$(BIN)/quantum sim --profile lite --seeds 1..$(LITE_SEEDS) --jobs $(WORKERS) --twice 5
	$(BIN)/quantum sim --profile standard --seeds 1..$(SEEDS) --jobs $(WORKERS) --twice 2

simall: sim  ## all other profiles behind it, SEEDS of each; SEEDS=100000 for a night
	for profile in mqtt storage power beyond; do \
		$(BIN)/quantum sim --profile $$profile --seeds 1..$(SEEDS) --jobs $(WORKERS) --twice 5 || exit 1; \
	done
	$(BIN)/quantum sim --profile soak --seeds 1..$$(($(SEEDS) / 100 + 1)) --jobs $(WORKERS)

failover: $(STAMP)  ## how long nobody can write after a leader was killed, with default timers
	$(BIN)/quantum sim --profile failover --seeds 1..1000 --jobs $(WORKERS)

mutants: $(STAMP)  ## known bugs put in on purpose: the simulator must find every one
	MUTANTS_EVERY=$(MUTANTS_EVERY) $(BIN)/python -m pytest -n $(WORKERS) -m slow tests/sim/test_mutants.py tests/sim/test_raft_mutants.py

conformance: $(STAMP)  ## each statement of MQTT and real clients, on real sockets; then what is covered
	$(BIN)/python -m pytest -n $(WORKERS) tests/conformance $(CONFORMANCE_ARGS)
	$(BIN)/python -m tests.conformance.manifest

bench: $(STAMP)  ## the speed table, beside mosquitto; needs a quiet machine, cc and taskset
	$(BIN)/python -m tests.bench.speed $(BENCH_ARGS)

storm: $(STAMP)  ## what others feel while one client asks for much; needs a quiet machine and taskset
	$(BIN)/python -m tests.bench.storm $(STORM_ARGS)

fuzz: $(FUZZ_STAMP)  ## coverage-guided, FUZZ_S seconds for all targets; FUZZ_ARGS=--keep lets the corpora grow
	$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_S) $(FUZZ_ARGS)

properties: $(STAMP)  ## property tests with many more examples
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n $(WORKERS) -m "not slow" --timeout=1800 tests/core

slow: $(STAMP)  ## the tests that `make test` leaves out
	$(BIN)/python -m pytest -n $(WORKERS) -m slow --ignore=tests/conformance --ignore=tests/bench --ignore=tests/sim/test_mutants.py --ignore=tests/sim/test_raft_mutants.py

compiled: $(STAMP)  ## the core compiled by mypyc, outside the source tree, and its tests against it
	bash tests/compiled.sh $(BIN)

ci: check test slow conformance fuzz sim mutants compiled  ## what CI runs; if it passes here it passes there

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

# Set-up: uv where it is, else venv and pip. No index is named here; the machine's own configuration decides.
$(STAMP): pyproject.toml setup.py constraints.txt
	@if command -v uv >/dev/null 2>&1; then \
		test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) .venv; \
		uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
		test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	@touch $@

# Atheris is large and of no use to anything else, so it comes only where somebody fuzzes.
$(FUZZ_STAMP): $(STAMP)
	@if command -v uv >/dev/null 2>&1; then \
		uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,fuzz]'; \
	else \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,fuzz]'; \
	fi
	@touch $@
