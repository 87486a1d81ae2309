# What is run. Included by the Makefile inside the devroot.
.PHONY: run test soak bench fuzz lint units
ONLY    ?=
K       ?=
ROWS    ?=
SECONDS ?= 60

units: $(UNIT_BIN) $(BPF_TEST_BIN)

test: all units
	$(Q)BUILD_DIR=$(BUILD) python3 tests/run $(if $(ONLY),--only $(ONLY)) $(if $(K),-k '$(K)')

soak: all units
	$(Q)BUILD_DIR=$(BUILD) python3 tests/run --soak $(if $(ONLY),--only $(ONLY)) $(if $(K),-k '$(K)')

run: all
	$(Q)BUILD_DIR=$(BUILD) exec tools/run $(if $(CONFIG),--config $(CONFIG))

bench: all $(BENCH_BIN)
	$(Q)python3 tools/bench/bench.py $(ROWS)

fuzz: $(FUZZ_BIN)
	$(Q)tests/fuzz/run $(SECONDS)

lint:
	$(Q)python3 tools/lint/lint.py
