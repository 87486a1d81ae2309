# What is run. Included by the Makefile inside the devroot.
.PHONY: run test test-vm soak bench bench-vm fuzz lint units vm
ONLY    ?=
K       ?=
ROWS    ?=
NAME    ?=
CMD     ?= uname -a
SECONDS ?= 60
KERNEL  ?= stable

# The recipes below begin with + where a person watches the output: make would hold it back until
# the end (--output-sync), and the commands of `make run` would never be seen.
units: $(UNIT_BIN) $(BPF_TEST_BIN) build/vm/init $(BUILD)/bench/flood $(BUILD)/tests/token_stall.so \
	$(BUILD)/tests/short_memory.so

test: all units
	+$(Q)BUILD_DIR=$(BUILD) python3 tests/run $(if $(ONLY),--only $(ONLY)) $(if $(K),-k '$(K)')

test-vm: all units
	+$(Q)BUILD_DIR=$(BUILD) python3 tests/run --kernel $(KERNEL) $(if $(ONLY),--only $(ONLY)) $(if $(K),-k '$(K)')

soak: all units
	+$(Q)BUILD_DIR=$(BUILD) python3 tests/run --soak $(if $(ONLY),--only $(ONLY)) $(if $(K),-k '$(K)')

vm: build/vm/init
	+$(Q)exec tools/vm/run --kernel $(KERNEL) --env BUILD_DIR=$(BUILD) -- sh -c '$(subst ','\'',$(value CMD))'

run: all
	+$(Q)BUILD_DIR=$(BUILD) exec tools/run $(if $(CONFIG),--config $(CONFIG)) $(if $(NAME),--name $(NAME))

bench: all $(BENCH_BIN)
	+$(Q)python3 tools/bench/bench.py $(ROWS)

# Copies at their dearest, and again at their cheapest (see vm.py).
VM_COUNTS := tools/vm/run --icount --kernel $(KERNEL) --limit 1500
bench-vm: all $(BENCH_BIN) build/vm/init
	+$(Q)$(VM_COUNTS) --strings -- python3 tools/bench/vm.py --build $(BUILD)
	+$(Q)exec $(VM_COUNTS) -- python3 tools/bench/vm.py --build $(BUILD) \
		--json build/bench/latest-vm-cheap-copies.json length chunked

fuzz: $(FUZZ_BIN)
	+$(Q)tests/fuzz/run $(SECONDS)

lint: $(SKELS) build/gen/core/version.h
	$(Q)python3 tools/lint/lint.py $(if $(CI),--all)
