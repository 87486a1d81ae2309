/* What of a target group outlives reloads: see group_state.h. */
#include "proxy/group_state.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

static void group_state_free(struct shared *shared)
{
	struct group_state *state = container_of(shared, struct group_state, shared);

	pthread_mutex_destroy(&state->ejecting);
	free(state->workers);
	shared_fini(shared);
	free(state);
}

static void *zeroed(size_t bytes)
{
	void *memory = aligned_alloc(CACHE_LINE, bytes);

	if (!memory)
		abort();
	return memset(memory, 0, bytes);
}

struct group_state *group_state_new(uint32_t n_workers)
{
	struct group_state *state = zeroed(sizeof(*state));

	shared_init(&state->shared, 0, group_state_free);
	pthread_mutex_init(&state->ejecting, NULL);
	state->workers = zeroed((n_workers + 1) * sizeof(*state->workers));
	return state;
}
