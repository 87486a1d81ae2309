# What is run. Included by the Makefile inside the devroot.
.PHONY: run test soak bench fuzz lint units
ONLY    ?=
K       ?=
ROWS    ?=
NAME    ?=
SECONDS ?= 60

# The recipes below begin with + where a person watches the output: make would hold it back until
# the end (--output-sync), and the commands of `make run` would never be seen.
units: $(UNIT_BIN) $(BPF_TEST_BIN)

test: all units
	+$(Q)BUILD_DIR=$(BUILD) python3 tests/run $(if $(ONLY),--only $(ONLY)) $(if $(K),-k '$(K)')

soak: all units
	+$(Q)BUILD_DIR=$(BUILD) python3 tests/run --soak $(if $(ONLY),--only $(ONLY)) $(if $(K),-k '$(K)')

run: all
	+$(Q)BUILD_DIR=$(BUILD) exec tools/run $(if $(CONFIG),--config $(CONFIG)) $(if $(NAME),--name $(NAME))

bench: all $(BENCH_BIN)
	+$(Q)python3 tools/bench/bench.py $(ROWS)

fuzz: $(FUZZ_BIN)
	+$(Q)tests/fuzz/run $(SECONDS)

lint: $(SKELS) build/gen/core/version.h
	$(Q)python3 tools/lint/lint.py $(if $(CI),--all)
