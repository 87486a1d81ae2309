/* Events for the dashboard: see events.h. */
#include "control/events.h"
#include "control/daemon.h"
#include "control/overview.h"

#include "core/clock.h"
#include "core/list.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

#define LOG_MODULE "events"
#include "core/log.h"

struct listener_of_events {
	struct list link;
	struct events *events;
	struct admin_stream *stream;
};

struct events {
	struct daemon *daemon;
	struct timer timer;
	struct list listeners;
	uint32_t n;
};

/* "event: overview\ndata: {...}\n\n", the caller's to free(); NULL: it cannot be made. */
static char *make_event(struct daemon *daemon, bool past, size_t *ret_len)
{
	yyjson_mut_doc *doc = admin_doc_new();
	yyjson_write_flag flags = YYJSON_WRITE_ALLOW_INVALID_UNICODE | YYJSON_WRITE_ESCAPE_UNICODE;
	int r = overview_put(daemon, past, doc, yyjson_mut_doc_get_root(doc));
	char *json = NULL, *event = NULL;

	if (r == 0)
		json = yyjson_mut_write_opts(doc, flags, NULL, NULL, NULL);
	else
		log_warn("the overview cannot be made: %s", strerror(-r));
	if (json)
		event = mem_printf("event: overview\ndata: %s\n\n", json);
	if (event)
		*ret_len = strlen(event);
	free(json);
	yyjson_mut_doc_free(doc);
	return event;
}

/* Whoever has not taken the last one yet does without this one: the next has it all again. */
static void send_event(const struct events *events, const char *event, size_t len)
{
	struct listener_of_events *listener;
	struct list *link;

	list_for_each(link, &events->listeners) {
		listener = container_of(link, struct listener_of_events, link);
		if (!admin_stream_put(listener->stream, event, len))
			log_debug("a client is behind: it does without an event of %zu bytes", len);
	}
}

static void tell(struct timer *timer)
{
	struct events *events = container_of(timer, struct events, timer);
	uint64_t began_ms = clock_mono_ms(), pause_ms;
	size_t len;
	char *event = make_event(events->daemon, false, &len);

	if (event)
		send_event(events, event, len);
	free(event);
	pause_ms = (clock_mono_ms() - began_ms) * EVENTS_SHARE;
	timer_set(events->daemon->io.loop, timer,
		(uint32_t)(pause_ms > EVENTS_MS ? pause_ms : EVENTS_MS));
}

static void closed(void *arg)
{
	struct listener_of_events *listener = arg;

	list_del(&listener->link);
	if (--listener->events->n == 0)
		timer_clear(&listener->events->timer);
	free(listener);
}

void events_open(struct events *events, struct admin_reply *reply)
{
	static const struct admin_stream_ops ops = {NULL, closed};
	struct listener_of_events *listener;
	size_t len;
	char *event;

	if (events->n == EVENTS_LISTENERS_MAX) {
		admin_reply_error(reply, 503, "too_many_watchers",
			"%d clients listen already: end one of them and try again",
			EVENTS_LISTENERS_MAX);
		return;
	}
	listener = mem_zalloc(sizeof(*listener));
	listener->events = events;
	listener->stream = admin_reply_stream(reply, "text/event-stream", &ops, listener);
	if (!listener->stream) {
		free(listener);
		return;
	}
	list_add_tail(&events->listeners, &listener->link);
	if (events->n++ == 0)
		timer_set(events->daemon->io.loop, &events->timer, EVENTS_MS);
	event = make_event(events->daemon, true, &len);
	if (event && !admin_stream_put(listener->stream, event, len))
		log_warn("an event of %zu bytes is too large to be sent", len);
	free(event);
}

struct events *events_new(struct daemon *daemon)
{
	struct events *events = mem_zalloc(sizeof(*events));

	events->daemon = daemon;
	events->timer.fire = tell;
	list_init(&events->listeners);
	return events;
}

void events_free(struct events *events)
{
	if (!events)
		return;
	timer_clear(&events->timer);
	free(events);
}
