/* Numbers lent out: see ids.h. A bitmap under a mutex; control and loader thread only meet here. */
#include "control/ids.h"
#include "core/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct ids {
	pthread_mutex_t lock;
	uint32_t n;
	uint64_t taken[];
};

struct ids *ids_new(uint32_t n)
{
	struct ids *ids = mem_zalloc(sizeof(*ids) + (n / 64 + 1) * sizeof(uint64_t));

	pthread_mutex_init(&ids->lock, NULL);
	ids->n = n;
	return ids;
}

void ids_free(struct ids *ids)
{
	if (!ids)
		return;
	pthread_mutex_destroy(&ids->lock);
	free(ids);
}

int ids_get(struct ids *ids, uint32_t *ret_id)
{
	uint32_t word, id;
	int r = -ENOSPC;

	pthread_mutex_lock(&ids->lock);
	for (word = 0; word <= ids->n / 64; word++) {
		if (ids->taken[word] == UINT64_MAX)
			continue;
		id = word * 64 + (uint32_t)__builtin_ctzll(~ids->taken[word]);
		if (id < ids->n) {
			ids->taken[word] |= 1ull << (id & 63);
			*ret_id = id;
			r = 0;
		}
		break;
	}
	pthread_mutex_unlock(&ids->lock);
	return r;
}

bool ids_take(struct ids *ids, uint32_t id)
{
	uint64_t bit = 1ull << (id & 63);
	bool is_free;

	if (id >= ids->n)
		return false;
	pthread_mutex_lock(&ids->lock);
	is_free = !(ids->taken[id / 64] & bit);
	ids->taken[id / 64] |= bit;
	pthread_mutex_unlock(&ids->lock);
	return is_free;
}

void ids_put(struct ids *ids, uint32_t id)
{
	pthread_mutex_lock(&ids->lock);
	ids->taken[id / 64] &= ~(1ull << (id & 63));
	pthread_mutex_unlock(&ids->lock);
}

bool ids_have_room(struct ids *ids)
{
	uint32_t id, n = 0;

	pthread_mutex_lock(&ids->lock);
	for (id = 0; id < ids->n && !n; id++)
		n += !(ids->taken[id / 64] >> (id & 63) & 1);
	pthread_mutex_unlock(&ids->lock);
	return n;
}
