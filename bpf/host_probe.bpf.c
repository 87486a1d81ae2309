/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the host check loads to see whether one program may replace a function of another
 * (freplace), which is what running beside other XDP programs needs. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

__noinline int probe_slot(struct xdp_md *ctx)
{
	volatile int verdict = XDP_PASS;

	return ctx ? verdict : XDP_ABORTED;
}

SEC("xdp")
int probe_dispatcher(struct xdp_md *ctx)
{
	return probe_slot(ctx);
}

SEC("freplace/probe_slot")
int probe_replacement(struct xdp_md *ctx)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
