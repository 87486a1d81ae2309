/* Places on sessions of HTTP/2 with targets: see upstream_h2.h. */
#include "proxy/upstream_h2.h"
#include "proxy/upstream_session.h"

#include <errno.h>

/* `fresh`: a connection that nobody uses may have ended meanwhile. */
static bool has_place(
	const struct upstream_session *session, const struct target_group *group, bool fresh)
{
	const struct upstream *carrier = session->carrier;

	if (carrier->group->spec.tls != group->spec.tls)
		return false;
	if (session->n_places >= upstream_session_room(session))
		return false;
	return !session->h2 || (h2_may_ask(session->h2) && !session->is_silent &&
				       !carrier->stream->retiring && (session->n_places || !fresh));
}

/* One that is in use already, if there is one. */
static struct upstream_session *find(
	struct proxy_worker *worker, struct target_group *group, struct target *target, bool fresh)
{
	struct upstream_session *session, *idle = NULL;
	struct list *link;

	if (group->spec.proxy_out != PROXY_OUT_OFF)
		return NULL;
	list_for_each(link, &target->workers[worker->io.worker].sessions) {
		session = container_of(link, struct upstream_session, link);
		if (!has_place(session, group, fresh))
			continue;
		if (session->n_places)
			return session;
		idle = idle ? idle : session;
	}
	return idle;
}

static struct upstream *place_new(struct upstream_session *session, struct target_group *group,
	const struct upstream_ops *ops, void *owner)
{
	struct upstream *carrier = session->carrier;
	struct proxy_worker *worker = carrier->worker;
	struct upstream *place = pool_get(&worker->upstreams);

	if (!place)
		return NULL;
	*place = (struct upstream){
		.worker = worker,
		.target = carrier->target,
		.group = group,
		.session = session,
		.dial.fd = -1,
		.free_task.run = upstream_free_later,
		.ops = ops,
		.owner = owner,
		.state = session->is_ready ? UPSTREAM_LENT : UPSTREAM_HANDSHAKE,
		.reused = session->has_carried && !session->n_places,
	};
	shared_hold(&place->target->shared, worker->io.worker);
	shared_hold(&group->shared, worker->io.worker);
	list_add_tail(&worker->upstreams_open, &place->all);
	list_add_tail(&session->places, &place->link);
	session->has_carried = true;
	session->n_places++;
	return place;
}

static int take_place(struct proxy_worker *worker, struct target_group *group,
	struct target *target, const struct upstream_client *client, const struct upstream_ops *ops,
	void *owner, struct upstream_session *session, struct upstream **ret_upstream)
{
	bool is_new = !session;
	int r = is_new ? upstream_session_open(worker, group, target, client, &session) : 0;

	if (r < 0)
		return r;
	*ret_upstream = place_new(session, group, ops, owner);
	if (*ret_upstream) {
		if (session->n_places == 1)
			upstream_session_wake(session, group);
		return 0;
	}
	if (is_new)
		upstream_close(session->carrier, true);
	return -ENOMEM;
}

int upstream_h2_get(struct proxy_worker *worker, struct target_group *group, struct target *target,
	const struct upstream_client *client, const struct upstream_ops *ops, void *owner,
	bool fresh, struct upstream **ret_upstream)
{
	const struct group_limits *limits = &group->spec.limits;
	struct upstream_session *session = find(worker, group, target, fresh);
	bool is_first = !session || !session->n_places;
	bool waits = limits->pending && (!session || !session->is_ready);
	int r = -EBUSY;

	if (is_first && !upstream_reserve(&target->busy, limits->connections))
		return r;
	if (!waits || upstream_reserve(&group->spec.state->pending, limits->pending)) {
		r = take_place(worker, group, target, client, ops, owner, session, ret_upstream);
		if (r == 0)
			(*ret_upstream)->is_pending = waits;
		else if (waits)
			upstream_release(&group->spec.state->pending);
	}
	if (r < 0 && is_first)
		upstream_release(&target->busy);
	return r;
}

void upstream_h2_leave(struct upstream *place)
{
	struct upstream_session *session = place->session;
	uint32_t index = place->worker->io.worker;
	struct h2_stream *stream = place->stream ? h2_stream_of(place->stream) : NULL;

	if (stream && h2_stream_is_complete(stream))
		h2_stream_end(stream);
	else if (stream)
		h2_stream_reset(stream, H2_RESET_CANCEL);
	upstream_end_pending(place);
	upstream_release(&place->target->outstanding);
	place->state = UPSTREAM_CLOSED;
	list_del(&place->link);
	list_del(&place->all);
	shared_drop(&place->target->shared, index);
	shared_drop(&place->group->shared, index);
	loop_defer(place->worker->io.loop, &place->free_task);
	upstream_session_left(session);
}

int upstream_ask(struct upstream *place, const struct h2_ask *ask)
{
	struct h2 *h2 = place->session->h2;
	struct h2_stream *stream;
	int r = ask->is_connect ? h2_takes_connect(h2) : 0;

	place->awaits_settings = r == -EAGAIN;
	r = r ?: h2_ask(h2, ask, place, &stream);
	if (r == 0)
		place->stream = &stream->body;
	return r;
}

bool upstream_is_unprocessed(const struct upstream *place)
{
	return place->session && place->stream &&
	       h2_stream_is_unprocessed(h2_stream_of(place->stream));
}

bool upstream_was_refused(const struct upstream *place)
{
	const struct h2_stream *stream;

	if (!upstream_is_unprocessed(place))
		return false;
	stream = h2_stream_of(place->stream);
	return stream->is_asked && h2_may_ask(stream->h2);
}

bool upstream_is_faulty(const struct upstream *place)
{
	return place->session && place->stream && h2_stream_of(place->stream)->is_faulty;
}

bool upstream_was_reset(const struct upstream *place)
{
	return place->session && place->stream && !h2_stream_of(place->stream)->is_open;
}

const struct stream *upstream_h2_connection(const struct upstream *place)
{
	return place->session->carrier->stream;
}
