/* The packet plane from one process to the next: see dataplane.h. Control thread. */
#define LOG_MODULE "dataplane"
#include "dataplane/dataplane.h"

#include "bpf/sluice_reuseport.skel.h"
#include "bpf/sluice_xdp.skel.h"
#include "core/log.h"
#include "dataplane/dp_internal.h"
#include "dataplane/dp_reuseport.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int dataplane_lock_fd(const struct dataplane *dp)
{
	return dp->active ? dp->lock_fd : -1;
}

void dataplane_retire(struct dataplane *dp)
{
	if (!dp->active)
		return;
	for (size_t i = 0; i < dp->interface_count; i++) {
		dp_interface_release(dp, &dp->interfaces[i], DATAPLANE_LEAVE);
		dp_tc_release(dp, &dp->interfaces[i], DATAPLANE_LEAVE);
	}
	dp->interface_count = 0;
	dp->active = false;
	snprintf(dp->why, sizeof(dp->why), "another process has taken over");
	close(dp->lock_fd);
	dp->lock_fd = -1;
}

bool dataplane_has_own_maps(const struct dataplane *dp)
{
	return dp->active && !dp->maps_adopted;
}

static void rows_claim(struct dataplane *dp)
{
	for (uint32_t i = dp->workers_wanted; i < SLUICE_MAX_WORKERS; i++)
		__atomic_store_n(&dp->workers[i].state, WORKER_UNUSED, __ATOMIC_RELAXED);
	__atomic_store_n(&dp->settings->worker_count, dp->workers_wanted, __ATOMIC_RELAXED);
}

void dataplane_reclaim(struct dataplane *dp)
{
	if (!dp->active)
		return;
	for (size_t i = 0; i < dp->interface_count; i++) {
		struct dp_interface *interface = &dp->interfaces[i];

		if (interface->link_fd >= 0 &&
			bpf_link_update(interface->link_fd,
				bpf_program__fd(dp->xdp->progs.sluice_xdp), NULL))
			log_warn("interface %s: the program stays the other process's: %s",
				interface->name, strerror(errno));
		dp_gate_sync(dp, interface);
	}
	rows_claim(dp);
	dp_handover_update(dp);
}

void dataplane_taken(struct dataplane *dp)
{
	dp->takes_over = false;
	if (!dp->active)
		return;
	rows_claim(dp);
	dp_gate_reset(dp);
	for (size_t i = 0; i < dp->interface_count; i++)
		dp_gate_sync(dp, &dp->interfaces[i]);
	if (dp_links_remove(dp->pin_dir, dp) + dp_tc_links_remove(dp->pin_dir, dp))
		log_info("%s: links of interfaces no longer configured were detached", dp->pin_dir);
	dp_handover_update(dp);
}

void dp_reuseport_leave(struct dataplane *dp, uint32_t socket_row, uint32_t worker)
{
	uint32_t slot = socket_row * SLUICE_MAX_WORKERS + worker;

	if (dp->active)
		(void)bpf_map_delete_elem(bpf_map__fd(dp->reuseport->maps.worker_sockets), &slot);
}
