/* The `backends` and `target_groups` maps: see dp_backends.h. Control thread. */
#include "dataplane/dp_backends.h"

#include "bpf/sluice_xdp.skel.h"
#include "dataplane/dp_internal.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const state_names[] = {
#define STATE(id, name) [BACKEND_##id] = name,
#include <sluice/backend.def>
#undef STATE
};

static const char *const reason_names[] = {
#define REASON(id, name, help) [WHY_##id] = name,
#include <sluice/backend.def>
#undef REASON
};

const char *dp_backend_state_name(enum backend_state state)
{
	return (unsigned int)state < BACKEND_STATE_COUNT ? state_names[state] : "unknown";
}

const char *dp_backend_reason_name(enum backend_reason reason)
{
	return (unsigned int)reason < WHY_COUNT ? reason_names[reason] : "unknown";
}

static int row_set(const struct bpf_map *map, uint32_t id, const void *value, struct err *err)
{
	if (bpf_map_update_elem(bpf_map__fd(map), &id, value, BPF_ANY) == 0)
		return 0;
	if (errno == E2BIG)
		return err_set(err, -E2BIG, "%s map is full (%u rows)", bpf_map__name(map),
			bpf_map__max_entries(map));
	return err_set(err, -errno, "%s map, row %u: %s", bpf_map__name(map), id, strerror(errno));
}

static int row_del(const struct bpf_map *map, uint32_t id, struct err *err)
{
	if (bpf_map_delete_elem(bpf_map__fd(map), &id) && errno != ENOENT)
		return err_set(
			err, -errno, "%s map, row %u: %s", bpf_map__name(map), id, strerror(errno));
	return 0;
}

static bool id_listed(uint32_t id, const uint32_t *ids, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static int rows_retain(
	const struct bpf_map *map, const uint32_t *ids, size_t count, struct err *err)
{
	uint32_t id, next;
	int fd = bpf_map__fd(map), code = 0;
	int end = bpf_map_get_next_key(fd, NULL, &next);

	while (!end && !code) {
		id = next;
		end = bpf_map_get_next_key(fd, &id, &next);
		if (!id_listed(id, ids, count))
			code = row_del(map, id, err);
	}
	return code;
}

int dp_backend_set(struct dataplane *dp, const struct dp_backend *backend, struct err *err)
{
	struct sluice_backend value = {
		.state = backend->state,
		.reason = backend->reason,
		.group_id = backend->group_id,
		.weight = backend->weight,
		.successes = backend->successes,
		.failures = backend->failures,
		.latency_us = backend->latency_us,
		.last_change_unix_s = backend->last_change_unix_s,
		.checks = backend->checks,
		.checks_failed = backend->checks_failed,
	};

	if (backend->id >= SLUICE_MAX_BACKENDS)
		return err_set(err, -E2BIG, "backend %u: at most %d are possible", backend->id,
			SLUICE_MAX_BACKENDS);
	if (dp_address_split(&backend->address, value.addr_be, &value.port_be))
		return err_set(err, -EINVAL, "backend %u: address family %d is not IP", backend->id,
			backend->address.ss_family);
	if (!dp->active)
		return 0;
	value.port = ntohs(value.port_be);
	dp_address_print(&backend->address, value.address_text);
	snprintf(value.group, sizeof(value.group), "%s", backend->group);
	return row_set(dp->xdp->maps.backends, backend->id, &value, err);
}

int dp_backend_del(struct dataplane *dp, uint32_t id, struct err *err)
{
	return dp->active ? row_del(dp->xdp->maps.backends, id, err) : 0;
}

int dp_group_set(struct dataplane *dp, const struct dp_group *group, struct err *err)
{
	struct sluice_target_group value = {
		.protocol = group->protocol,
		.algorithm = group->algorithm,
		.healthy = group->state_counts[BACKEND_HEALTHY],
		.unhealthy = group->state_counts[BACKEND_UNHEALTHY],
		.initial = group->state_counts[BACKEND_INITIAL],
		.draining = group->state_counts[BACKEND_DRAINING],
		.unused = group->state_counts[BACKEND_UNUSED],
	};

	if (group->id >= SLUICE_MAX_GROUPS)
		return err_set(err, -E2BIG, "target group %s: at most %d are possible", group->name,
			SLUICE_MAX_GROUPS);
	if (!dp->active)
		return 0;
	for (int state = 0; state < BACKEND_STATE_COUNT; state++)
		value.targets += group->state_counts[state];
	snprintf(value.name, sizeof(value.name), "%s", group->name);
	return row_set(dp->xdp->maps.target_groups, group->id, &value, err);
}

int dp_backends_retain(struct dataplane *dp, const uint32_t *ids, size_t count, struct err *err)
{
	return dp->active ? rows_retain(dp->xdp->maps.backends, ids, count, err) : 0;
}

int dp_groups_retain(struct dataplane *dp, const uint32_t *ids, size_t count, struct err *err)
{
	return dp->active ? rows_retain(dp->xdp->maps.target_groups, ids, count, err) : 0;
}
