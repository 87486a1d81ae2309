/* Watching drops: see watch.h. */
#define LOG_MODULE "watch"
#include "control/watch.h"
#include "core/clock.h"
#include "core/list.h"
#include "core/log.h"
#include "core/mem.h"
#include "dataplane/dp_samples.h"

#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AGE_S = 60, LOST_BYTES = 64 };

struct watcher {
	struct list link;
	struct watch_hub *hub;
	struct admin_stream *stream;
	struct watch_filter filter;
	uint64_t lost; /* not told yet */
};

struct watch_hub {
	struct watch_hub_spec spec;
	struct dp_samples *samples;
	struct watch samples_watch;
	struct timer poll;
	struct list watchers;
	uint32_t n_watchers;
	uint64_t events_lost; /* of the gates, as of the last look */
	struct top *sources;
	int64_t aged_unix_s;
	/* The name of an interface costs a system call: the last one is kept for a second. */
	uint32_t name_ifindex;
	char name[IF_NAMESIZE];
};

static int64_t now_unix_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* --- to the watchers */

static bool tell_lost(struct watcher *watcher)
{
	char text[LOST_BYTES];
	int len = snprintf(
		text, sizeof(text), "{\"lost\":%llu}\n", (unsigned long long)watcher->lost);

	if (watcher->lost > 0 && !admin_stream_put(watcher->stream, text, (size_t)len))
		return false;
	watcher->lost = 0;
	return true;
}

static void put_line(struct watcher *watcher, const char *line, size_t len)
{
	if (!tell_lost(watcher) || !admin_stream_put(watcher->stream, line, len))
		watcher->lost++;
}

void watch_hub_put(struct watch_hub *hub, const struct watch_drop *drop)
{
	struct watcher *watcher;
	struct list *link;
	char *line = NULL;
	size_t len = 0;

	list_for_each(link, &hub->watchers) {
		watcher = container_of(link, struct watcher, link);
		if (!watch_filter_takes(&watcher->filter, drop))
			continue;
		if (!line)
			line = watch_line(drop, &len);
		put_line(watcher, line, len);
	}
	free(line);
}

/* --- from the packet plane */

static const char *interface_name(struct watch_hub *hub, uint32_t ifindex)
{
	if (hub->name_ifindex != ifindex) {
		if (!if_indextoname(ifindex, hub->name))
			snprintf(hub->name, sizeof(hub->name), "%u", ifindex);
		hub->name_ifindex = ifindex;
	}
	return hub->name;
}

static void take_sample(void *arg, const struct sluice_sample *sample)
{
	struct watch_hub *hub = arg;
	char source[ADDR_TEXT_BYTES];
	struct watch_drop drop;

	watch_drop_from_sample(sample, now_unix_us(), &drop);
	if (drop.source.any.sa_family != AF_UNSPEC)
		top_count(hub->sources, slice_of(addr_format_host(&drop.source, source)), true,
			drop.weight);
	if (hub->n_watchers == 0)
		return;
	drop.interface = interface_name(hub, sample->ifindex);
	drop.listener = hub->spec.listener_name(hub->spec.arg, UINT32_MAX, &drop.destination);
	watch_hub_put(hub, &drop);
}

static void samples_ready(struct watch *watch, uint32_t events)
{
	struct watch_hub *hub = container_of(watch, struct watch_hub, samples_watch);
	int n = dp_samples_read(hub->samples);

	if (n < 0)
		log_warn("sampled drops cannot be read: %s", strerror(-n));
}

/* --- from the gates */

static void take_events(struct watch_hub *hub, struct gate_events *events)
{
	struct gate_event event;
	struct watch_drop drop;

	while (gate_events_take(events, &event)) {
		watch_drop_from_event(&event, &drop);
		drop.listener =
			hub->spec.listener_name(hub->spec.arg, event.listener_id, &event.local);
		watch_hub_put(hub, &drop);
	}
}

static uint64_t count_lost(const struct watch_hub *hub)
{
	uint64_t lost = 0;
	uint32_t i;

	for (i = 0; i < hub->spec.n_workers; i++)
		lost += gate_events_lost(hub->spec.workers[i].gate_worker.events);
	return lost;
}

/* What the rings of the gates could not hold is lost to everybody. */
static void share_lost(struct watch_hub *hub)
{
	uint64_t lost = count_lost(hub);
	struct list *link;

	if (lost != hub->events_lost)
		list_for_each(link, &hub->watchers) {
			container_of(link, struct watcher, link)->lost += lost - hub->events_lost;
		}
	hub->events_lost = lost;
}

static void poll_gates(struct timer *timer)
{
	struct watch_hub *hub = container_of(timer, struct watch_hub, poll);
	uint32_t i;

	for (i = 0; i < hub->spec.n_workers; i++)
		take_events(hub, hub->spec.workers[i].gate_worker.events);
	share_lost(hub);
	timer_set(hub->spec.loop, timer, WATCH_POLL_MS);
}

/* The first watcher has come, or the last one gone. */
static void watch_sources(struct watch_hub *hub, bool on)
{
	uint32_t i;

	dp_samples_pace_set(hub->spec.dp, on ? WATCH_SAMPLES_PER_S : WATCH_TRICKLE_PER_S);
	for (i = 0; i < hub->spec.n_workers; i++)
		gate_events_watch(hub->spec.workers[i].gate_worker.events, on);
	hub->events_lost = count_lost(hub);
	if (on)
		timer_set(hub->spec.loop, &hub->poll, WATCH_POLL_MS);
	else
		timer_clear(&hub->poll);
}

/* --- watchers */

static void watcher_drained(void *arg)
{
	struct watcher *watcher = arg;

	if (!tell_lost(watcher))
		abort(); /* everything was taken: there is room */
}

static void watcher_closed(void *arg)
{
	struct watcher *watcher = arg;
	struct watch_hub *hub = watcher->hub;

	list_del(&watcher->link);
	free(watcher);
	if (--hub->n_watchers == 0)
		watch_sources(hub, false);
}

void watch_hub_open(
	struct watch_hub *hub, const struct watch_filter *filter, struct admin_reply *reply)
{
	static const struct admin_stream_ops ops = {watcher_drained, watcher_closed};
	struct watcher *watcher;

	if (hub->n_watchers == WATCH_WATCHERS_MAX) {
		admin_reply_error(reply, 503, "too_many_watchers",
			"%d clients are watching already: end one of them and try again",
			WATCH_WATCHERS_MAX);
		return;
	}
	watcher = mem_zalloc(sizeof(*watcher));
	watcher->hub = hub;
	watcher->filter = *filter;
	watcher->stream = admin_reply_stream(reply, "application/x-ndjson", &ops, watcher);
	if (!watcher->stream) {
		free(watcher);
		return;
	}
	list_add_tail(&hub->watchers, &watcher->link);
	if (hub->n_watchers++ == 0)
		watch_sources(hub, true);
}

/* --- life */

int watch_hub_new(const struct watch_hub_spec *spec, struct watch_hub **ret_hub, struct err *err)
{
	struct watch_hub *hub = mem_zalloc(sizeof(*hub));
	int rc;

	hub->spec = *spec;
	list_init(&hub->watchers);
	hub->poll.fire = poll_gates;
	rc = dp_samples_open(spec->dp, take_sample, hub, &hub->samples, err);
	if (rc < 0)
		goto fail;
	hub->samples_watch =
		(struct watch){.fd = dp_samples_fd(hub->samples), .ready = samples_ready};
	rc = hub->samples_watch.fd < 0 ? 0 : loop_add_level(spec->loop, &hub->samples_watch);
	if (rc < 0) {
		err_set(err, rc, "sampled drops: %s", strerror(-rc));
		goto fail_samples;
	}
	hub->sources = top_new();
	hub->aged_unix_s = clock_unix_s();
	dp_samples_pace_set(spec->dp, WATCH_TRICKLE_PER_S);
	*ret_hub = hub;
	return 0;

fail_samples:
	dp_samples_close(hub->samples);
fail:
	free(hub);
	return rc;
}

void watch_hub_free(struct watch_hub *hub)
{
	if (!hub)
		return;
	if (hub->samples_watch.fd >= 0)
		loop_del(hub->spec.loop, &hub->samples_watch);
	timer_clear(&hub->poll);
	dp_samples_close(hub->samples);
	top_free(hub->sources);
	free(hub);
}

void watch_hub_tick(struct watch_hub *hub)
{
	int64_t now = clock_unix_s();

	hub->name_ifindex = 0;
	if (now - hub->aged_unix_s < AGE_S && now >= hub->aged_unix_s)
		return;
	hub->aged_unix_s = now;
	top_age(hub->sources);
}

size_t watch_hub_sources(const struct watch_hub *hub, struct top_row ret_rows[static TOP_ROWS])
{
	return top_copy(hub->sources, ret_rows);
}
