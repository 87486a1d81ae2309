/* Counted objects: see shared.h. */
#include "core/shared.h"
#include "core/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void shared_init(struct shared *shared, uint32_t n_workers, void (*free_object)(struct shared *))
{
	size_t bytes = (n_workers ? n_workers : 1) * sizeof(struct shared_local);

	assert(n_workers <= SHARED_WORKERS_MAX);
	atomic_init(&shared->refs, 1);
	shared->n_workers = n_workers;
	shared->free = free_object;
	shared->local = aligned_alloc(CACHE_LINE, bytes);
	if (!shared->local)
		abort();
	memset(shared->local, 0, bytes);
}

void shared_fini(struct shared *shared)
{
	free(shared->local);
	shared->local = NULL;
}

void shared_get(struct shared *shared)
{
	atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
}

void shared_put(struct shared *shared)
{
	if (atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) == 1)
		shared->free(shared);
}
