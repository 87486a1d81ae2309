/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting by reason. COUNT(syn) bumps this CPU's counter `syn` of counters.def at once.
 * DROP(reason) is only a value: the verdict with its reason above it. It is counted, and sampled,
 * in the one place where a program ends (leave.h), so that a drop can be decided anywhere and costs
 * nothing where it does not happen.
 */
#ifndef SLUICE_BPF_COUNT_H
#define SLUICE_BPF_COUNT_H

#include "maps_shared.h"

#define VERDICT_ACTION       0xff /* what the kernel is told */
#define VERDICT_REASON_SHIFT 8    /* enum sluice_counter */

static __always_inline struct sluice_counters *count_row(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&counters, &row);
}

#define COUNT(reason)                                                                              \
	({                                                                                         \
		struct sluice_counters *_row = count_row();                                        \
		if (_row)                                                                          \
			_row->reason++;                                                            \
	})

#define DROP(reason) (XDP_DROP | COUNTER_##reason << VERDICT_REASON_SHIFT)

/* The same for what is answered with RST: it is sent where the program ends. */
#define RST(reason) (XDP_TX | COUNTER_##reason << VERDICT_REASON_SHIFT)

#define PASS(reason)                                                                               \
	({                                                                                         \
		COUNT(reason);                                                                     \
		XDP_PASS;                                                                          \
	})

static __always_inline bool verdict_is_drop(int verdict)
{
	return (verdict & VERDICT_ACTION) == XDP_DROP;
}

/* A RST() that is to be sent; XDP_TX alone was sent already. */
static __always_inline bool verdict_is_rst(int verdict)
{
	return (verdict & VERDICT_ACTION) == XDP_TX && verdict != XDP_TX;
}

/* Counts a DROP() or RST(); returns its reason. */
static __always_inline __u32 count_verdict(int verdict)
{
	__u32 reason = (__u32)verdict >> VERDICT_REASON_SHIFT;
	struct sluice_counters *row = count_row();

	/* or the compiler compares what the reason was made of */
	asm volatile("" : "+r"(reason));
	if (row && reason < COUNTER_COUNT)
		((__u64 *)row)[reason]++;
	return reason;
}

#endif
