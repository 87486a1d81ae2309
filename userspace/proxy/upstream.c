/* Connections to targets: see upstream.h. */
#include "proxy/upstream.h"
#include "net/proxyproto.h"
#include "net/socket.h"
#include "proxy/proxy_out.h"
#include "proxy/tls_refusal.h"
#include "proxy/upstream_parts.h"
#include "tls/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Others may take what balance_pick() found free. */
enum { LIMIT_TRIES = 4 };

enum { FILES_TRY_MS = 20 };

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
		upstream_h2_end(upstream);
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

/* Of connect(): the others (descriptors, ports, memory) say nothing about the target. */
static bool is_errno_of_target(int error)
{
	return error == -ECONNREFUSED || error == -ECONNRESET || error == -ETIMEDOUT ||
	       error == -EHOSTUNREACH || error == -ENETUNREACH || error == -EHOSTDOWN;
}

void upstream_fail(struct upstream *upstream, enum close_reason reason)
{
	if (is_of_target(upstream, reason))
		upstream_note_failure(upstream);
	upstream->ops->failed(upstream, reason);
	upstream_close(upstream, true);
}

static void lend(struct upstream *upstream)
{
	upstream->state = UPSTREAM_LENT;
	upstream_end_pending(upstream);
	timer_clear(&upstream->timer);
	upstream->ops->ready(upstream);
}

/* A plain stream's PROXY header: the first bytes; the buffer of a new socket always takes them. */
static int send_proxy_header(struct upstream *upstream, int fd)
{
	ssize_t sent;

	if (!upstream->proxy_header)
		return 0;
	sent = send(fd, upstream->proxy_header, upstream->proxy_header_len, MSG_NOSIGNAL);
	if (sent < 0)
		return -errno;
	if (sent != upstream->proxy_header_len)
		return -EIO;
	free(upstream->proxy_header);
	upstream->proxy_header = NULL;
	return 0;
}

static void proceed(struct upstream *upstream)
{
	struct stream *stream = upstream->stream;
	int r = stream->ops->handshake(stream);

	if (r == -EAGAIN)
		return;
	if (r == 0 && stream->ops->is_plain)
		r = send_proxy_header(upstream, stream->watch.fd);
	if (r == -EPROTO)
		upstream_fail(upstream, CLOSE_target_tls_failed);
	else if (r < 0)
		upstream_fail(
			upstream, r == -ETIMEDOUT ? CLOSE_target_timeout : CLOSE_target_refused);
	else
		lend(upstream);
}

/* Nothing may have come after the answer: an end, or bytes nobody asked for. A session ticket is
 * neither. */
static bool is_quiet(struct stream *stream)
{
	char byte;

	if (!stream->can_read && !stream->ops->has_pending(stream))
		return true;
	return stream->ops->read(stream, &byte, 1) == -EAGAIN;
}

static void stream_ready(struct watch *watch, uint32_t events)
{
	struct stream *stream = stream_of_watch(watch);
	struct upstream *upstream = stream->owner;

	stream_note_events(stream, events);
	if (upstream->state == UPSTREAM_LENT)
		upstream->ops->event(upstream);
	else if (upstream->state == UPSTREAM_HANDSHAKE)
		proceed(upstream);
	else if (!is_quiet(stream))
		upstream_close(upstream, false); /* idle: it ended, or said something unasked */
}

/* SNI, and what the certificate has to be for. */
static const char *tls_name(const struct upstream *upstream, char text[static ADDR_TEXT_BYTES])
{
	const char *name = upstream->group->spec.tls_name;

	if (!name)
		name = upstream->target->host;
	return name ? name : addr_format_host(&upstream->target->addr, text);
}

static int start_stream(struct upstream *upstream, int fd, bool connecting)
{
	const struct group_spec *spec = &upstream->group->spec;
	char name[ADDR_TEXT_BYTES];

	if (spec->tls)
		upstream->stream = tls_stream_client(
			upstream->worker->tls, spec->tls, fd, tls_name(upstream, name), connecting);
	else
		upstream->stream = plain_stream_new(&upstream->worker->io, fd, connecting);
	if (!upstream->stream)
		return -ENOMEM;
	upstream->stream->owner = upstream;
	upstream->stream->watch.ready = stream_ready;
	upstream->state = UPSTREAM_HANDSHAKE;
	return 0;
}

/* Connected: the PROXY header goes in the clear, then TLS begins on the same socket. */
static void dial_ready(struct watch *watch, uint32_t events)
{
	struct upstream *upstream = container_of(watch, struct upstream, dial);
	int fd = watch->fd, error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error || send_proxy_header(upstream, fd) < 0) {
		upstream_fail(upstream, CLOSE_target_refused);
		return;
	}
	loop_del(upstream->worker->io.loop, watch);
	watch->fd = -1;
	if (start_stream(upstream, fd, false) < 0) {
		upstream_fail(upstream, CLOSE_out_of_memory);
		return;
	}
	proceed(upstream);
}

/* Without taking the last descriptors. Those of connections that nobody uses are better used now. */
static int connect_within(struct proxy_worker *worker, const union addr *addr)
{
	uint64_t now_ms = loop_now_ms(worker->io.loop);
	int tries, fd = -EMFILE;

	for (tries = 0; tries < 2 && worker->out_of_files_ms != now_ms; tries++) {
		fd = socket_connect(addr);
		if (overload_fits(worker, fd))
			return fd;
		if (fd >= 0)
			close(fd);
		fd = -EMFILE;
		if (!upstream_trim(worker)) /* nobody needs to ask again in this turn */
			worker->out_of_files_ms = now_ms;
	}
	return fd;
}

/* Gets a descriptor, or waits for one. */
static int dial(struct upstream *upstream)
{
	const struct group_spec *spec = &upstream->group->spec;
	struct loop *loop = upstream->worker->io.loop;
	int fd = connect_within(upstream->worker, &upstream->target->addr);

	if (fd == -EMFILE && loop_now_ms(loop) < upstream->wait_until_ms) {
		upstream->state = UPSTREAM_WAITING;
		timer_set(loop, &upstream->timer, FILES_TRY_MS);
		return 0;
	}
	if (fd < 0)
		return fd;
	upstream->state = UPSTREAM_DIALING;
	timer_set(loop, &upstream->timer, spec->connect_ms);
	if (!upstream->proxy_header || !spec->tls)
		return start_stream(upstream, fd, true);
	upstream->dial.fd = fd;
	return loop_add(loop, &upstream->dial);
}

static void try_again(struct upstream *upstream)
{
	int r = dial(upstream);

	if (r < 0)
		upstream_fail(upstream, upstream_refusal(r));
}

static void timed_out(struct timer *timer)
{
	struct upstream *upstream = container_of(timer, struct upstream, timer);

	if (upstream->state == UPSTREAM_IDLE)
		upstream_close(upstream, false);
	else if (upstream->state == UPSTREAM_WAITING)
		try_again(upstream);
	else
		upstream_fail(upstream, CLOSE_target_timeout);
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
		.dial.ready = dial_ready,
		.timer.fire = timed_out,
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

static int dial_first(struct upstream *upstream, const struct upstream_client *client)
{
	const struct group_spec *spec = &upstream->group->spec;
	int r = 0;

	upstream->wait_until_ms = loop_now_ms(upstream->worker->io.loop) + spec->connect_ms;
	if (spec->proxy_out != PROXY_OUT_OFF)
		r = proxy_out_build(spec->proxy_out, client, &upstream->proxy_header,
			&upstream->proxy_header_len);
	return r < 0 ? r : dial(upstream);
}

/* A pooled connection that still fits the group's settings and has not ended meanwhile. */
static struct upstream *take_idle(
	struct proxy_worker *worker, struct target_group *group, struct target *target)
{
	struct target_worker *row = &target->workers[worker->io.worker];
	struct upstream *upstream;

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
	r = dial_first(carrier, client);
	if (r < 0) {
		if (is_errno_of_target(r))
			upstream_note_failure(carrier);
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
	r = dial_first(upstream, client);
	if (r < 0) {
		if (is_errno_of_target(r))
			upstream_note_failure(upstream);
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
	uint32_t index = worker->io.worker;
	struct target *target;
	int r, tries = 0;

	ask->now_ms = loop_now_ms(worker->io.loop);
	do {
		target = balance_pick(group, index, ask);
		if (!target) {
			r = ask->is_limited ? -EBUSY : -ENOENT;
			break;
		}
		r = get_from(worker, group, target, client, ops, owner, fresh, ret_upstream);
		if (r < 0 && r != -EBUSY)
			ask->avoid = target; /* a member of the group: it stays */
	} while (r == -EBUSY && ++tries < LIMIT_TRIES);
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
		upstream->stream->ops->flush(upstream->stream) < 0 || !is_quiet(upstream->stream)) {
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
			upstream_h2_retire(upstream);
	}
	/* From the start each time: what a borrower does then may close others. */
	while ((upstream = first_expired(worker)))
		upstream_fail(upstream, CLOSE_deregistered);
}

uint32_t upstream_trim(struct proxy_worker *worker)
{
	struct list *link, *after;
	struct upstream *upstream;
	uint32_t n = 0;

	list_for_each_safe(link, after, &worker->upstreams_open) {
		upstream = container_of(link, struct upstream, all);
		if (upstream->is_carrier)
			upstream_h2_retire(upstream); /* soon */
		if (upstream->state != UPSTREAM_IDLE)
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
