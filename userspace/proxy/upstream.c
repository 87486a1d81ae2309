/* Connections to targets: see upstream.h. */
#include "proxy/upstream.h"
#include "proxy/tls_refusal.h"
#include "proxy/upstream_parts.h"
#include "tls/stream.h"

#include <errno.h>
#include <stdlib.h>

/* Others may take what balance_pick() found free. */
enum { LIMIT_TRIES = 4 };

void upstream_free_later(struct task *task)
{
	struct upstream *upstream = container_of(task, struct upstream, free_task);

	pool_put(&upstream->worker->upstreams, upstream);
}

/* Where the records were; of a handshake that failed there were none. */
static void count_places(struct upstream *upstream)
{
	struct target_worker *row = upstream_row(upstream);
	struct tls_stream_facts facts;

	if (!upstream->group->spec.tls || upstream->state == UPSTREAM_HANDSHAKE)
		return;
	tls_stream_facts(upstream->stream, &facts);
	counter_inc(&row->places[TLS_RX][facts.places[TLS_RX]]);
	counter_inc(&row->places[TLS_TX][facts.places[TLS_TX]]);
}

void upstream_close(struct upstream *upstream, bool abort)
{
	uint32_t index = upstream->worker->io.worker;

	if (upstream->state == UPSTREAM_CLOSED)
		return;
	if (upstream->session) {
		upstream_h2_leave(upstream);
		return;
	}
	if (upstream->is_carrier)
		upstream_session_cut(upstream);
	if (upstream->stream)
		count_places(upstream);
	if (upstream->stream && upstream->group->spec.tls && upstream->state != UPSTREAM_IDLE)
		tls_refusal_note(upstream->group, upstream->target, index, upstream->stream);
	if (upstream->state == UPSTREAM_IDLE) {
		list_del(&upstream->link);
		counter_dec(&upstream_row(upstream)->n_idle);
	} else if (!upstream->is_carrier) {
		upstream_release(&upstream->target->outstanding);
	}
	upstream_end_pending(upstream);
	upstream_release(&upstream->target->open);
	upstream->state = UPSTREAM_CLOSED;
	counter_dec(&upstream_row(upstream)->n_open);
	list_del(&upstream->all);
	timer_clear(&upstream->timer);
	if (upstream->stream) {
		/* close_notify; a FIN in the middle of what was not sent would be no order. */
		if (!abort && !upstream->stream->ops->is_plain)
			abort = upstream->stream->ops->shutdown(upstream->stream) == -EAGAIN;
		upstream->stream->ops->close(upstream->stream, abort);
	} else if (upstream->dial.fd >= 0) {
		loop_close(upstream->worker->io.loop, &upstream->dial);
	}
	free(upstream->proxy_header);
	shared_drop(&upstream->target->shared, index);
	shared_drop(&upstream->group->shared, index);
	loop_defer(upstream->worker->io.loop, &upstream->free_task);
}

void upstream_note_failure(struct upstream *upstream)
{
	counter_inc(&upstream_row(upstream)->failures);
	outlier_note_failure(upstream->group, upstream->target, upstream->worker->io.worker);
}

/* And not ours: memory, or a key of our own that does not sign. */
static bool is_of_target(const struct upstream *upstream, enum close_reason reason)
{
	enum tls_failure failure = TLS_FAILURE_none;

	if (upstream->stream && !upstream->session && upstream->group->spec.tls)
		failure = tls_stream_failure(upstream->stream);
	return reason != CLOSE_deregistered && reason != CLOSE_out_of_memory &&
	       reason != CLOSE_too_many_files && failure != TLS_FAILURE_token_failed &&
	       failure != TLS_FAILURE_out_of_memory && failure != TLS_FAILURE_internal;
}

void upstream_fail(struct upstream *upstream, enum close_reason reason)
{
	if (is_of_target(upstream, reason))
		upstream_note_failure(upstream);
	upstream->ops->failed(upstream, reason);
	upstream_close(upstream, true);
}

bool upstream_is_quiet(struct stream *stream)
{
	char byte;

	if (!stream->can_read && !stream->ops->has_pending(stream))
		return true;
	return stream->ops->read(stream, &byte, 1) == -EAGAIN;
}

static struct upstream *upstream_new(struct proxy_worker *worker, struct target_group *group,
	struct target *target, const struct upstream_ops *ops, void *owner)
{
	struct upstream *upstream = pool_get(&worker->upstreams);

	if (!upstream)
		return NULL;
	*upstream = (struct upstream){
		.worker = worker,
		.target = target,
		.group = group,
		.dial.fd = -1,
		.free_task.run = upstream_free_later,
		.ops = ops,
		.owner = owner,
		.state = UPSTREAM_DIALING,
	};
	shared_hold(&target->shared, worker->io.worker);
	shared_hold(&group->shared, worker->io.worker);
	list_add_tail(&worker->upstreams_open, &upstream->all);
	counter_inc(&upstream_row(upstream)->n_open);
	counter_inc(&upstream_row(upstream)->connections);
	return upstream;
}

/* A pooled connection that still fits the group's settings and has not ended meanwhile. None is for one
 * client only, as those with a PROXY header are. */
static struct upstream *take_idle(
	struct proxy_worker *worker, struct target_group *group, struct target *target)
{
	struct target_worker *row = &target->workers[worker->io.worker];
	struct upstream *upstream;

	if (group->spec.proxy_out != PROXY_OUT_OFF)
		return NULL;
	while (!list_is_empty(&row->idle)) {
		upstream = container_of(row->idle.next, struct upstream, link);
		if (upstream->group->spec.tls == group->spec.tls && !upstream->stream->can_read) {
			list_del(&upstream->link);
			counter_dec(&row->n_idle);
			return upstream;
		}
		upstream_close(upstream, false);
	}
	return NULL;
}

void upstream_set_group(struct upstream *upstream, struct target_group *group)
{
	uint32_t index = upstream->worker->io.worker;

	if (upstream->group == group)
		return;
	shared_hold(&group->shared, index);
	shared_drop(&upstream->group->shared, index);
	upstream->group = group;
}

static void relend(struct upstream *upstream, struct target_group *group,
	const struct upstream_ops *ops, void *owner)
{
	timer_clear(&upstream->timer);
	upstream_set_group(upstream, group);
	upstream->ops = ops;
	upstream->owner = owner;
	upstream->state = UPSTREAM_LENT;
	upstream->reused = true;
}

/* What upstream_close() gives back. */
static int reserve_new(struct proxy_worker *worker, struct target_group *group,
	struct target *target, const struct upstream_ops *ops, void *owner,
	struct upstream **ret_upstream)
{
	const struct group_limits *limits = &group->spec.limits;
	struct group_state *state = group->spec.state;

	if (limits->pending && !upstream_reserve(&state->pending, limits->pending))
		return -EBUSY;
	*ret_upstream = upstream_new(worker, group, target, ops, owner);
	if (*ret_upstream) {
		(*ret_upstream)->is_pending = limits->pending != 0;
		atomic_fetch_add_explicit(&target->open, 1, memory_order_relaxed);
		return 0;
	}
	if (limits->pending)
		upstream_release(&state->pending);
	return -ENOMEM;
}

int upstream_open(struct proxy_worker *worker, struct target_group *group, struct target *target,
	const struct upstream_client *client, const struct upstream_ops *ops,
	struct upstream_session *session, struct upstream **ret_carrier)
{
	struct upstream *carrier = upstream_new(worker, group, target, ops, session);
	int r;

	if (!carrier)
		return -ENOMEM;
	carrier->is_carrier = true;
	atomic_fetch_add_explicit(&target->open, 1, memory_order_relaxed);
	r = upstream_dial(carrier, client);
	if (r < 0) {
		carrier->owner = NULL;
		upstream_close(carrier, true);
		return r;
	}
	*ret_carrier = carrier;
	return 0;
}

static int get_from(struct proxy_worker *worker, struct target_group *group, struct target *target,
	const struct upstream_client *client, const struct upstream_ops *ops, void *owner,
	bool fresh, struct upstream **ret_upstream)
{
	struct upstream *upstream;
	int r;

	if (!upstream_reserve(&target->outstanding, group_limit_in_use(&group->spec)))
		return -EBUSY;
	if (group->spec.version != GROUP_HTTP1) {
		r = upstream_h2_get(worker, group, target, client, ops, owner, fresh, ret_upstream);
		if (r < 0)
			upstream_release(&target->outstanding);
		return r;
	}
	upstream = fresh ? NULL : take_idle(worker, group, target);
	if (upstream) {
		relend(upstream, group, ops, owner);
		*ret_upstream = upstream;
		return 0;
	}
	r = reserve_new(worker, group, target, ops, owner, &upstream);
	if (r < 0) {
		upstream_release(&target->outstanding);
		return r;
	}
	r = upstream_dial(upstream, client);
	if (r < 0) {
		upstream_close(upstream, true);
		return r;
	}
	*ret_upstream = upstream;
	return 0;
}

int upstream_get(struct proxy_worker *worker, struct target_group *group, struct balance_ask *ask,
	const struct upstream_client *client, const struct upstream_ops *ops, void *owner,
	bool fresh, struct upstream **ret_upstream)
{
	struct balance_tried *tried = ask->tried, full = *tried;
	uint32_t index = worker->io.worker;
	struct target *target;
	int r, tries = 0;

	ask->tried = &full; /* and those that have no room now */
	ask->now_ms = loop_now_ms(worker->io.loop);
	do {
		target = balance_pick(group, index, ask);
		if (!target) {
			r = ask->is_limited ? -EBUSY : -ENOENT;
			break;
		}
		r = get_from(worker, group, target, client, ops, owner, fresh, ret_upstream);
		if (r < 0)
			balance_note_tried(r == -EBUSY ? &full : tried, target);
	} while (r == -EBUSY && ++tries < LIMIT_TRIES);
	ask->tried = tried;
	if (r == -EBUSY)
		counter_inc(&group->spec.state->workers[index].limited);
	return r;
}

bool upstream_is_too_many(const struct upstream *upstream)
{
	uint32_t limit = upstream->group->spec.limits.connections;

	return limit && atomic_load_explicit(&upstream->target->open, memory_order_relaxed) > limit;
}

const struct stream *upstream_connection(const struct upstream *upstream)
{
	return upstream->session ? upstream_h2_connection(upstream) : upstream->stream;
}

void upstream_put(struct upstream *upstream, enum upstream_end end)
{
	const struct group_spec *spec = &upstream->group->spec;
	struct target_worker *row = upstream_row(upstream);

	if (upstream->state == UPSTREAM_CLOSED)
		return;
	if (upstream->session || end != UPSTREAM_END_KEEP || spec->proxy_out != PROXY_OUT_OFF ||
		row->n_idle >= spec->pool_per_worker || upstream->worker->draining ||
		upstream->stream->retiring || upstream_is_too_many(upstream) ||
		atomic_load_explicit(&upstream->target->removed, memory_order_relaxed) ||
		upstream->stream->ops->flush(upstream->stream) < 0 ||
		!upstream_is_quiet(upstream->stream)) {
		upstream_close(upstream, end == UPSTREAM_END_ABORT);
		return;
	}
	upstream_release(&upstream->target->outstanding);
	upstream->state = UPSTREAM_IDLE;
	upstream->owner = NULL;
	list_add_head(&row->idle, &upstream->link);
	counter_inc(&row->n_idle);
	timer_set(upstream->worker->io.loop, &upstream->timer, spec->pool_idle_ms);
}

static struct upstream *first_expired(struct proxy_worker *worker)
{
	struct list *link;
	struct upstream *upstream;

	list_for_each(link, &worker->upstreams_open) {
		upstream = container_of(link, struct upstream, all);
		if (atomic_load_explicit(&upstream->target->expired, memory_order_relaxed))
			return upstream;
	}
	return NULL;
}

void upstream_sweep(struct proxy_worker *worker)
{
	struct list *link, *after;
	struct upstream *upstream;

	list_for_each_safe(link, after, &worker->upstreams_open) {
		upstream = container_of(link, struct upstream, all);
		if (!atomic_load_explicit(&upstream->target->removed, memory_order_relaxed))
			continue;
		if (upstream->state == UPSTREAM_IDLE)
			upstream_close(upstream, false);
		else if (upstream->is_carrier)
			upstream_session_retire(upstream);
	}
	/* From the start each time: what a borrower does then may close others. */
	while ((upstream = first_expired(worker)))
		upstream_fail(upstream, CLOSE_deregistered);
}

static uint64_t idle_for_ms(const struct upstream *upstream)
{
	uint64_t since_ms = upstream->timer.due_mono_ms - upstream->group->spec.pool_idle_ms;
	uint64_t now_ms = loop_now_ms(upstream->worker->io.loop);

	return now_ms > since_ms ? now_ms - since_ms : 0;
}

uint32_t upstream_trim(struct proxy_worker *worker, uint64_t idle_ms)
{
	struct list *link, *after;
	struct upstream *upstream;
	uint32_t n = 0;

	list_for_each_safe(link, after, &worker->upstreams_open) {
		upstream = container_of(link, struct upstream, all);
		if (upstream->is_carrier && !idle_ms)
			upstream_session_retire(upstream); /* soon */
		if (upstream->state != UPSTREAM_IDLE || idle_for_ms(upstream) < idle_ms)
			continue;
		upstream_close(upstream, false);
		n++;
	}
	return n;
}

enum close_reason upstream_refusal(int error)
{
	switch (error) {
	case -EBUSY:
		return CLOSE_target_limit;
	case -ENOENT:
		return CLOSE_no_target;
	case -EMFILE:
	case -ENFILE:
		return CLOSE_too_many_files;
	case -ENOMEM:
	case -ENOBUFS:
		return CLOSE_out_of_memory;
	default:
		return CLOSE_target_refused;
	}
}

void upstream_close_all(struct proxy_worker *worker)
{
	while (!list_is_empty(&worker->upstreams_open))
		upstream_close(
			container_of(worker->upstreams_open.next, struct upstream, all), false);
}
