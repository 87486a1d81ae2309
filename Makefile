# sluice: see `make help`. Every target that needs tools or libraries runs through tools/devroot,
# which makes a Debian 13 root folder on other hosts; inside it (or on Debian 13) `make` runs
# directly. Sources are found by folder: a new file needs no line here.
SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-builtin-rules --output-sync=line
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS   += -j$(shell nproc)
endif

ifeq ($(SLUICE_DEVROOT),)
# Outside: hand the whole request over, once.
GOALS := $(or $(MAKECMDGOALS),all)
.PHONY: $(GOALS) help
ifneq ($(GOALS),help)
$(firstword $(GOALS)):
	@+$(if $(filter test soak,$(GOALS)),tools/helm --fetch || :;) exec tools/devroot make --no-print-directory $(GOALS)
$(wordlist 2,99,$(GOALS)):
	@:
else
include tools/help.mk
endif
else

VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)
SAN     ?=
prefix  ?= /usr/local
DESTDIR ?=
V       ?= 0
Q       := $(if $(filter 1,$(V)),,@)

CC      := clang
comma   := ,
BUILD   := build/$(if $(SAN),san-$(subst $(comma),-,$(SAN)),release)
ARCH    := $(shell uname -m | sed 's/x86_64/x86/; s/aarch64/arm64/')

LIBS     := libbpf libxdp libcrypto libssl libllhttp libnghttp2 yaml-0.1 yyjson liburcu-qsbr libcurl libpcre2-8 \
	libcares
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
	-Wno-unused-parameter -Wno-missing-field-initializers -Wno-format-nonliteral -Werror
CPPFLAGS := -D_GNU_SOURCE -Iuserspace -Iinclude -Ibuild/gen
CFLAGS   := -std=gnu17 -g $(WARNINGS) -fno-strict-aliasing -fno-omit-frame-pointer
LDFLAGS  := -fuse-ld=lld
LDLIBS   := $(shell pkg-config --libs $(LIBS)) -lpthread
ifneq ($(SAN),)
CFLAGS   += -O1 -fsanitize=$(SAN) -fno-sanitize-recover=all
LDFLAGS  += -fsanitize=$(SAN)
else
CFLAGS   += -O2 -flto=thin -D_FORTIFY_SOURCE=3 -fstack-protector-strong \
	-fstack-clash-protection -fcf-protection -fPIE -fno-plt
LDFLAGS  += -O2 -flto=thin -Wl,--thinlto-cache-dir=build/lto-cache -pie -Wl,-z,relro,-z,now,-z,noexecstack
endif

ROOMS    := core dataplane net tls gate quic http proxy control
ROOM_SRC := $(foreach room,$(ROOMS),$(wildcard userspace/$(room)/*.c))
ROOM_OBJ := $(ROOM_SRC:%.c=$(BUILD)/%.o)
TOOLS    := $(patsubst tools/%/,%,$(dir $(wildcard tools/sluicectl/*.c)))
CTL_OBJ  := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/sluicectl/*.c))
BENCH_BIN := $(patsubst tools/bench/%.c,$(BUILD)/bench/%,$(wildcard tools/bench/*.c))
UNIT_BIN := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*/test_*.c))
BPF_TEST_BIN := $(patsubst tests/bpf/%.c,$(BUILD)/tests/bpf/%,$(wildcard tests/bpf/test_*.c))
FUZZ_BIN := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BPF_SRC  := $(wildcard bpf/*.bpf.c)
SKELS    := $(BPF_SRC:bpf/%.bpf.c=build/gen/bpf/%.skel.h)

.PHONY: all
all: $(BUILD)/sluiced $(BUILD)/sluicectl
	@echo "built $^ ($(VERSION))"

include tools/help.mk
include tools/build.mk
include tools/test.mk
include tools/package.mk
endif
