/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A dispatcher as libxdp makes them (version 2 of its protocol: names, layout and order below are
 * what libxdp looks for), whose slots may be taken by programs that change the packet. Since Linux
 * 6.13 (and 6.12.5) a program may only replace a function that does so itself, and the dispatcher
 * of libxdp before 1.5.5 has none. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define DISPATCHER_SLOTS   10
#define DISPATCHER_VERSION 2
#define DISPATCHER_GO_ON   31 /* bit of chain_call_actions that is always set: the slot is empty */

struct dispatcher_config {
	__u8 magic;
	__u8 version;
	__u8 programs;
	__u8 has_frags;
	__u32 chain_call_actions[DISPATCHER_SLOTS];
	__u32 run_priorities[DISPATCHER_SLOTS];
	__u32 program_flags[DISPATCHER_SLOTS];
};

/* Filled in by libxdp before the program is loaded. */
static volatile const struct dispatcher_config dispatcher = {};

/* The compiler must not see the verdict, nor that nothing changes. */
#define SLOT(name)                                                                                 \
	__noinline int name(struct xdp_md *ctx)                                                    \
	{                                                                                          \
		volatile int verdict = DISPATCHER_GO_ON;                                           \
                                                                                                   \
		if (!ctx)                                                                          \
			return XDP_ABORTED;                                                        \
		bpf_xdp_adjust_tail(ctx, 0);                                                       \
		return verdict;                                                                    \
	}

SLOT(prog0)
SLOT(prog1)
SLOT(prog2)
SLOT(prog3)
SLOT(prog4)
SLOT(prog5)
SLOT(prog6)
SLOT(prog7)
SLOT(prog8)
SLOT(prog9)
SLOT(compat_test)

#define CALL(number)                                                                               \
	do {                                                                                       \
		if (dispatcher.programs <= (number))                                               \
			return XDP_PASS;                                                           \
		verdict = prog##number(ctx);                                                       \
		if (!(1u << verdict & dispatcher.chain_call_actions[number]))                      \
			return verdict;                                                            \
	} while (0)

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	int verdict;

	CALL(0);
	CALL(1);
	CALL(2);
	CALL(3);
	CALL(4);
	CALL(5);
	CALL(6);
	CALL(7);
	CALL(8);
	CALL(9);
	/* Never reached: libxdp's check of the kernel replaces it. */
	if (dispatcher.programs > DISPATCHER_SLOTS)
		compat_test(ctx);
	return XDP_PASS;
}

/* What that check replaces it with. */
SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
__uint(dispatcher_version, DISPATCHER_VERSION) SEC("xdp_metadata");
