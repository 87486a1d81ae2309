/* Reading the counters: see dp_counters.h. */
#include "dataplane/dp_counters.h"

#include "bpf/sluice_xdp.skel.h"
#include "core/mem.h"
#include "dataplane/dp_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct dp_counter table[] = {
#define COUNTER(name, verdict, help) [COUNTER_##name] = {#name, COUNTER_##verdict, help},
#include <sluice/counters.def>
#undef COUNTER
};

const struct dp_counter *dp_counter_describe(enum sluice_counter id)
{
	return &table[id];
}

const char *dp_counter_verdict_name(enum sluice_counter_verdict verdict)
{
	static const char *const names[] = {
		[COUNTER_DROP] = "drop",
		[COUNTER_TX] = "tx",
		[COUNTER_PASS] = "pass",
		[COUNTER_NOTE] = "note",
	};

	return (unsigned int)verdict < array_len(names) ? names[verdict] : "unknown";
}

int dp_counters_read(const struct dataplane *dp, struct dp_counters *ret_counters, struct err *err)
{
	int cpus = libbpf_num_possible_cpus(), code = 0;
	uint32_t zero = 0;
	uint64_t *rows;

	memset(ret_counters, 0, sizeof(*ret_counters));
	if (!dp->active)
		return 0;
	if (cpus < 0)
		return err_set(err, cpus, "number of CPUs: %s", strerror(-cpus));
	rows = mem_zalloc(sizeof(struct sluice_counters) * (size_t)cpus);
	if (bpf_map_lookup_elem(bpf_map__fd(dp->xdp->maps.counters), &zero, rows))
		code = err_set(err, -errno, "counters map: %s", strerror(errno));
	for (int cpu = 0; cpu < cpus && !code; cpu++)
		for (int id = 0; id < COUNTER_COUNT; id++)
			ret_counters->value[id] += rows[cpu * COUNTER_COUNT + id];
	free(rows);
	return code;
}
