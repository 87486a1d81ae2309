/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Somebody else's XDP program, for the tests of sharing an interface: runs after ours (priority),
 * counts what reaches it and passes it on. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

/* libxdp reads priority and the verdicts after which the next program runs from this type. */
struct {
	int (*priority)[60];
	int (*XDP_PASS)[1];
} _xdp_neighbour SEC(".xdp_run_config");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} neighbour_seen SEC(".maps");

SEC("xdp.frags")
int xdp_neighbour(struct xdp_md *ctx)
{
	__u32 row = 0;
	__u64 *seen = bpf_map_lookup_elem(&neighbour_seen, &row);

	if (seen)
		__sync_fetch_and_add(seen, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
