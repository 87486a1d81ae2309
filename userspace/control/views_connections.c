/* The view "connections": what may be asked of the open connections. See views.h. */
#include "control/views_parts.h"

#include "control/admin_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENT_BYTES = 64, STATES_BYTES = 96, ID_BYTES = 24 };

/* Those of the configuration, and those that a reload removed while they had connections. */
static bool is_listener(const struct daemon *daemon, const char *name)
{
	uint32_t i;

	for (i = 0; i < daemon->build->n_listeners; i++)
		if (strcmp(daemon->build->listeners[i]->spec.name, name) == 0)
			return true;
	for (i = 0; i < daemon->counts.n_ending; i++)
		if (strcmp(daemon->counts.ending[i]->name, name) == 0)
			return true;
	return false;
}

static bool read_listener(const struct daemon *daemon, const struct admin_call *call,
	struct connections_filter *filter, struct admin_reply *reply)
{
	int rc = admin_query_text(
		call->query, "listener", filter->listener, sizeof(filter->listener));

	if (rc == 0 || (rc > 0 && is_listener(daemon, filter->listener)))
		return true;
	admin_reply_error(reply, 400, "bad_request", "there is no listener \"%s\"",
		rc > 0 ? filter->listener : "");
	return false;
}

static bool read_client(
	const struct admin_call *call, struct connections_filter *filter, struct admin_reply *reply)
{
	struct err err = {"it is too long"};
	char text[CLIENT_BYTES];
	int rc = admin_query_text(call->query, "client", text, sizeof(text));

	if (rc == 0)
		return true;
	if (rc > 0)
		rc = dp_prefix_parse(slice_of(text), &filter->client, &err);
	if (rc < 0)
		admin_reply_error(reply, 400, "bad_request", "client: %s", err.text);
	filter->has_client = true;
	return rc == 0;
}

static uint32_t state_bit(const char *name)
{
	for (int state = 0; state < CONN_CLOSED; state++)
		if (strcmp(name, conn_state_name((enum conn_state)state)) == 0)
			return 1u << state;
	return 0;
}

/* One or more, separated by commas. */
static bool read_states(
	const struct admin_call *call, struct connections_filter *filter, struct admin_reply *reply)
{
	char text[STATES_BYTES], *rest, *word;
	int rc = admin_query_text(call->query, "state", text, sizeof(text));
	uint32_t bit = 1;

	if (rc == 0)
		return true;
	for (word = rc > 0 ? strtok_r(text, ",", &rest) : NULL; word && bit;
		word = strtok_r(NULL, ",", &rest)) {
		bit = state_bit(word);
		filter->states |= bit;
	}
	if (bit && filter->states)
		return true;
	admin_reply_error(reply, 400, "bad_request",
		"state is one or more of peek, handshake, idle, request, tunnel, linger, with "
		"commas between them");
	return false;
}

static bool read_after(
	const struct admin_call *call, struct connections_filter *filter, struct admin_reply *reply)
{
	char text[ID_BYTES], *end = text;
	int rc = admin_query_text(call->query, "after", text, sizeof(text));

	if (rc == 0)
		return true;
	errno = 0;
	if (rc > 0 && *text >= '0' && *text <= '9')
		filter->after_id = strtoull(text, &end, 10);
	filter->has_after = true;
	if (end > text && !*end && errno == 0)
		return true;
	admin_reply_error(reply, 400, "bad_request", "after is the id of a connection");
	return false;
}

void view_connections(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct connections_query query = {.limit = CONNECTIONS_LIMIT};
	struct daemon *daemon = arg;

	if (!daemon->connections)
		admin_reply_error(reply, 501, "not_implemented", "this daemon does not offer %s",
			"/v1/connections");
	else if (admin_query_number(call->query, "limit", CONNECTIONS_LIMIT_MAX, &query.limit) < 0)
		admin_reply_error(reply, 400, "bad_request",
			"limit is a number of connections, 1 to %d", CONNECTIONS_LIMIT_MAX);
	else if (read_listener(daemon, call, &query.filter, reply) &&
		 read_client(call, &query.filter, reply) &&
		 read_states(call, &query.filter, reply) && read_after(call, &query.filter, reply))
		connections_open(daemon->connections, &query, reply);
}
