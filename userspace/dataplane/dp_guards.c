/*
 * Building `listener_table`, the listeners as the XDP program looks them up (<sluice/listener.h>),
 * and swapping it in whole. Control thread.
 */
#include "dataplane/dp_guards.h"

#include "bpf/sluice_xdp.skel.h"
#include "core/hash.h"
#include "core/mem.h"
#include "dataplane/dp_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	/* With all rows in use one draw in ten million has a cell with too many guards. */
	GUARD_DRAWS = 16,
};

_Static_assert(SLUICE_MAX_LISTENERS * 4 <= SLUICE_GUARD_CELLS, "cells would hold too many guards");

struct guard_place {
	uint32_t cell;
	size_t index; /* of the guard in the caller's array */
};

static uint32_t guard_cell(const struct sluice_guard_table *table, const struct sluice_guard *guard)
{
	__u64 words[3];

	_Static_assert(sizeof(words) == sizeof(guard->key), "a key is three words");
	memcpy(words, &guard->key, sizeof(words));
	return sluice_guard_cell(table->factors, words);
}

static int place_compare(const void *a, const void *b)
{
	const struct guard_place *left = a, *right = b;

	return (left->cell > right->cell) - (left->cell < right->cell);
}

static void factors_draw(struct sluice_guard_table *table)
{
	hash_random(table->factors, sizeof(table->factors));
	for (size_t i = 0; i < array_len(table->factors); i++)
		table->factors[i] |= 1;
}

/* Draws factors and sorts the guards by cell. False: some cell has too many of them. */
static bool places_try(struct sluice_guard_table *table, const struct sluice_guard *guards,
	size_t count, struct guard_place *places)
{
	factors_draw(table);
	for (size_t i = 0; i < count; i++)
		places[i] = (struct guard_place){guard_cell(table, &guards[i]), i};
	qsort(places, count, sizeof(*places), place_compare);
	for (size_t i = SLUICE_GUARD_CHAIN; i < count; i++)
		if (places[i].cell == places[i - SLUICE_GUARD_CHAIN].cell)
			return false;
	return true;
}

static void table_fill(struct sluice_guard_table *table, const struct sluice_guard *guards,
	size_t count, const struct guard_place *places)
{
	for (size_t row = 0; row < count; row++) {
		uint32_t cell = places[row].cell;

		table->guards[row] = guards[places[row].index];
		if (row + 1 == count || places[row + 1].cell != cell)
			table->guards[row].flags |= LISTENER_LAST_OF_CELL;
		if (!table->first[cell])
			table->first[cell] = (__u16)(row + 1);
	}
}

static int table_build(struct sluice_guard_table *table, const struct sluice_guard *guards,
	size_t count, struct err *err)
{
	struct guard_place *places = mem_zalloc((count + 1) * sizeof(*places));
	int draws = 0, code = 0;

	while (!places_try(table, guards, count, places) && ++draws < GUARD_DRAWS)
		;
	if (draws == GUARD_DRAWS)
		code = err_set(
			err, -EAGAIN, "listener_table: no hash spreads the %zu listeners", count);
	else
		table_fill(table, guards, count, places);
	free(places);
	return code;
}

int dp_guards_set(
	struct dataplane *dp, const struct sluice_guard *guards, size_t count, struct err *err)
{
	struct sluice_guard_table *table = mem_zalloc(sizeof(*table));
	uint32_t slot = !dp->settings->guard_slot;
	int code = table_build(table, guards, count, err);

	if (code)
		goto out;
	/* No packet may still be reading the table before last; on failure one that has been under
	 * way since then may be judged by the wrong limits, no more. */
	(void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	if (bpf_map_update_elem(bpf_map__fd(dp->xdp->maps.listener_table), &slot, table, BPF_ANY))
		code = err_set(err, -errno, "listener_table map: %s", strerror(errno));
	else
		__atomic_store_n(&dp->settings->guard_slot, slot, __ATOMIC_RELEASE);
out:
	free(table);
	return code;
}
