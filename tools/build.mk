# How things are built. Included by the Makefile inside the devroot.

# --- BPF: vmlinux.h from the running kernel, object, skeleton
build/gen/vmlinux.h:
	@mkdir -p $(@D)
	@echo "  BTF     $@"
	$(Q)bpftool btf dump file /sys/kernel/btf/vmlinux format c >$@.new && mv $@.new $@

build/gen/bpf/%.bpf.o: bpf/%.bpf.c build/gen/vmlinux.h
	@mkdir -p $(@D)
	@echo "  BPF     $@"
	$(Q)$(CC) -O2 -g -Wall -Werror -Wno-unused-function -target bpf -mcpu=v3 \
		-D__TARGET_ARCH_$(ARCH) -Ibuild/gen -Iinclude -Ibpf -MMD -MP -MF $@.d -MT $@ -c $< -o $@.raw.o
	$(Q)bpftool gen object $@ $@.raw.o

build/gen/bpf/%.skel.h: build/gen/bpf/%.bpf.o
	@echo "  SKEL    $@"
	$(Q)bpftool gen skeleton $< name $*_bpf >$@.new && mv $@.new $@

# --- the version: a header that only changes when the version does
.PHONY: version
version: ;
build/gen/core/version.h: version
	@mkdir -p $(@D)
	@echo '#define SLUICE_VERSION "$(VERSION)"' | cmp -s - $@ || \
		echo '#define SLUICE_VERSION "$(VERSION)"' >$@

# --- user space
$(BUILD)/%.o: %.c Makefile tools/build.mk | $(SKELS) build/gen/core/version.h
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/libsluice.a: $(ROOM_OBJ)
	@rm -f $@
	$(Q)llvm-ar rcs $@ $^

$(BUILD)/sluiced: $(BUILD)/userspace/main.o $(BUILD)/libsluice.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS)

$(BUILD)/sluicectl: $(CTL_OBJ) $(BUILD)/libsluice.a
	@echo "  LD      $@"
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS)

# --- tests: each file is a program (cmocka), linked against the whole library
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/libsluice.a
	@echo "  LD      $@"
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS) -lcmocka

$(BUILD)/bench/%: $(BUILD)/tools/bench/%.o $(BUILD)/libsluice.a
	@echo "  LD      $@"
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) $^ -o $@ $(LDLIBS)

# --- the first process of the test VM: static, it runs before anything else is there
build/vm/init: tools/vm/init.c tools/build.mk
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu17 -O2 $(WARNINGS) -static $< -o $@

# --- libraries for tests/net, loaded by others: never with sanitizers
$(BUILD)/tests/%.so: tests/net/%.c tools/build.mk
	@mkdir -p $(@D)
	@echo "  LD      $@"
	$(Q)$(CC) -D_GNU_SOURCE -std=gnu17 -O1 $(WARNINGS) -shared -fPIC $< -o $@

# --- fuzzers: the rooms' sources with coverage, built once more
build/fuzz/obj/%.o: %.c Makefile tools/build.mk | $(SKELS) build/gen/core/version.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -std=gnu17 -g -O1 $(WARNINGS) -fno-strict-aliasing \
		-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -MMD -MP -c $< -o $@

build/fuzz/libsluice.a: $(ROOM_SRC:%.c=build/fuzz/obj/%.o)
	@rm -f $@
	$(Q)llvm-ar rcs $@ $^

build/fuzz/%: build/fuzz/obj/tests/fuzz/%.o build/fuzz/libsluice.a
	@echo "  LD      $@"
	$(Q)$(CC) -fuse-ld=lld -fsanitize=fuzzer,address,undefined $^ -o $@ $(LDLIBS)

.SECONDARY:
-include $(shell find $(BUILD) build/gen build/fuzz -name '*.d' 2>/dev/null)

.PHONY: clean
clean:
	rm -rf build
