/* Heartbeat rows: see dp_heartbeat.h. Control thread. */
#include "dataplane/dp_heartbeat.h"

#include "dataplane/dp_internal.h"

#include <errno.h>
#include <unistd.h>

int dp_heartbeat_open(
	struct dataplane *dp, uint32_t worker, struct dp_heartbeat *ret_heartbeat, struct err *err)
{
	struct sluice_worker *row;

	if (worker >= SLUICE_MAX_WORKERS)
		return err_set(err, -EINVAL, "worker %u: at most %d are possible", worker,
			SLUICE_MAX_WORKERS);
	row = dp->active ? &dp->workers[worker] : NULL;
	*ret_heartbeat = (struct dp_heartbeat){.row = row};
	if (!row)
		return 0;
	row->pid = (uint32_t)getpid();
	dp_heartbeat_stamp(ret_heartbeat, dp_heartbeat_now_ns());
	__atomic_store_n(&row->state, WORKER_RUNNING, __ATOMIC_RELEASE);
	return 0;
}

void dp_heartbeat_stop(struct dp_heartbeat *heartbeat)
{
	if (heartbeat->row)
		__atomic_store_n(&heartbeat->row->state, WORKER_STOPPING, __ATOMIC_RELEASE);
	heartbeat->row = NULL;
}
