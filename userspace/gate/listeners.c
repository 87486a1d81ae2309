/* Addresses of listeners: see listeners.h. */
#include "gate/listeners.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

struct listeners_key {
	__u32 addr_be[4]; /* IPv4 mapped */
	__u32 port_be;
};

struct listeners_row {
	struct listeners_key key;
	bool used;
	struct gate_listener listener;
};

enum { ROWS_MIN = 8 };

void listeners_init(struct listeners *listeners)
{
	*listeners = (struct listeners){
		.rows = mem_zalloc(ROWS_MIN * sizeof(struct listeners_row)), .mask = ROWS_MIN - 1};
}

void listeners_fini(struct listeners *listeners)
{
	free(listeners->rows);
	*listeners = (struct listeners){0};
}

/* Addresses of our own: nobody else chooses them, so the hash has no key. */
static uint32_t hash(const struct listeners_key *key)
{
	uint64_t sum = key->port_be;
	int i;

	for (i = 0; i < 4; i++)
		sum = (sum ^ key->addr_be[i]) * 0x9e3779b97f4a7c15ull;
	return (uint32_t)(sum >> 32);
}

/* Its row, or the empty one where it belongs. */
static struct listeners_row *seek(
	const struct listeners *listeners, const struct listeners_key *key)
{
	uint32_t at = hash(key) & listeners->mask;
	struct listeners_row *row = &listeners->rows[at];

	while (row->used && memcmp(&row->key, key, sizeof(*key)) != 0) {
		at = (at + 1) & listeners->mask;
		row = &listeners->rows[at];
	}
	return row;
}

void listeners_set(struct listeners *listeners, const struct gate_listener *rows, size_t count)
{
	struct listeners_row *row;
	struct listeners_key key;
	uint32_t size = ROWS_MIN;
	size_t i;

	while (size < 2 * count)
		size *= 2;
	free(listeners->rows);
	listeners->rows = mem_zalloc(size * sizeof(*row));
	listeners->mask = size - 1;
	for (i = 0; i < count; i++) {
		addr_to_mapped(&rows[i].local, (uint8_t *)key.addr_be);
		key.port_be = htons(addr_port(&rows[i].local));
		row = seek(listeners, &key);
		*row = (struct listeners_row){key, true, rows[i]};
	}
}

const struct gate_listener *listeners_find(
	const struct listeners *listeners, const struct sluice_cookie_tuple *tuple)
{
	struct listeners_key key = {.port_be = tuple->to_port_be};
	const struct listeners_row *row;

	memcpy(key.addr_be, tuple->to_be, sizeof(key.addr_be));
	row = seek(listeners, &key);
	if (row->used)
		return &row->listener;
	memset(key.addr_be, 0, sizeof(key.addr_be));
	if (!tuple->v6)
		key.addr_be[2] = htonl(0xffff);
	row = seek(listeners, &key);
	return row->used ? &row->listener : NULL;
}
