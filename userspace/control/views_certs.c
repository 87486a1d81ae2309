/* The view of certificates: single ones, and directories of them. See views.h. */
#include "control/views_parts.h"

#include "control/admin_request.h"
#include "control/certdir.h"
#include "control/renewal.h"
#include "core/clock.h"
#include "core/mem.h"
#include "tls/cert.h"
#include "tls/staple.h"

#include <stdlib.h>
#include <string.h>

enum {
	DAY_S = 24 * 60 * 60,
	PAGE_ROWS = 256, /* each is parsed anew for its row */
	PAGE_ROWS_MAX = PAGE_ROWS,
	FAULTS_SHOWN_MAX = 100,
};

/* With `default_only`, the listeners that serve it to clients whose name nothing matches. */
static void put_users(const struct config *config, const struct config_certificate *certificate,
	bool default_only, const struct view_list *list)
{
	const struct config_listener *listener;
	uint32_t i, at;

	for (i = 0; i < config->listeners_count; i++) {
		listener = &config->listeners[i];
		for (at = 0; at < listener->certificates_count; at++)
			if (listener->certificates[at] == certificate) {
				if (at == 0 || !default_only)
					view_list_text(list, listener->name);
				break;
			}
	}
}

/* Whole days, rounded down: -1 on the first day after. */
static int64_t days_between(int64_t from_unix_s, int64_t to_unix_s)
{
	int64_t seconds = to_unix_s - from_unix_s;

	return seconds >= 0 ? seconds / DAY_S : -((DAY_S - 1 - seconds) / DAY_S);
}

static const char *state_word(const struct cert *cert)
{
	switch (cert_state(cert)) {
	case CERT_GOOD:
		return "good";
	case CERT_BAD:
		return "bad";
	case CERT_UNCHECKED:
		break;
	}
	return "unchecked";
}

static void put_names(const struct cert *cert, const struct view *row)
{
	struct view_list names = view_list(row, "names");
	char text[256];
	struct slice name;
	uint32_t cursor = 0;

	while (cert_next_name(cert, &cursor, &name)) {
		memcpy(text, name.ptr, name.len);
		text[name.len] = '\0';
		view_list_text(&names, text);
	}
}

/* Replaced responses are freed on this thread. */
static void put_ocsp(const struct cert *cert, const struct view *row)
{
	const struct staple *staple = cert_staple(cert);
	struct view ocsp = view_object(row, "ocsp");
	bool is_good = staple && staple->next_update_unix_s > clock_unix_s();

	view_bool(&ocsp, "must_staple", cert_facts(cert)->must_staple);
	view_bool(&ocsp, "stapled", is_good);
	view_time(&ocsp, "this_update_at", is_good ? staple->this_update_unix_s : 0);
	view_time(&ocsp, "next_update_at", is_good ? staple->next_update_unix_s : 0);
}

static void put_certificate(const struct build *build, uint32_t index, const struct cert *cert,
	const struct view_list *list)
{
	const struct config_certificate *config = &build->config->certificates[index];
	const struct cert_facts *facts = cert_facts(cert);
	struct view row = view_list_object(list);
	struct cert_description texts;
	struct view_list names;

	cert_describe(cert, &texts);
	view_text(&row, "name", texts.name);
	put_names(cert, &row);
	view_text(&row, "issuer", texts.issuer);
	view_text(&row, "serial", texts.serial_hex);
	view_text(&row, "fingerprint", texts.fingerprint_sha256);
	view_text(&row, "key_type", texts.key_type);
	view_number(&row, "intermediates", texts.n_chain);
	view_number(&row, "scts", texts.n_scts);
	view_signed(&row, "not_before", facts->not_before_unix_s);
	view_signed(&row, "not_after", facts->not_after_unix_s);
	view_signed(&row, "days_left", days_between(clock_unix_s(), facts->not_after_unix_s));
	put_ocsp(cert, &row);
	names = view_list(&row, "listeners");
	put_users(build->config, config, false, &names);
	names = view_list(&row, "default_for");
	put_users(build->config, config, true, &names);
	view_text(&row, "source", texts.cert_path);
	view_text(&row, "state", state_word(cert));
	view_text(&row, "fault", build->certs[index].fault);
	cert_description_fini(&texts);
}

static void put_faults(const struct certdir *dir, const struct view *row)
{
	struct view_list list = view_list(row, "faults");
	struct certdir_cursor cursor = {0};
	struct certdir_fault fault;
	struct view item;
	uint32_t n = 0;

	while (n++ < FAULTS_SHOWN_MAX && certdir_next_fault(dir, &cursor, &fault)) {
		item = view_list_object(&list);
		view_text(&item, "file", fault.file);
		view_text(&item, "fault", fault.text);
		view_bool(&item, "last_good_served", fault.has_last_good);
	}
}

/* How many of a directory are what. */
struct census {
	uint64_t states[CERT_BAD + 1], expired;
	int64_t first_not_after_unix_s; /* of those that are not expired; 0: none */
};

static void count(const struct certdir *dir, struct census *census)
{
	struct certdir_cursor cursor = {0};
	int64_t now_unix_s = clock_unix_s(), not_after_unix_s;
	const struct cert *cert;

	while ((cert = certdir_next(dir, &cursor))) {
		census->states[cert_state(cert)]++;
		not_after_unix_s = cert_facts(cert)->not_after_unix_s;
		if (cert_is_expired(cert, now_unix_s))
			census->expired++;
		else if (!census->first_not_after_unix_s ||
			 not_after_unix_s < census->first_not_after_unix_s)
			census->first_not_after_unix_s = not_after_unix_s;
	}
}

static void put_directory(const struct build *build, uint32_t index, const struct view_list *list)
{
	const struct config_certificate *config = &build->config->certificates[index];
	const struct certdir *dir = build->certs[index].dir;
	struct view row = view_list_object(list);
	struct census census = {0};
	struct view_list names;

	count(dir, &census);
	view_text(&row, "name", config->name);
	view_text(&row, "source", config->directory_path);
	view_number(&row, "pairs", certdir_len(dir));
	view_number(&row, "unchecked", census.states[CERT_UNCHECKED]);
	view_number(&row, "bad", census.states[CERT_BAD]);
	view_number(&row, "expired", census.expired);
	view_time(&row, "first_not_after", census.first_not_after_unix_s);
	names = view_list(&row, "listeners");
	put_users(build->config, config, false, &names);
	view_number(&row, "faulty", certdir_faults(dir));
	put_faults(dir, &row);
}

/* --- pages */

/* A place in the inventory: which certificate of all entries, in their order. */
struct page {
	const struct build *build;
	struct view_list list;
	uint64_t at; /* rows passed */
	uint64_t first, end; /* rows on this page */
};

static void offer(struct page *page, uint32_t index, const struct cert *cert)
{
	if (page->at >= page->first && page->at < page->end)
		put_certificate(page->build, index, cert, &page->list);
	page->at++;
}

static void offer_dir(struct page *page, uint32_t index)
{
	const struct certdir *dir = page->build->certs[index].dir;
	struct certdir_cursor cursor = {0};
	size_t n = certdir_len(dir);
	const struct cert *cert;

	if (page->at + n <= page->first || page->at >= page->end) {
		page->at += n;
		return;
	}
	while ((cert = certdir_next(dir, &cursor)))
		offer(page, index, cert);
}

static void put_page(struct page *page)
{
	uint32_t i;

	for (i = 0; i < page->build->config->certificates_count; i++) {
		if (page->build->certs[i].cert)
			offer(page, i, page->build->certs[i].cert);
		else if (page->build->certs[i].dir)
			offer_dir(page, i);
	}
}

/* The one of that name. False: there is none. */
static bool put_named(const struct build *build, const char *name, const struct view_list *list)
{
	char text[CERT_NAME_BYTES];
	struct certdir_cursor cursor;
	const struct cert *cert;
	uint32_t i;

	for (i = 0; i < build->config->certificates_count; i++) {
		const char *entry = build->config->certificates[i].name;

		if (build->certs[i].cert && strcmp(entry, name) == 0) {
			put_certificate(build, i, build->certs[i].cert, list);
			return true;
		}
		if (!build->certs[i].dir || strncmp(entry, name, strlen(entry)) != 0)
			continue;
		cursor = (struct certdir_cursor){0};
		while ((cert = certdir_next(build->certs[i].dir, &cursor)))
			if (strcmp(cert_name(cert, text), name) == 0) {
				put_certificate(build, i, cert, list);
				return true;
			}
	}
	return false;
}

static void put_renewal(const struct daemon *daemon, const struct view *root)
{
	const struct renewal_facts *facts = renewal_facts(daemon);
	struct view row = view_object(root, "renewal");

	view_number(&row, "changes", facts->changes);
	view_time(&row, "at", facts->at_unix_s);
	view_number(&row, "removed", facts->n_removed);
	view_number(&row, "added", facts->n_added);
	view_number(&row, "took_us", facts->took_us);
}

static void put_directories(const struct build *build, const struct view *root)
{
	struct view_list list = view_list(root, "directories");

	for (uint32_t i = 0; i < build->config->certificates_count; i++)
		if (build->certs[i].dir)
			put_directory(build, i, &list);
}

static void show_page(
	const struct daemon *daemon, uint64_t after, uint32_t limit, struct admin_reply *reply)
{
	yyjson_mut_doc *doc = admin_doc_new();
	struct view root = {doc, yyjson_mut_doc_get_root(doc)};
	struct page page = {.build = daemon->build, .first = after, .end = after + limit};

	page.list = view_list(&root, "certificates");
	put_page(&page);
	view_number(&root, "total", page.at);
	if (page.at > page.end)
		view_number(&root, "next", page.end);
	else
		view_null(&root, "next");
	if (after == 0) {
		put_directories(daemon->build, &root);
		put_renewal(daemon, &root);
	}
	admin_reply_finish(reply, 200, doc);
}

static void show_named(const struct daemon *daemon, const char *name, struct admin_reply *reply)
{
	yyjson_mut_doc *doc = admin_doc_new();
	struct view root = {doc, yyjson_mut_doc_get_root(doc)};
	struct view_list list = view_list(&root, "certificates");

	if (put_named(daemon->build, name, &list)) {
		admin_reply_finish(reply, 200, doc);
		return;
	}
	yyjson_mut_doc_free(doc);
	admin_reply_error(reply, 404, "not_found", "there is no certificate %s", name);
}

void view_certificates(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	uint32_t after = 0, limit = PAGE_ROWS;
	char name[CERT_NAME_BYTES];
	int named = admin_query_text(call->query, "name", name, sizeof(name));

	if (named < 0 || admin_query_number(call->query, "after", UINT32_MAX, &after) < 0 ||
		admin_query_number(call->query, "limit", PAGE_ROWS_MAX, &limit) < 0)
		admin_reply_error(reply, 400, "bad_request",
			"name is that of a certificate, after the \"next\" of the page before, "
			"limit 1 to %d",
			PAGE_ROWS_MAX);
	else if (named > 0)
		show_named(arg, name, reply);
	else
		show_page(arg, after, limit, reply);
}
