/* The packet plane from one process to the next: see dataplane.h. Control thread. */
#define LOG_MODULE "dataplane"
#include "dataplane/dataplane.h"

#include "bpf/sluice_release.skel.h"
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

/* Whoever had them in between may have said that it stops. */
static void rows_claim(struct dataplane *dp)
{
	for (uint32_t i = 0; i < dp->workers_wanted; i++) {
		dp->workers[i].pid = (uint32_t)getpid();
		__atomic_store_n(&dp->workers[i].state, WORKER_RUNNING, __ATOMIC_RELEASE);
	}
	for (uint32_t i = dp->workers_wanted; i < SLUICE_MAX_WORKERS; i++)
		__atomic_store_n(&dp->workers[i].state, WORKER_UNUSED, __ATOMIC_RELAXED);
	__atomic_store_n(&dp->settings->worker_count, dp->workers_wanted, __ATOMIC_RELAXED);
}

static void program_set(
	const struct dp_interface *interface, int link_fd, const struct bpf_program *program)
{
	if (link_fd >= 0 && bpf_link_update(link_fd, bpf_program__fd(program), NULL))
		log_warn("interface %s: the program stays the other process's: %s", interface->name,
			strerror(errno));
}

/* The tc program first: whatever XDP marks finds one that knows the mark. */
static void programs_set(struct dataplane *dp)
{
	for (size_t i = 0; i < dp->interface_count; i++) {
		const struct dp_interface *interface = &dp->interfaces[i];

		if (dp->release)
			program_set(interface, interface->tc_link_fd,
				dp->release->progs.sluice_release_link);
		program_set(interface, interface->link_fd, dp->xdp->progs.sluice_xdp);
	}
}

void dataplane_reclaim(struct dataplane *dp)
{
	if (!dp->active)
		return;
	programs_set(dp);
	if (dp->tun_link_fd >= 0 &&
		bpf_link_update(dp->tun_link_fd,
			bpf_program__fd(dp->release->progs.sluice_release_tun), NULL))
		log_warn("the tc program on the TUN device: %s", strerror(errno));
	dp_maps_repin(dp);
	for (size_t i = 0; i < dp->interface_count; i++)
		dp_gate_sync(dp, &dp->interfaces[i]);
	rows_claim(dp);
	dp_handover_update(dp);
}

void dataplane_taken(struct dataplane *dp)
{
	dp->takes_over = false;
	if (!dp->active)
		return;
	dp_gate_inherit(dp);
	for (size_t i = 0; i < dp->interface_count; i++)
		dp_gate_sync(dp, &dp->interfaces[i]);
	if (dp_links_remove(dp->pin_dir, dp) + dp_tc_links_remove(dp->pin_dir, dp))
		log_info("%s: links of interfaces no longer configured were detached", dp->pin_dir);
	dp_handover_update(dp);
}

void dataplane_settle(struct dataplane *dp)
{
	if (!dp->active)
		return;
	rows_claim(dp);
	if (!dp->is_aside)
		return;
	programs_set(dp);
	dp_maps_unpin(dp->pin_dir);
	dp->is_aside = false;
	dp_maps_repin(dp);
	dp_maps_unpin_aside(dp->pin_dir);
}

void dp_secrets_give(const struct dataplane *dp, struct dp_secrets *ret_secrets)
{
	*ret_secrets = (struct dp_secrets){.has = dp->active};
	if (!dp->active)
		return;
	memcpy(ret_secrets->cookies.keys, sluice_cookie_secret_of(dp->settings)->keys,
		sizeof(ret_secrets->cookies.keys));
	ret_secrets->meta_magic = dp->settings->meta_magic;
}

void dp_secrets_take(struct dataplane *dp, const struct dp_secrets *secrets)
{
	if (!dp->active || !secrets->has)
		return;
	dp_cookies_set(dp, &secrets->cookies);
	dp->settings->meta_magic = secrets->meta_magic;
}

void dp_reuseport_leave(struct dataplane *dp, uint32_t socket_row, uint32_t worker)
{
	uint32_t slot = socket_row * SLUICE_MAX_WORKERS + worker;

	if (dp->active)
		(void)bpf_map_delete_elem(bpf_map__fd(dp->reuseport->maps.worker_sockets), &slot);
}
