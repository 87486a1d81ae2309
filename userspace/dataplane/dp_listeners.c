/* The listeners' maps: see dp_listeners.h. Control thread. */
#include "dataplane/dp_listeners.h"

#include "bpf/sluice_xdp.skel.h"
#include "core/mem.h"
#include "dataplane/dp_guards.h"
#include "dataplane/dp_internal.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct listener_row {
	struct sluice_listener_key key;
	struct sluice_listener value;
};

static int row_build(
	const struct dp_listener *listener, struct listener_row *ret_row, struct err *err)
{
	struct sluice_listener *value = &ret_row->value;

	memset(ret_row, 0, sizeof(*ret_row));
	if (dp_address_split(&listener->address, ret_row->key.addr_be, &ret_row->key.port_be))
		return err_set(err, -EINVAL, "listener %s: address family %d is not IP",
			listener->name, listener->address.ss_family);
	if (!ret_row->key.port_be)
		return err_set(err, -EINVAL, "listener %s: port 0", listener->name);
	if (listener->protocol != IPPROTO_TCP && listener->protocol != IPPROTO_UDP)
		return err_set(err, -EINVAL, "listener %s: protocol %d is neither TCP nor UDP",
			listener->name, listener->protocol);
	if (listener->id >= SLUICE_MAX_LISTENERS || listener->socket_row >= SLUICE_MAX_LISTENERS)
		return err_set(err, -E2BIG, "listener %s: at most %d listeners are possible",
			listener->name, SLUICE_MAX_LISTENERS);
	ret_row->key.protocol = (uint8_t)listener->protocol;
	snprintf(value->name, sizeof(value->name), "%s", listener->name);
	dp_address_print(&listener->address, value->address_text);
	value->id = listener->id;
	value->state = listener->draining ? LISTENER_DRAINING : LISTENER_ACTIVE;
	value->flags = (listener->syn_mode & LISTENER_SYN_MODE) |
		       (listener->gated ? LISTENER_GATED : 0) |
		       (listener->dry_run ? LISTENER_DRY_RUN : 0);
	value->socket_base = listener->socket_row * SLUICE_MAX_WORKERS;
	for (int i = 0; i < LISTENER_LIMITS; i++)
		value->limits[i] = dp_limit_ticks(&listener->limits[i]);
	return 0;
}

static int row_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct sluice_listener_key));
}

static bool limits_eq(const struct sluice_listener *a, const struct sluice_listener *b)
{
	return memcmp(a->limits, b->limits, sizeof(a->limits)) == 0;
}

/* Rows with one id spend from the same buckets, which know one limit only. */
static int rows_check_limits(const struct listener_row *rows, size_t count, struct err *err)
{
	const struct sluice_listener *seen[SLUICE_MAX_LISTENERS] = {};

	for (size_t i = 0; i < count; i++) {
		const struct sluice_listener *row = &rows[i].value, *other = seen[row->id];

		if (other && !limits_eq(row, other))
			return err_set(err, -EINVAL,
				"listeners %s on %s and %s on %s have one id but not the same limits",
				other->name, other->address_text, row->name, row->address_text);
		seen[row->id] = row;
	}
	return 0;
}

static int rows_build(const struct dp_listener *listeners, size_t count, struct listener_row *rows,
	struct err *err)
{
	int code;

	for (size_t i = 0; i < count; i++) {
		code = row_build(&listeners[i], &rows[i], err);
		if (code)
			return code;
	}
	qsort(rows, count, sizeof(*rows), row_compare);
	for (size_t i = 1; i < count; i++)
		if (row_compare(&rows[i - 1], &rows[i]) == 0)
			return err_set(err, -EINVAL, "listeners %s and %s are both on %s",
				rows[i - 1].value.name, rows[i].value.name,
				rows[i].value.address_text);
	return rows_check_limits(rows, count, err);
}

static uint32_t gate_epoch(uint32_t flags)
{
	return flags >> LISTENER_GATE_EPOCH_SHIFT;
}

/* Notes when the gate of an address was switched: from what the map says of it before the change. */
static void rows_note_gates(
	const struct dataplane *dp, int fd, struct listener_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint32_t epoch = dp->settings->epoch + LISTENER_GATE_EPOCH_NEVER;
		struct sluice_listener *now = &rows[i].value, before;

		if (bpf_map_lookup_elem(fd, &rows[i].key, &before) == 0)
			epoch = (before.flags ^ now->flags) & LISTENER_GATED
					? dp->settings->epoch
					: gate_epoch(before.flags);
		now->flags |= epoch << LISTENER_GATE_EPOCH_SHIFT;
	}
}

/* How far ahead a row of source_buckets can be under any of these limits. */
static uint64_t rows_source_longest(const struct listener_row *rows, size_t count)
{
	static const enum listener_limit shared[] = {LIMIT_SOURCE_PACKETS, LIMIT_SOURCE_CONNECTIONS,
		LIMIT_PREFIX_PACKETS, LIMIT_PREFIX_CONNECTIONS};
	uint64_t longest = 0;

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < array_len(shared); j++) {
			const struct sluice_limit *limit = &rows[i].value.limits[shared[j]];
			uint64_t ahead = limit->ticks_burst + limit->ticks_per_token;

			longest = ahead > longest ? ahead : longest;
		}
	return longest;
}

static int rows_remove_stale(int fd, const struct listener_row *rows, size_t count, struct err *err)
{
	struct sluice_listener_key key, next;
	int code = bpf_map_get_next_key(fd, NULL, &next);

	while (code == 0) {
		key = next;
		code = bpf_map_get_next_key(fd, &key, &next);
		if (bsearch(&key, rows, count, sizeof(*rows), row_compare))
			continue;
		if (bpf_map_delete_elem(fd, &key) && errno != ENOENT)
			return err_set(
				err, -errno, "listeners map: removing a row: %s", strerror(errno));
	}
	return 0;
}

static int rows_write(int fd, const struct listener_row *rows, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		if (bpf_map_update_elem(fd, &rows[i].key, &rows[i].value, BPF_ANY))
			return err_set(err, -errno, "listeners map: %s on %s: %s",
				rows[i].value.name, rows[i].value.address_text, strerror(errno));
	return 0;
}

static uint8_t row_port_flag(const struct sluice_listener_key *key)
{
	if (key->addr_be[0] || key->addr_be[1] || key->addr_be[3])
		return LISTENER_PORT_EXACT;
	if (!key->addr_be[2])
		return LISTENER_PORT_ANY_V6;
	return key->addr_be[2] == htonl(0xffff) ? LISTENER_PORT_ANY_V4 : LISTENER_PORT_EXACT;
}

static int ports_write(int fd, const struct listener_row *rows, size_t count, struct err *err)
{
	struct sluice_listener_ports *ports = mem_zalloc(sizeof(*ports) * LISTENER_PORTS_ROWS);
	int code = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t row = rows[i].key.protocol == IPPROTO_UDP ? LISTENER_PORTS_UDP
								   : LISTENER_PORTS_TCP;

		ports[row].flags[ntohs(rows[i].key.port_be)] |= row_port_flag(&rows[i].key);
	}
	for (uint32_t row = 0; row < LISTENER_PORTS_ROWS && !code; row++)
		if (bpf_map_update_elem(fd, &row, &ports[row], BPF_ANY))
			code = err_set(err, -errno, "listener_ports map: %s", strerror(errno));
	free(ports);
	return code;
}

static struct sluice_guard guard_of(const struct listener_row *row)
{
	struct sluice_guard guard = {
		.key = row->key, .id = row->value.id, .flags = row->value.flags};

	memcpy(guard.limits, row->value.limits, sizeof(guard.limits));
	return guard;
}

static bool is_gated(const struct listener_row *row)
{
	return row->value.flags & LISTENER_GATED && row->key.protocol == IPPROTO_TCP;
}

/* One row with port 0 for each address that has a gated listener; rows of one address lie side by
 * side. Returns how many; `ret_rows` may be NULL. */
static size_t fragment_rows(
	const struct listener_row *rows, size_t count, struct listener_row *ret_rows)
{
	const struct listener_row *last = NULL;
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		if (!is_gated(&rows[i]))
			continue;
		if (last && memcmp(last->key.addr_be, rows[i].key.addr_be,
				    sizeof(last->key.addr_be)) == 0)
			continue;
		last = &rows[i];
		if (ret_rows) {
			ret_rows[found] = rows[i];
			ret_rows[found].key.port_be = 0;
		}
		found++;
	}
	return found;
}

static int guards_write(
	struct dataplane *dp, const struct listener_row *rows, size_t count, struct err *err)
{
	struct sluice_guard *guards = mem_zalloc(sizeof(*guards) * (count + 1));
	int code;

	for (size_t i = 0; i < count; i++)
		guards[i] = guard_of(&rows[i]);
	code = dp_guards_set(dp, guards, count, err);
	free(guards);
	return code;
}

/* What the XDP program reads: the listeners and the rows for their fragments. */
static int tables_write(
	struct dataplane *dp, struct listener_row *rows, size_t count, struct err *err)
{
	int code;

	__atomic_store_n(
		&dp->settings->source_longest, rows_source_longest(rows, count), __ATOMIC_RELAXED);
	count += fragment_rows(rows, count, rows + count);
	code = guards_write(dp, rows, count, err);
	if (code)
		return code;
	return ports_write(bpf_map__fd(dp->xdp->maps.listener_ports), rows, count, err);
}

int dp_listeners_set(
	struct dataplane *dp, const struct dp_listener *listeners, size_t count, struct err *err)
{
	struct listener_row *rows;
	int code, fd;

	if (count > SLUICE_MAX_LISTENERS)
		return err_set(err, -E2BIG, "%zu listeners: at most %d are possible", count,
			SLUICE_MAX_LISTENERS);
	rows = mem_zalloc(sizeof(*rows) * 2 * (count + 1));
	code = rows_build(listeners, count, rows, err);
	if (!code && count + fragment_rows(rows, count, NULL) > SLUICE_MAX_LISTENERS)
		code = err_set(err, -E2BIG,
			"%zu listeners, and one row for each of the %zu addresses of gated ones: "
			"at most %d are possible",
			count, fragment_rows(rows, count, NULL), SLUICE_MAX_LISTENERS);
	if (code || !dp->active)
		goto out;
	fd = bpf_map__fd(dp->xdp->maps.listeners);
	rows_note_gates(dp, fd, rows, count);
	code = rows_remove_stale(fd, rows, count, err);
	if (!code)
		code = rows_write(fd, rows, count, err);
	if (!code)
		code = tables_write(dp, rows, count, err);
out:
	free(rows);
	return code;
}

int dp_listener_counts(const struct dataplane *dp, uint32_t id,
	struct dp_listener_counts *ret_counts, struct err *err)
{
	struct sluice_listener_counters *rows;
	int cpus = libbpf_num_possible_cpus(), code = 0;

	*ret_counts = (struct dp_listener_counts){};
	if (!dp->active)
		return 0;
	if (cpus < 0)
		return err_set(err, cpus, "number of CPUs: %s", strerror(-cpus));
	rows = mem_zalloc(sizeof(*rows) * (size_t)cpus);
	if (bpf_map_lookup_elem(bpf_map__fd(dp->xdp->maps.listener_counters), &id, rows))
		code = err_set(err, -errno, "listener_counters row %u: %s", id, strerror(errno));
	for (int i = 0; i < cpus && !code; i++) {
		ret_counts->syn += rows[i].syn;
		ret_counts->cookies += rows[i].cookies;
		ret_counts->gate_frames += rows[i].gate_frames;
		ret_counts->released += rows[i].released;
		ret_counts->no_connection += rows[i].no_connection;
		ret_counts->dropped += rows[i].dropped;
		ret_counts->refused += rows[i].refused;
	}
	free(rows);
	return code;
}
