/* The views "top" and "watch/drops": who connects or is dropped most, and drops as they happen. */
#include "control/views_parts.h"

#include "control/admin_request.h"
#include "control/watch.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

enum { TOP_N = 20, TOP_N_MAX = 1000, PREFIX_BYTES = 64 };

static const struct {
	const char *name;
	enum top_kind kind;
} kinds[] = {{"sources", TOP_SOURCES}, {"names", TOP_NAMES}, {"ja4", TOP_JA4}};

/* --- top */

struct merged {
	struct top_row row;
	uint64_t dropped;
};

static uint64_t total(const struct merged *row)
{
	return row->row.released + row->row.refused + row->dropped;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct merged *)a)->row.key, ((const struct merged *)b)->row.key);
}

static int by_total(const void *a, const void *b)
{
	uint64_t left = total(a), right = total(b);

	return left == right ? by_key(a, b) : left < right ? 1 : -1;
}

static size_t copy_packets(const struct daemon *daemon, struct merged *ret_rows)
{
	struct top_row *rows = mem_alloc(TOP_ROWS * sizeof(*rows));
	size_t i, n = watch_hub_sources(daemon->watch, rows);

	for (i = 0; i < n; i++) {
		ret_rows[i] = (struct merged){.row = rows[i], .dropped = rows[i].refused};
		ret_rows[i].row.refused = 0;
	}
	free(rows);
	return n;
}

static size_t copy_flights(const struct daemon *daemon, enum top_kind kind, struct merged *ret_rows)
{
	struct top_row *rows = mem_alloc(TOP_ROWS * sizeof(*rows));
	size_t i, n, all = 0;
	uint32_t worker;

	for (worker = 0; worker < daemon->env.n_workers; worker++) {
		n = top_copy(daemon->workers[worker].gate_worker.top[kind], rows);
		for (i = 0; i < n; i++)
			ret_rows[all++] = (struct merged){.row = rows[i]};
	}
	free(rows);
	return all;
}

/* One row for each key. */
static size_t merge(struct merged *rows, size_t n)
{
	size_t i, kept = 0;

	qsort(rows, n, sizeof(*rows), by_key);
	for (i = 0; i < n; i++) {
		if (kept == 0 || by_key(&rows[kept - 1], &rows[i]) != 0) {
			rows[kept++] = rows[i];
			continue;
		}
		rows[kept - 1].row.released += rows[i].row.released;
		rows[kept - 1].row.refused += rows[i].row.refused;
		rows[kept - 1].row.error += rows[i].row.error;
		rows[kept - 1].dropped += rows[i].dropped;
	}
	qsort(rows, kept, sizeof(*rows), by_total);
	return kept;
}

static void put_top(
	const struct daemon *daemon, enum top_kind kind, uint32_t max, const struct view_list *list)
{
	struct merged *rows = mem_alloc((daemon->env.n_workers + 1) * TOP_ROWS * sizeof(*rows));
	size_t i, n = copy_flights(daemon, kind, rows);

	if (kind == TOP_SOURCES && daemon->watch)
		n += copy_packets(daemon, rows + n);
	n = merge(rows, n);
	for (i = 0; i < n && i < max; i++) {
		struct view row = view_list_object(list);

		view_text(&row, "key", rows[i].row.key);
		view_number(&row, "released", rows[i].row.released);
		view_number(&row, "refused", rows[i].row.refused);
		view_number(&row, "dropped", rows[i].dropped);
		view_number(&row, "error", rows[i].row.error);
	}
	free(rows);
}

void view_top_sources(const struct daemon *daemon, uint32_t max, const struct view *root)
{
	struct view_list list = view_list(root, "sources");

	put_top(daemon, TOP_SOURCES, max, &list);
}

void view_top(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	uint32_t at = 0, n = TOP_N;
	yyjson_mut_doc *doc;
	struct view_list list;
	struct view root;
	char text[16];
	int rc = admin_query_text(call->query, "kind", text, sizeof(text));

	while (rc > 0 && at < array_len(kinds) && strcmp(text, kinds[at].name) != 0)
		at++;
	if (rc < 0 || at == array_len(kinds)) {
		admin_reply_error(reply, 400, "bad_request", "kind is sources, names or ja4");
	} else if (admin_query_number(call->query, "n", TOP_N_MAX, &n) < 0) {
		admin_reply_error(
			reply, 400, "bad_request", "n is a number of rows, 1 to %d", TOP_N_MAX);
	} else {
		doc = admin_doc_new();
		root = (struct view){doc, yyjson_mut_doc_get_root(doc)};
		view_text(&root, "kind", kinds[at].name);
		list = view_list(&root, "rows");
		put_top(arg, kinds[at].kind, n, &list);
		admin_reply_finish(reply, 200, doc);
	}
}

/* --- watching */

static bool read_filter(
	const struct admin_call *call, struct watch_filter *filter, struct admin_reply *reply)
{
	char source[PREFIX_BYTES];
	struct err err = {"it is too long"};
	int rc = admin_query_text(call->query, "reason", filter->reason, sizeof(filter->reason));

	if (rc < 0 || (rc > 0 && !watch_reason_exists(filter->reason))) {
		admin_reply_error(reply, 400, "bad_request",
			"there is no reason \"%s\": /v1/counters lists those of \"xdp\" and "
			"\"gate\"",
			rc < 0 ? "" : filter->reason);
		return false;
	}
	rc = admin_query_text(call->query, "source", source, sizeof(source));
	if (rc == 0)
		return true;
	if (rc > 0)
		rc = dp_prefix_parse(slice_of(source), &filter->source, &err);
	if (rc < 0)
		admin_reply_error(reply, 400, "bad_request", "source: %s", err.text);
	filter->has_source = true;
	return rc == 0;
}

void view_watch_drops(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	struct watch_filter filter = {0};

	if (!daemon->watch)
		admin_reply_error(reply, 501, "not_implemented", "this daemon does not offer %s",
			"/v1/watch/drops");
	else if (read_filter(call, &filter, reply))
		watch_hub_open(daemon->watch, &filter, reply);
}

const char *view_listener_name(void *daemon, uint32_t id, const union addr *local)
{
	const struct build *build = ((struct daemon *)daemon)->build;
	const struct built_listener *built;
	const char *wild = NULL;
	union addr any;
	uint32_t i, at;

	for (i = 0; i < build->n_listeners; i++) {
		built = &build->built[i];
		if (id != UINT32_MAX) {
			if (built->listener->spec.stats->id == id)
				return build->config->listeners[i].name;
			continue;
		}
		for (at = 0; at < built->n_sockets; at++) {
			if (addr_eq(&built->sockets[at]->addr, local))
				return build->config->listeners[i].name;
			any = (union addr){.any.sa_family = local->any.sa_family};
			addr_port_set(&any, addr_port(local));
			if (addr_eq(&built->sockets[at]->addr, &any))
				wild = build->config->listeners[i].name;
		}
	}
	return wild;
}
