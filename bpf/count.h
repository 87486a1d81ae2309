/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting by reason. COUNT(syn) bumps this CPU's counter `syn` of counters.def. */
#ifndef SLUICE_BPF_COUNT_H
#define SLUICE_BPF_COUNT_H

#include "maps_shared.h"

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

#define DROP(reason)                                                                               \
	({                                                                                         \
		COUNT(reason);                                                                     \
		XDP_DROP;                                                                          \
	})

#define PASS(reason)                                                                               \
	({                                                                                         \
		COUNT(reason);                                                                     \
		XDP_PASS;                                                                          \
	})

#endif
