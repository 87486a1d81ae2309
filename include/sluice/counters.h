/*
 * Counters of the packet plane: ids, names, verdicts and the value of the `counters` map all come
 * from counters.def. The map has one row per CPU; each reason is a field, so that a dump is
 * readable without a table beside it.
 */
#ifndef SLUICE_COUNTERS_H
#define SLUICE_COUNTERS_H

#include <sluice/types.h>

enum sluice_counter_verdict {
	COUNTER_DROP,
	COUNTER_TX,
	COUNTER_PASS,
	COUNTER_NOTE,
};

enum sluice_counter {
#define COUNTER(name, verdict, help) COUNTER_##name,
#include <sluice/counters.def>
#undef COUNTER
	COUNTER_COUNT
};

struct sluice_counters {
#define COUNTER(name, verdict, help) __u64 name;
#include <sluice/counters.def>
#undef COUNTER
};
SLUICE_SIZE(struct sluice_counters, 8 * COUNTER_COUNT);

/* Row of `listener_counters`, per CPU, index = listener id. */
struct sluice_listener_counters {
	__u64 syn;           /* SYNs let through to the kernel */
	__u64 cookies;       /* SYNs answered with a cookie */
	__u64 gate_frames;   /* frames given to the gate */
	__u64 released;      /* sockets made by the tc program */
	__u64 no_connection; /* other packets of no connection, let through */
	__u64 dropped;
	__u64 refused; /* SYNs answered with RST because no worker was alive */
	__u64 pad;
};
SLUICE_SIZE(struct sluice_listener_counters, 64);

#endif
