/* Sessions of HTTP/2 with targets, and the connections that carry them: see upstream_session.h. */
#define LOG_MODULE "http2"
#include "proxy/upstream_session.h"
#include "core/log.h"
#include "http/h2_head.h"
#include "tls/stream.h"

/* Servers take more than one PING without anything else within this time for a flood. */
enum { PING_AGAIN_MS = 5 * 60 * 1000 };

size_t upstream_session_bytes(void)
{
	return sizeof(struct upstream_session);
}

static struct loop *loop_of(const struct upstream_session *session)
{
	return session->carrier->worker->io.loop;
}

static void set_idle(struct upstream_session *session, bool is_idle)
{
	struct target_worker *row = upstream_row(session->carrier);

	if (is_idle && !session->is_idle)
		counter_inc(&row->n_idle);
	else if (!is_idle && session->is_idle)
		counter_dec(&row->n_idle);
	session->is_idle = is_idle;
}

/* --- ends */

/* The carrier is closed next. */
static void session_end(struct upstream_session *session, enum close_reason reason)
{
	struct upstream *carrier = session->carrier, *place;

	session->is_ended = true;
	list_del(&session->link);
	while (!list_is_empty(&session->places)) {
		place = container_of(session->places.next, struct upstream, link);
		place->ops->failed(place, reason);
		upstream_close(place, true);
	}
	set_idle(session, false);
	timer_clear(&session->timer);
	if (session->h2)
		h2_free(session->h2);
	carrier->owner = NULL;
	pool_put(&carrier->worker->sessions, session);
}

/* Nobody has a place: it ends in order. */
static void retire(struct upstream_session *session)
{
	list_del(&session->link);
	set_idle(session, false);
	timer_set(loop_of(session), &session->timer, session->carrier->group->spec.connect_ms);
	h2_terminate(session->h2);
}

static bool may_rest(const struct upstream_session *session)
{
	const struct upstream *carrier = session->carrier;

	return !session->is_private && !session->is_silent && h2_may_ask(session->h2) &&
	       !carrier->worker->draining && !carrier->stream->retiring &&
	       upstream_row(carrier)->n_idle < carrier->group->spec.pool_per_worker &&
	       !atomic_load_explicit(&carrier->target->removed, memory_order_relaxed) &&
	       !upstream_is_too_many(carrier);
}

void upstream_session_left(struct upstream_session *session)
{
	if (--session->n_places)
		return;
	upstream_release(&session->carrier->target->busy);
	if (session->is_ended)
		return;
	if (!session->h2) { /* nobody waits for it any more */
		upstream_close(session->carrier, true);
	} else if (may_rest(session)) {
		set_idle(session, true);
		timer_set(loop_of(session), &session->timer,
			session->carrier->group->spec.pool_idle_ms);
	} else {
		retire(session);
	}
}

void upstream_session_cut(struct upstream *carrier)
{
	if (carrier->owner)
		session_end(carrier->owner, CLOSE_target_refused);
}

void upstream_session_retire(struct upstream *carrier)
{
	struct upstream_session *session = carrier->owner;

	if (session && session->h2 && !session->n_places && !h2_is_ending(session->h2))
		retire(session);
}

/* --- what the session says */

static void got_response(struct h2_stream *stream, const struct http_response *response)
{
	struct upstream *place = stream->body.owner;

	if (place)
		place->ops->response(place, response);
}

static void stream_event(struct h2_stream *stream)
{
	struct upstream *place = stream->body.owner;

	if (place)
		place->ops->event(place);
}

/* A target need not take our last words. */
static void changed(struct h2 *h2)
{
	struct upstream_session *session = h2_owner(h2);

	if (h2_is_ending(h2))
		timer_set(loop_of(session), &session->timer,
			session->carrier->group->spec.connect_ms);
}

static void log_fault(const struct upstream *carrier, const char *what)
{
	if (log_level_get() == LOG_LEVEL_DEBUG)
		log_debug("target group %s: target %s: %s", carrier->group->spec.name,
			carrier->target->name, what);
}

static void over(struct h2 *h2)
{
	struct upstream_session *session = h2_owner(h2);
	struct upstream *carrier = session->carrier;
	enum close_reason reason = CLOSE_target_refused;
	enum h2_fault fault = h2_fault(h2);

	if (fault == H2_FAULT_FLOOD || fault == H2_FAULT_PROTOCOL) {
		reason = CLOSE_target_bad_response;
		upstream_note_failure(carrier);
		log_fault(carrier, fault == H2_FAULT_FLOOD ? h2_cost_name(h2_flood(h2))
							   : "broke the rules of HTTP/2");
	} else if (fault == H2_FAULT_MEMORY) {
		reason = CLOSE_out_of_memory;
	}
	session_end(session, reason);
	upstream_close(carrier, fault == H2_FAULT_GONE || fault == H2_FAULT_MEMORY);
}

/* --- signs of life */

static bool may_ping(const struct upstream_session *session, uint64_t now_ms)
{
	return !session->pinged_ms || now_ms - session->pinged_ms >= PING_AGAIN_MS ||
	       h2_news(session->h2) != session->seen_news;
}

/* Nothing has come for a while, though there are requests under way. */
static void ask_for_life(struct upstream_session *session)
{
	uint64_t now_ms = loop_now_ms(loop_of(session));

	if (!may_ping(session, now_ms) || h2_ping(session->h2) < 0)
		return;
	session->is_silent = true;
	session->pinged_ms = now_ms;
	session->seen_news = h2_news(session->h2);
}

static void look(struct upstream_session *session)
{
	uint64_t bytes = session->carrier->stream->bytes_in;
	/* If not, answers may be left that are on their way to slow clients. */
	bool is_heard = h2_is_heard(session->h2);

	if (bytes != session->seen_bytes) {
		session->is_silent = false;
		session->seen_bytes = bytes;
	} else if (is_heard && session->is_silent) {
		upstream_fail(session->carrier, CLOSE_target_timeout);
		return;
	} else if (is_heard) {
		ask_for_life(session);
	}
	timer_set(loop_of(session), &session->timer, session->carrier->group->spec.connect_ms);
}

static void timed_out(struct timer *timer)
{
	struct upstream_session *session = container_of(timer, struct upstream_session, timer);

	if (h2_is_ending(session->h2))
		upstream_close(session->carrier, true);
	else if (session->n_places)
		look(session);
	else
		retire(session);
}

/* --- the connection */

static bool has_agreed(const struct upstream *carrier)
{
	struct tls_stream_facts facts;

	if (!carrier->group->spec.tls)
		return true;
	tls_stream_facts(carrier->stream, &facts);
	return !strcmp(facts.alpn, "h2");
}

/* Each target is told of once. */
static void refuse(struct upstream *carrier)
{
	if (!atomic_exchange_explicit(&carrier->target->told_no_h2, true, memory_order_relaxed))
		log_warn("target group %s: target %s does not agree on HTTP/2 (ALPN h2), which "
			 "protocol_version asks for",
			carrier->group->spec.name, carrier->target->name);
	upstream_fail(carrier, CLOSE_target_tls_failed);
}

/* Places are given up, and others taken, while they hear of it. */
static void tell_ready(struct upstream_session *session)
{
	struct upstream *place;
	struct list *link;
	bool any;

	do {
		any = false;
		list_for_each(link, &session->places) {
			place = container_of(link, struct upstream, link);
			any = place->state != UPSTREAM_LENT;
			if (any)
				break;
		}
		if (!any)
			return;
		place->state = UPSTREAM_LENT;
		upstream_end_pending(place);
		place->ops->ready(place);
	} while (!session->is_ended);
}

uint32_t upstream_session_room(const struct upstream_session *session)
{
	uint32_t known = upstream_row(session->carrier)->streams_max;

	if (session->has_settings)
		return h2_asks_max(session->h2);
	return known ? known : H2_ASKS_MAX;
}

static void become_ready(struct upstream_session *session)
{
	session->is_ready = true;
	tell_ready(session);
}

/* Those who ask for what a target need not have. They go, and others come, while they hear of it. */
static void tell_settings(struct upstream_session *session)
{
	struct upstream *place, *next;
	struct list *link;

	do {
		next = NULL;
		list_for_each(link, &session->places) {
			place = container_of(link, struct upstream, link);
			if (place->awaits_settings)
				next = place;
		}
		if (next) {
			next->awaits_settings = false;
			next->ops->ready(next);
		}
	} while (next);
}

/* Of a target that takes none at all, one has to wait until it does. */
static void got_settings(struct h2 *h2)
{
	struct upstream_session *session = h2_owner(h2);
	uint32_t max = h2_asks_max(h2);

	session->has_settings = true;
	upstream_row(session->carrier)->streams_max = max ? max : 1;
	tell_settings(session);
	become_ready(session);
}

static const struct h2_ops h2_ops = {
	.settings = got_settings,
	.response = got_response,
	.event = stream_event,
	.changed = changed,
	.over = over,
};

static void session_ready(struct upstream *carrier)
{
	struct upstream_session *session = carrier->owner;
	struct proxy_worker *worker = carrier->worker;
	struct h2_spec spec = {
		.max_header_bytes = H2_HEAD_TEXT_BYTES,
		.is_client = true,
	};

	if (!has_agreed(carrier)) {
		refuse(carrier);
		return;
	}
	session->h2 = h2_new(&worker->h2, carrier->stream, &spec, &h2_ops, session);
	if (!session->h2) {
		upstream_fail(carrier, CLOSE_out_of_memory);
		return;
	}
	timer_set(worker->io.loop, &session->timer, carrier->group->spec.connect_ms);
	if (upstream_row(carrier)->streams_max)
		become_ready(session);
}

static void session_failed(struct upstream *carrier, enum close_reason reason)
{
	if (carrier->owner)
		session_end(carrier->owner, reason);
}

static void session_event(struct upstream *carrier)
{
	struct upstream_session *session = carrier->owner;

	if (session && session->h2)
		h2_run(session->h2);
}

static const struct upstream_ops carrier_ops = {
	.ready = session_ready,
	.failed = session_failed,
	.event = session_event,
};

int upstream_session_open(struct proxy_worker *worker, struct target_group *group,
	struct target *target, const struct upstream_client *client,
	struct upstream_session **ret_session)
{
	struct upstream_session *session = pool_get(&worker->sessions);
	int r;

	if (!session)
		return -ENOMEM;
	*session = (struct upstream_session){
		.is_private = group->spec.proxy_out != PROXY_OUT_OFF,
		.timer.fire = timed_out,
	};
	list_init(&session->places);
	r = upstream_open(worker, group, target, client, &carrier_ops, session, &session->carrier);
	if (r < 0) {
		pool_put(&worker->sessions, session);
		return r;
	}
	if (!session->is_private)
		list_add_head(&upstream_row(session->carrier)->sessions, &session->link);
	*ret_session = session;
	return 0;
}

void upstream_session_wake(struct upstream_session *session, struct target_group *group)
{
	set_idle(session, false);
	upstream_set_group(session->carrier, group);
	if (!session->h2)
		return;
	session->seen_bytes = session->carrier->stream->bytes_in;
	timer_set(loop_of(session), &session->timer, group->spec.connect_ms);
}
