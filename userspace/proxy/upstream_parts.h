/* What the files of upstreams share; nobody else includes it. See upstream.h. */
#ifndef SLUICE_PROXY_UPSTREAM_PARTS_H
#define SLUICE_PROXY_UPSTREAM_PARTS_H

#include "core/counter.h"
#include "proxy/group_state.h"
#include "proxy/upstream.h"

static inline struct target_worker *upstream_row(const struct upstream *upstream)
{
	return &upstream->target->workers[upstream->worker->io.worker];
}

/* Counts one more, if it is still within the limit (0: none). */
static inline bool upstream_reserve(atomic_uint *count, uint32_t limit)
{
	if (atomic_fetch_add_explicit(count, 1, memory_order_relaxed) < limit || !limit)
		return true;
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
	return false;
}

static inline void upstream_release(atomic_uint *count)
{
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
}

/* It waits no longer. */
static inline void upstream_end_pending(struct upstream *upstream)
{
	if (upstream->is_pending)
		upstream_release(&upstream->group->spec.state->pending);
	upstream->is_pending = false;
}

/* A connection for a session, which hears of it. */
int upstream_open(struct proxy_worker *worker, struct target_group *group, struct target *target,
	const struct upstream_client *client, const struct upstream_ops *ops,
	struct upstream_session *session, struct upstream **ret_carrier) must_check;
/* What it was made for has other settings now. */
void upstream_set_group(struct upstream *upstream, struct target_group *group);
void upstream_close(struct upstream *upstream, bool abort);
/* As if its connection had failed: says so, and closes it. */
void upstream_fail(struct upstream *upstream, enum close_reason reason);
void upstream_note_failure(struct upstream *upstream);
/* Connections in the pools must not become more than may be in use. */
bool upstream_is_too_many(const struct upstream *upstream);
void upstream_free_later(struct task *task);
/* Nothing may have come after the answer: an end, or bytes nobody asked for. A session ticket is
 * neither. */
bool upstream_is_quiet(struct stream *stream);

/* upstream_dial.c. Begins to make the connection. 0 or -errno: the caller closes it. */
int upstream_dial(struct upstream *upstream, const struct upstream_client *client) must_check;

/* upstream_h2.c. A place at the target; `outstanding` is counted already. As upstream_get(). */
int upstream_h2_get(struct proxy_worker *worker, struct target_group *group, struct target *target,
	const struct upstream_client *client, const struct upstream_ops *ops, void *owner,
	bool fresh, struct upstream **ret_upstream) must_check;
/* Ends a place; the target learns it if that is too early. */
void upstream_h2_leave(struct upstream *upstream);
const struct stream *upstream_h2_connection(const struct upstream *upstream);

/* upstream_session.c. The carrier is closed by somebody else than its session. */
void upstream_session_cut(struct upstream *carrier);
/* The target has left: what is not in use ends. */
void upstream_session_retire(struct upstream *carrier);

#endif
