/*
 * Deny and allow lists in the admin API, reading: GET /v1/deny and /v1/deny/export. A list may have
 * millions of entries, so that answers are streams: a piece is written whenever the client has
 * taken the one before. Control thread.
 */
#include "control/views_parts.h"

#include "control/admin_request.h"
#include "control/lists_text.h"
#include "core/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PIECE_BYTES = 16 * 1024,
	ROW_BYTES_MAX = 256,
	HITS_MAX = 1024, /* prefixes with the most hits whose count is shown */
	ADDRESS_BYTES = 64,
};

enum { ANY_SOURCE = -1 };

/* What was asked for, and how far the answer is. */
struct listing {
	struct admin_reply *reply; /* until the stream begins */
	struct admin_stream *stream;
	struct lists_view *entries;
	enum list_kind kind;
	int source; /* enum lists_source, or ANY_SOURCE */
	bool is_match; /* `match` is all there is to show */
	bool has_match;
	struct lists_entry match;
	size_t next;  /* entry */
	bool has_row; /* one was written */
	struct lists_report report;
	struct lists_hits hits; /* rows NULL: none are counted */
};

bool view_list_kind(struct slice query, struct admin_reply *reply, enum list_kind *ret_kind)
{
	char text[16];
	int rc = admin_query_text(query, "list", text, sizeof(text));

	if (rc == 0 || strcmp(text, "deny") == 0) {
		*ret_kind = LIST_DENY;
		return true;
	}
	if (rc > 0 && strcmp(text, "allow") == 0) {
		*ret_kind = LIST_ALLOW;
		return true;
	}
	admin_reply_error(reply, 400, "bad_request", "list is deny or allow");
	return false;
}

bool view_lists_there(const struct daemon *daemon, struct admin_reply *reply)
{
	if (daemon->lists)
		return true;
	admin_reply_error(reply, 501, "not_implemented", "this daemon has no lists");
	return false;
}

static void listing_free(void *arg)
{
	struct listing *listing = arg;

	lists_view_put(listing->entries);
	free(listing->hits.rows);
	free(listing);
}

/* --- rows */

static int by_prefix(const void *a, const void *b)
{
	return dp_prefix_compare(&((const struct dp_deny_hits *)a)->prefix,
		&((const struct dp_deny_hits *)b)->prefix);
}

/* Of prefixes beyond the HITS_MAX with the most hits nothing is known: null. */
static void print_hits(const struct listing *listing, const struct lists_entry *entry, FILE *out)
{
	struct dp_deny_hits wanted = {.prefix = entry->prefix};
	const struct dp_deny_hits *found = NULL;

	if (listing->hits.rows)
		found = bsearch(&wanted, listing->hits.rows, listing->hits.count, sizeof(wanted),
			by_prefix);
	if (found)
		fprintf(out, "%" PRIu64, found->hits);
	else
		fputs(listing->hits.rows && listing->hits.count < HITS_MAX ? "0" : "null", out);
}

static void print_row(const struct listing *listing, const struct lists_entry *entry, FILE *out)
{
	char prefix[DP_PREFIX_TEXT_BYTES];

	dp_prefix_print(&entry->prefix, prefix);
	fprintf(out, "%s\n{\"prefix\":\"%s\",\"source\":\"%s\",\"expires_at\":",
		listing->has_row ? "," : "", prefix,
		lists_source_name((enum lists_source)entry->source));
	if (entry->expires_unix_s)
		fprintf(out, "%" PRId64, entry->expires_unix_s);
	else
		fputs("null", out);
	fputs(",\"hits\":", out);
	print_hits(listing, entry, out);
	putc('}', out);
}

/* The next entry that was asked for. False: there is none left. */
static bool next_entry(struct listing *listing, struct lists_entry *ret_entry)
{
	size_t count = lists_view_count(listing->entries, listing->kind);

	if (listing->is_match) {
		*ret_entry = listing->match;
		return listing->has_match && listing->next++ == 0;
	}
	while (listing->next < count) {
		*ret_entry = lists_view_entry(listing->entries, listing->kind, listing->next++);
		if (listing->source == ANY_SOURCE || ret_entry->source == listing->source)
			return true;
	}
	return false;
}

/* As many rows as fit; false: these were the last ones. */
static bool print_piece(struct listing *listing, char piece[static PIECE_BYTES], size_t *ret_len)
{
	FILE *out = fmemopen(piece, PIECE_BYTES, "w");
	struct lists_entry entry;
	bool has_more = true;

	if (!out)
		abort();
	while (ftell(out) < PIECE_BYTES - ROW_BYTES_MAX) {
		has_more = next_entry(listing, &entry);
		if (!has_more)
			break;
		print_row(listing, &entry, out);
		listing->has_row = true;
	}
	if (!has_more)
		fputs(listing->has_row ? "\n]}\n" : "]}\n", out);
	*ret_len = (size_t)ftell(out);
	fclose(out);
	return has_more;
}

/* The client has taken everything: a few pieces more. */
static void listing_goes_on(void *arg)
{
	struct listing *listing = arg;
	char piece[PIECE_BYTES];
	size_t room = ADMIN_STREAM_BYTES_MAX / 2, len = 0;
	bool has_more = true;

	while (has_more && room >= PIECE_BYTES) {
		has_more = print_piece(listing, piece, &len);
		if (!admin_stream_put(listing->stream, piece, len))
			abort(); /* there is room for more than this when all was taken */
		room -= PIECE_BYTES;
	}
	if (has_more)
		return;
	admin_stream_end(listing->stream);
	listing_free(listing);
}

/* --- the beginning */

static void put_report(const struct listing *listing, const struct view *root)
{
	const struct lists_report *report = &listing->report;
	struct view counts;
	int source;

	view_text(root, "list", lists_kind_name(listing->kind));
	counts = view_object(root, "counts");
	for (source = 0; source < LIST_SOURCES; source++)
		view_number(&counts, lists_source_name((enum lists_source)source),
			report->counts[listing->kind][source]);
	view_bool(root, "hits_counted", report->hits);
	view_number(root, "map_bytes", report->map_bytes);
	view_number(root, "build_ms", report->build_ms);
	view_time(root, "changed_at", report->changed_unix_s);
	view_bool(root, "changing", report->is_changing);
	view_text(root, "error", *report->error ? report->error : NULL);
}

/* The whole document up to its entries, which take the place of the closing brace. */
static bool put_head(const struct listing *listing)
{
	static const char entries[] = ",\"entries\":[";
	yyjson_mut_doc *doc = admin_doc_new();
	struct view root = {doc, yyjson_mut_doc_get_root(doc)};
	char *text;
	size_t len;
	bool done;

	put_report(listing, &root);
	text = yyjson_mut_write(doc, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &len);
	yyjson_mut_doc_free(doc);
	if (!text)
		abort();
	done = admin_stream_put(listing->stream, text, len - 1) &&
	       admin_stream_put(listing->stream, entries, sizeof(entries) - 1);
	free(text);
	return done;
}

static void begin(struct listing *listing)
{
	static const struct admin_stream_ops ops = {listing_goes_on, listing_free};

	listing->stream = admin_reply_stream(listing->reply, "application/json", &ops, listing);
	if (!listing->stream)
		listing_free(listing);
	else if (!put_head(listing))
		abort();
}

static void hits_read(struct lists_hits *hits, int code, const char *text)
{
	struct listing *listing = container_of(hits, struct listing, hits);

	if (code < 0) {
		admin_reply_error(listing->reply, 500, "internal", "hits: %s", text);
		listing_free(listing);
		return;
	}
	qsort(hits->rows, hits->count, sizeof(*hits->rows), by_prefix);
	begin(listing);
}

static bool read_source(struct slice query, struct admin_reply *reply, int *ret_source)
{
	char text[16];
	int rc = admin_query_text(query, "source", text, sizeof(text));
	int source;

	*ret_source = ANY_SOURCE;
	if (rc == 0)
		return true;
	for (source = 0; rc > 0 && source < LIST_SOURCES; source++)
		if (strcmp(text, lists_source_name((enum lists_source)source)) == 0) {
			*ret_source = source;
			return true;
		}
	admin_reply_error(reply, 400, "bad_request", "source is config, file or api");
	return false;
}

/* 1: an address was given, 0: none, negative: it is none, and the client has been told. */
static int read_address(
	struct slice query, struct admin_reply *reply, struct dp_prefix *ret_address)
{
	char text[ADDRESS_BYTES];
	struct err err = {"it is too long"};
	int rc = admin_query_text(query, "address", text, sizeof(text));

	if (rc == 0)
		return 0;
	if (rc > 0)
		rc = dp_prefix_parse(slice_of(text), ret_address, &err);
	if (rc == 0 && ret_address->length_bits == (ret_address->v6 ? 128 : 32))
		return 1;
	admin_reply_error(reply, 400, "bad_request", "address is one IPv4 or IPv6 address%s%s",
		rc < 0 ? ": " : "", rc < 0 ? err.text : "");
	return -EINVAL;
}

void view_lists_show(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	struct dp_prefix address;
	struct listing *listing;
	enum list_kind kind;
	int source, has_address;

	if (!view_lists_there(daemon, reply) || !view_list_kind(call->query, reply, &kind) ||
		!read_source(call->query, reply, &source))
		return;
	has_address = read_address(call->query, reply, &address);
	if (has_address < 0)
		return;
	listing = mem_zalloc(sizeof(*listing));
	listing->reply = reply;
	listing->kind = kind;
	listing->source = source;
	listing->entries = lists_view_get(daemon->lists);
	lists_report(daemon->lists, &listing->report);
	listing->is_match = has_address;
	if (has_address)
		listing->has_match = lists_view_match(
			listing->entries, kind, address.v6, address.addr, &listing->match);
	if (kind != LIST_DENY || !listing->report.hits) {
		begin(listing);
		return;
	}
	listing->hits.rows = mem_alloc(HITS_MAX * sizeof(*listing->hits.rows));
	listing->hits.max = HITS_MAX;
	listing->hits.done = hits_read;
	lists_hits_read(daemon->lists, &listing->hits);
}

/* --- lines for an import */

struct exporting {
	struct job job;
	struct admin_reply *reply;
	struct admin_stream *stream;
	struct lists_view *entries;
	enum list_kind kind;
	char *text;
	size_t len, sent;
};

static void export_free(void *arg)
{
	struct exporting *export = arg;

	free(export->text);
	free(export);
}

static void export_goes_on(void *arg)
{
	struct exporting *export = arg;
	size_t piece = export->len - export->sent;

	if (piece > ADMIN_STREAM_BYTES_MAX / 2)
		piece = ADMIN_STREAM_BYTES_MAX / 2;
	if (piece == 0) {
		admin_stream_end(export->stream);
		export_free(export);
		return;
	}
	if (!admin_stream_put(export->stream, export->text + export->sent, piece))
		abort(); /* there is room for more than this when all was taken */
	export->sent += piece;
}

static void print_export(struct job *job)
{
	struct exporting *export = container_of(job, struct exporting, job);

	export->text = lists_view_export(export->entries, export->kind, &export->len);
	lists_view_put(export->entries);
}

static void send_export(struct job *job)
{
	static const struct admin_stream_ops ops = {export_goes_on, export_free};
	struct exporting *export = container_of(job, struct exporting, job);

	export->stream = admin_reply_stream(export->reply, "text/plain", &ops, export);
	if (!export->stream)
		export_free(export);
}

void view_lists_export(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	struct exporting *export;
	enum list_kind kind;

	if (!view_lists_there(daemon, reply) || !view_list_kind(call->query, reply, &kind))
		return;
	export = mem_zalloc(sizeof(*export));
	export->reply = reply;
	export->kind = kind;
	export->entries = lists_view_get(daemon->lists);
	export->job.run = print_export;
	export->job.done = send_export;
	loader_submit(daemon->loader, &export->job);
}
