/* Listing the open connections: see connections.h. */
#include "control/connections.h"
#include "control/connections_row.h"
#include "control/worker.h"
#include "core/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

enum {
	/* A server name of 255 bytes that are no text, and all else at its longest. */
	ROW_BYTES_MAX = 4000,
	PAGE_BYTES_MAX = CONNECTIONS_PAGE_ROWS * ROW_BYTES_MAX,
	TAIL_BYTES = 96,
};

_Static_assert(PAGE_BYTES_MAX + TAIL_BYTES + 1024 <= ADMIN_STREAM_BYTES_MAX,
	"a page fits an empty stream");

struct connections_hub {
	struct connections_hub_spec spec;
	struct connections_outbox outbox;
	struct watch outbox_watch;
	struct list listings;
	uint32_t n_listings;
};

struct listing {
	struct list link; /* hub->listings */
	struct connections_hub *hub;
	struct admin_stream *stream; /* NULL: nobody waits for it any more */
	uint32_t worker; /* whose turn it is */
	uint32_t limit, sent;
	uint64_t last_id; /* sent; if there is one */
	bool is_away;    /* the page is with the worker */
	bool is_walking; /* the worker's walk is not at its end */
	struct connections_page page;
};

static void listing_free(struct listing *listing)
{
	list_del(&listing->link);
	listing->hub->n_listings--;
	free(listing);
}

static void hand_out(struct listing *listing)
{
	struct worker *worker = &listing->hub->spec.workers[listing->worker];
	uint32_t left = listing->limit - listing->sent;

	/* One more than is wanted tells whether there are more. */
	listing->page.max_rows = left < CONNECTIONS_PAGE_ROWS ? left + 1 : CONNECTIONS_PAGE_ROWS;
	listing->page.is_cancelled = !listing->stream;
	listing->is_away = listing->is_walking = true;
	connections_inbox_put(&worker->connections, &listing->page);
	worker_wake(worker);
}

/* Nobody waits for it any more: freed when its page is here and no walk of a worker's is in it. */
static void let_go(struct listing *listing)
{
	listing->stream = NULL;
	if (listing->is_away)
		return;
	if (listing->is_walking)
		hand_out(listing);
	else
		listing_free(listing);
}

static void put(struct listing *listing, const char *bytes, size_t len)
{
	if (!admin_stream_put(listing->stream, bytes, len))
		abort(); /* a page is only asked for when all was taken */
}

static void finish(struct listing *listing, bool has_more)
{
	char tail[TAIL_BYTES], next[24] = "null";

	if (has_more)
		snprintf(next, sizeof(next), "%" PRIu64, listing->last_id);
	put(listing, tail,
		(size_t)snprintf(tail, sizeof(tail), "%s],\"has_more\":%s,\"next\":%s}\n",
			listing->sent ? "\n" : "", has_more ? "true" : "false", next));
	admin_stream_end(listing->stream);
	let_go(listing);
}

static void put_row(struct listing *listing, const struct connections_row *row, FILE *out)
{
	size_t len;
	char *text = connections_row_json(row, &len);

	fputs(listing->sent ? ",\n" : "\n", out);
	fwrite(text, 1, len, out);
	free(text);
	listing->sent++;
	listing->last_id = row->id;
}

/* False: there are more than are wanted. */
static bool put_rows(struct listing *listing)
{
	const struct connections_page *page = &listing->page;
	uint32_t i, n = page->n_rows, left = listing->limit - listing->sent;
	char *text = NULL;
	size_t len;
	FILE *out;

	if (n == 0)
		return true;
	out = open_memstream(&text, &len);
	if (!out)
		abort();
	for (i = 0; i < n && i < left; i++)
		put_row(listing, &page->rows[i], out);
	if (fclose(out) != 0)
		abort();
	put(listing, text, len);
	free(text);
	return n <= left;
}

static void page_came(struct listing *listing)
{
	uint32_t n_rows = listing->page.n_rows;

	listing->is_away = false;
	listing->is_walking = !listing->page.is_last;
	if (!listing->stream) {
		let_go(listing);
		return;
	}
	if (!put_rows(listing)) {
		finish(listing, true);
		return;
	}
	if (!listing->is_walking) {
		listing->page.filter.has_after = false; /* it is about the first worker asked */
		listing->worker++;
	}
	if (listing->worker == listing->hub->spec.n_workers)
		finish(listing, false);
	else if (n_rows == 0)
		hand_out(listing); /* else when it is taken: drained() */
}

static void pages_come(struct watch *watch, uint32_t events)
{
	struct connections_hub *hub = container_of(watch, struct connections_hub, outbox_watch);
	struct connections_page *page = connections_outbox_take(&hub->outbox), *next;

	for (; page; page = next) {
		next = page->next;
		page_came(container_of(page, struct listing, page));
	}
}

/* --- the stream */

static void drained(void *arg)
{
	struct listing *listing = arg;

	if (!listing->is_away)
		hand_out(listing);
}

static void closed(void *arg)
{
	let_go(arg);
}

void connections_open(struct connections_hub *hub, const struct connections_query *query,
	struct admin_reply *reply)
{
	static const struct admin_stream_ops ops = {drained, closed};
	static const char head[] = "{\"connections\":[";
	struct listing *listing;

	if (hub->n_listings == CONNECTIONS_LISTINGS_MAX) {
		admin_reply_error(reply, 503, "busy",
			"%d clients are listing connections already: try again when one is done",
			CONNECTIONS_LISTINGS_MAX);
		return;
	}
	listing = mem_zalloc(sizeof(*listing));
	listing->hub = hub;
	listing->limit = query->limit;
	listing->page.filter = query->filter;
	listing->page.outbox = &hub->outbox;
	if (query->filter.has_after)
		listing->worker = conn_id_worker(query->filter.after_id);
	list_add_tail(&hub->listings, &listing->link);
	hub->n_listings++;
	listing->stream = admin_reply_stream(reply, "application/json", &ops, listing);
	if (!listing->stream) {
		listing_free(listing);
		return;
	}
	put(listing, head, sizeof(head) - 1);
	if (listing->worker >= hub->spec.n_workers)
		finish(listing, false);
}

/* --- life */

int connections_hub_new(
	const struct connections_hub_spec *spec, struct connections_hub **ret_hub, struct err *err)
{
	struct connections_hub *hub = mem_zalloc(sizeof(*hub));
	int rc;

	hub->spec = *spec;
	list_init(&hub->listings);
	hub->outbox.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (hub->outbox.fd < 0) {
		rc = err_set(err, -errno, "eventfd: %s", strerror(errno));
		goto fail;
	}
	hub->outbox_watch = (struct watch){.fd = hub->outbox.fd, .ready = pages_come};
	rc = loop_add_level(spec->loop, &hub->outbox_watch);
	if (rc < 0) {
		err_set(err, rc, "epoll: %s", strerror(-rc));
		goto fail_watch;
	}
	*ret_hub = hub;
	return 0;

fail_watch:
	loop_close(spec->loop, &hub->outbox_watch);
fail:
	free(hub);
	return rc;
}

void connections_hub_free(struct connections_hub *hub)
{
	struct list *link, *after;

	if (!hub)
		return;
	list_for_each_safe(link, after, &hub->listings)
		listing_free(container_of(link, struct listing, link));
	loop_close(hub->spec.loop, &hub->outbox_watch);
	free(hub);
}
