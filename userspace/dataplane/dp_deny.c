/*
 * Deny and allow lists: slots, and the order in which a change goes through them. The structure of
 * the lists is that of <sluice/deny.h>. A change is laid into the slot that is not in force; one
 * store puts it in force; the slot it replaced is emptied once no packet can be looking at it.
 * Threads: see dp_deny.h.
 */
#define LOG_MODULE "dataplane"
#include "bpf/sluice_xdp.skel.h"
#include "core/log.h"
#include "core/mem.h"
#include "dataplane/dp_deny_internal.h"
#include "dataplane/dp_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct dp_lists {
	uint32_t state; /* for settings.deny_state */
	bool installed;
	size_t bytes;
	struct deny_family v4[LIST_KINDS], v6[LIST_KINDS];
	struct deny_hits *hits; /* NULL: not counted */
};

int deny_map_new(const char *name, size_t value_bytes, size_t rows, uint32_t flags,
	struct deny_map *ret_map, struct err *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	size_t page = (size_t)sysconf(_SC_PAGESIZE), stride = (value_bytes + 7) & ~(size_t)7;
	struct deny_map map = {.bytes = (stride * rows + page - 1) / page * page};
	int code;

	map.fd = rows > UINT32_MAX ? -E2BIG
				   : bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(uint32_t),
					     (uint32_t)value_bytes, (uint32_t)rows, &opts);
	if (map.fd < 0)
		return err_set(err, map.fd, "map %s of %zu MiB: %s", name, map.bytes >> 20,
			strerror(-map.fd));
	map.rows = mmap(NULL, map.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map.fd, 0);
	if (map.rows == MAP_FAILED) {
		code = -errno;
		close(map.fd);
		return err_set(err, code, "map %s into memory: %s", name, strerror(-code));
	}
	*ret_map = map;
	return 0;
}

void deny_map_free(struct deny_map *map)
{
	if (map->fd < 0)
		return;
	munmap(map->rows, map->bytes);
	close(map->fd);
	*map = DENY_MAP_NONE;
}

static bool has_family(const struct dp_prefix *prefixes, size_t count, bool v6)
{
	for (size_t i = 0; i < count; i++)
		if (prefixes[i].v6 == v6)
			return true;
	return false;
}

static int kind_build(struct dp_lists *lists, enum list_kind kind, const struct dp_prefix *prefixes,
	size_t count, struct err *err)
{
	int code = 0;

	if (has_family(prefixes, count, false)) {
		code = deny_v4_build(prefixes, count, &lists->v4[kind], err);
		lists->state |= kind == LIST_DENY ? DENY_HAS_V4 : ALLOW_HAS_V4;
	}
	if (!code && has_family(prefixes, count, true)) {
		code = deny_v6_build(prefixes, count, &lists->v6[kind], err);
		lists->state |= kind == LIST_DENY ? DENY_HAS_V6 : ALLOW_HAS_V6;
	}
	lists->bytes += lists->v4[kind].index.bytes + lists->v4[kind].rows.bytes +
			lists->v6[kind].index.bytes + lists->v6[kind].rows.bytes;
	return code ? err_context(err, code, "%s list", kind == LIST_DENY ? "deny" : "allow") : 0;
}

/* Row of a map of maps; fd < 0: emptied, where it is not. The kernel comes back from a change when
 * every packet that may have seen the row before has been judged. */
static int row_put(const struct bpf_map *outer, uint32_t row, int fd, struct err *err)
{
	int map = bpf_map__fd(outer), code = 0;
	uint32_t id;

	if (fd >= 0)
		code = bpf_map_update_elem(map, &row, &fd, BPF_ANY);
	else if (bpf_map_lookup_elem(map, &row, &id) == 0)
		code = bpf_map_delete_elem(map, &row);
	return code ? err_set(err, code, "map %s, row %u: %s", bpf_map__name(outer), row,
			      strerror(-code))
		    : 0;
}

/* Waits until no packet is judged any more by what settings.deny_state was before. */
static int fence(struct dataplane *dp, struct err *err)
{
	struct deny_map map = DENY_MAP_NONE;
	int code;

	if (!dp->lists_unfenced)
		return 0;
	code = deny_map_new("fence", sizeof(union sluice_list_v4_row), 1,
		BPF_F_MMAPABLE | BPF_F_INNER_MAP, &map, err);
	if (code)
		return code;
	code = row_put(dp->xdp->maps.deny_v4_rows, SLUICE_LIST_FENCE, map.fd, err);
	deny_map_free(&map);
	dp->lists_unfenced = code != 0;
	return code;
}

static int kind_stage(struct dataplane *dp, const struct dp_lists *lists, enum list_kind kind,
	uint32_t slot, struct err *err)
{
	uint32_t row = kind * SLUICE_LIST_SLOTS + slot;
	int code = row_put(dp->xdp->maps.deny_v4, row, lists->v4[kind].index.fd, err);

	if (!code)
		code = row_put(dp->xdp->maps.deny_v4_rows, row, lists->v4[kind].rows.fd, err);
	if (!code)
		code = row_put(dp->xdp->maps.deny_v6, row, lists->v6[kind].index.fd, err);
	if (!code)
		code = row_put(dp->xdp->maps.deny_v6_rows, row, lists->v6[kind].rows.fd, err);
	return code;
}

/* `lists` without maps empties the slot. Nothing may be looking at it. */
static int slot_stage(
	struct dataplane *dp, const struct dp_lists *lists, uint32_t slot, struct err *err)
{
	int code = kind_stage(dp, lists, LIST_DENY, slot, err);

	if (!code)
		code = kind_stage(dp, lists, LIST_ALLOW, slot, err);
	if (!code)
		code = row_put(dp->xdp->maps.deny_hits_v4, slot,
			lists->hits ? lists->hits->v4_fd : -1, err);
	if (!code)
		code = row_put(dp->xdp->maps.deny_hits_v6, slot,
			lists->hits ? lists->hits->v6_fd : -1, err);
	return code;
}

static struct dp_lists *lists_new(void)
{
	struct dp_lists *lists = mem_zalloc(sizeof(*lists));

	for (int kind = 0; kind < LIST_KINDS; kind++)
		lists->v4[kind] = lists->v6[kind] =
			(struct deny_family){DENY_MAP_NONE, DENY_MAP_NONE};
	return lists;
}

/* The kernel's maps of maps hold on to what is in them. */
static void lists_maps_free(struct dp_lists *lists)
{
	for (int kind = 0; kind < LIST_KINDS; kind++) {
		deny_map_free(&lists->v4[kind].index);
		deny_map_free(&lists->v4[kind].rows);
		deny_map_free(&lists->v6[kind].index);
		deny_map_free(&lists->v6[kind].rows);
	}
}

static int lists_fill(struct dataplane *dp, const struct dp_lists_spec *spec,
	struct dp_lists *lists, struct err *err)
{
	uint32_t slot = !(dp->settings->deny_state & DENY_SLOT);
	int code;

	code = kind_build(lists, LIST_DENY, spec->deny, spec->deny_count, err);
	if (!code)
		code = kind_build(lists, LIST_ALLOW, spec->allow, spec->allow_count, err);
	if (!code && spec->hits)
		code = deny_hits_new(spec->deny, spec->deny_count, &lists->hits, err);
	if (!code)
		code = fence(dp, err);
	if (!code)
		code = slot_stage(dp, lists, slot, err);
	lists->state |= slot | (spec->hits ? DENY_HITS : 0);
	lists_maps_free(lists);
	return code;
}

int dp_lists_build(struct dataplane *dp, const struct dp_lists_spec *spec,
	struct dp_lists **ret_lists, struct err *err)
{
	struct dp_lists *lists;
	int code = 0;

	if (__atomic_exchange_n(&dp->lists_busy, true, __ATOMIC_ACQUIRE)) {
		err_set(err, -EBUSY, "another change of the lists is under way");
		return -EBUSY;
	}
	lists = lists_new();
	if (dp->active)
		code = lists_fill(dp, spec, lists, err);
	if (code) {
		dp_lists_free(dp, lists);
		return code;
	}
	*ret_lists = lists;
	return 0;
}

void dp_lists_install(struct dataplane *dp, struct dp_lists *lists)
{
	if (!dp->active)
		return;
	dp->lists_unfenced = true;
	__atomic_store_n(&dp->settings->deny_state, lists->state, __ATOMIC_RELEASE);
	lists->installed = true;
}

/* What the earlier tries counted is final now. */
static void hits_take(struct dataplane *dp, struct dp_lists *lists)
{
	struct err err = {};

	if (dp->deny_hits && lists->hits && deny_hits_carry(lists->hits, dp->deny_hits, &err))
		log_warn("lists: %s", err.text);
	deny_hits_free(dp->deny_hits);
	dp->deny_hits = lists->hits;
	lists->hits = NULL;
}

void dp_lists_free(struct dataplane *dp, struct dp_lists *lists)
{
	static const struct dp_lists none = {
		.v4 = {{{-1}, {-1}}, {{-1}, {-1}}}, .v6 = {{{-1}, {-1}}, {{-1}, {-1}}}};
	struct err err = {};
	int code = 0;

	if (!lists)
		return;
	if (lists->installed)
		code = fence(dp, &err);
	if (!code && lists->installed)
		hits_take(dp, lists);
	/* the slot not in force: the one that was replaced, or what was built for nothing */
	if (!code && dp->active)
		code = slot_stage(dp, &none, !(dp->settings->deny_state & DENY_SLOT), &err);
	if (code)
		log_warn("lists: %s", err.text);
	deny_hits_free(lists->hits);
	lists_maps_free(lists);
	free(lists);
	__atomic_store_n(&dp->lists_busy, false, __ATOMIC_RELEASE);
}

size_t dp_lists_bytes(const struct dp_lists *lists)
{
	return lists->bytes;
}

int dp_lists_set(struct dataplane *dp, const struct dp_lists_spec *spec, struct err *err)
{
	struct dp_lists *lists = NULL;
	int code = dp_lists_build(dp, spec, &lists, err);

	if (code)
		return code;
	dp_lists_install(dp, lists);
	dp_lists_free(dp, lists);
	return 0;
}

int dp_deny_hits_read(struct dataplane *dp,
	void (*each)(void *arg, const struct dp_deny_hits *hits), void *arg, struct err *err)
{
	return dp->deny_hits ? deny_hits_each(dp->deny_hits, each, arg, err) : 0;
}

void dp_lists_close(struct dataplane *dp)
{
	deny_hits_free(dp->deny_hits);
	dp->deny_hits = NULL;
}
