/* Which certificates end soon: see expiry_scan.h. */
#define LOG_MODULE "certificates"
#include "control/expiry_scan.h"

#include "control/config.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yyjson.h>

enum {
	CERTS_AT_ONCE = 16384, /* some 1 ms */
	LINES_MAX = 100, /* then how many more */
	NAMES_MAX = 20, /* of a certificate, in an alert */
	LISTENERS_TEXT_BYTES = 160,
	DAY_S = 24 * 3600,
	KEPT_S = 90 * DAY_S, /* a note, after its certificate has ended */
};

void expiry_alert_free(struct expiry_alert *alert)
{
	list_del(&alert->link);
	free(alert->json);
	free(alert);
}

void expiry_scan_fini(struct expiry_scan *scan)
{
	struct list *link, *after;

	if (scan->alerts.next)
		list_for_each_safe(link, after, &scan->alerts)
			expiry_alert_free(container_of(link, struct expiry_alert, link));
	certs_in_use_free(scan->certs);
	free(scan->waiting);
	free(scan->outcomes);
	*scan = (struct expiry_scan){0};
}

static int compare_fingerprints(const void *a, const void *b)
{
	return memcmp(a, b, EXPIRY_FINGERPRINT_BYTES); /* the first member of both */
}

static void take_outcome(
	struct expiry_scan *scan, struct expiry_book *book, const struct expiry_outcome *outcome)
{
	struct expiry_note *note = expiry_book_find(book, outcome->fingerprint);

	if (!note)
		return;
	note->is_queued = false;
	if (!outcome->is_delivered || note->before_s != outcome->before_s)
		return;
	note->is_delivered = true;
	scan->is_book_changed = true;
}

void expiry_scan_begin(struct expiry_scan *scan, struct expiry_book *book)
{
	uint32_t i;

	list_init(&scan->alerts);
	scan->next_s = UINT32_MAX;
	if (scan->n_waiting)
		qsort(scan->waiting, scan->n_waiting, sizeof(*scan->waiting), compare_fingerprints);
	for (i = 0; i < scan->n_outcomes; i++)
		take_outcome(scan, book, &scan->outcomes[i]);
	expiry_book_prune(book, scan->now_unix_s - KEPT_S);
}

/* --- levels */

/* The nearest one that is reached; n_levels: none is. */
static uint32_t level_of(const struct expiry_scan *scan, int64_t left_s)
{
	uint32_t level = 0;

	while (level < scan->n_levels &&
		(level ? left_s > (int64_t)scan->levels_s[level] : left_s >= 0))
		level++;
	return level;
}

static void note_next(struct expiry_scan *scan, uint32_t level, int64_t left_s)
{
	int64_t next_s;

	if (!level || !scan->n_levels)
		return;
	next_s = left_s - (int64_t)scan->levels_s[level - 1] + (level == 1);
	if (next_s < (int64_t)scan->next_s)
		scan->next_s = (uint32_t)next_s;
}

/* --- texts */
static const char *date_text(int64_t at_unix_s, char *ret_text, size_t size)
{
	time_t at = (time_t)at_unix_s;
	struct tm tm;

	if (!gmtime_r(&at, &tm) || !strftime(ret_text, size, "%Y-%m-%d %H:%M UTC", &tm))
		snprintf(ret_text, size, "(no date)");
	return ret_text;
}

static const char *left_text(int64_t left_s, char *ret_text, size_t size)
{
	if (left_s >= 2 * DAY_S)
		snprintf(ret_text, size, "%lld days", (long long)(left_s / DAY_S));
	else if (left_s >= 2 * 3600)
		snprintf(ret_text, size, "%lld hours", (long long)(left_s / 3600));
	else
		snprintf(ret_text, size, "%lld minutes", (long long)(left_s / 60));
	return ret_text;
}

static const char *listeners_text(
	const struct expiry_scan *scan, const struct certs_entry *entry, char *ret_text)
{
	const char *name, *between = "";
	uint32_t cursor = 0;
	size_t used = 0;

	ret_text[0] = '\0';
	while ((name = certs_in_use_listener(scan->certs, entry, &cursor))) {
		if (used + strlen(name) + 8 >= LISTENERS_TEXT_BYTES) {
			snprintf(ret_text + used, LISTENERS_TEXT_BYTES - used, ", ...");
			break;
		}
		used += (size_t)snprintf(
			ret_text + used, LISTENERS_TEXT_BYTES - used, "%s%s", between, name);
		between = ", ";
	}
	return ret_text;
}

static void tell(struct expiry_scan *scan, const struct cert *cert, int64_t left_s)
{
	const struct certs_entry *entry = &scan->certs->entries[scan->cursor.entry];
	char name[CERT_NAME_BYTES], date[32], left[32], listeners[LISTENERS_TEXT_BYTES];

	if (scan->n_told++ >= LINES_MAX)
		return;
	cert_name(cert, name);
	date_text(cert_facts(cert)->not_after_unix_s, date, sizeof(date));
	listeners_text(scan, entry, listeners);
	if (left_s < 0)
		log_error("certificate %s has expired (%s), and clients of %s get it: renew it",
			name, date, listeners);
	else
		log_warn("certificate %s of %s expires in %s (%s): renew it", name, listeners,
			left_text(left_s, left, sizeof(left)), date);
}

/* --- alerts */
static void put_names(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct cert *cert)
{
	yyjson_mut_val *names = yyjson_mut_obj_add_arr(doc, root, "names");
	uint32_t cursor = 0, n = 0;
	struct slice name;

	while (n++ < NAMES_MAX && cert_next_name(cert, &cursor, &name))
		yyjson_mut_arr_add_strncpy(doc, names, name.ptr, name.len);
}

static void put_listeners(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct expiry_scan *scan)
{
	yyjson_mut_val *listeners = yyjson_mut_obj_add_arr(doc, root, "listeners");
	const char *name;
	uint32_t cursor = 0;

	while ((name = certs_in_use_listener(
			scan->certs, &scan->certs->entries[scan->cursor.entry], &cursor)))
		yyjson_mut_arr_add_strcpy(doc, listeners, name);
}

static char *alert_json(
	const struct expiry_scan *scan, const struct cert *cert, uint32_t before_s, int64_t left_s)
{
	yyjson_write_flag flags = YYJSON_WRITE_ALLOW_INVALID_UNICODE | YYJSON_WRITE_ESCAPE_UNICODE;
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	struct cert_description texts;
	char *json;

	yyjson_mut_doc_set_root(doc, root);
	cert_describe(cert, &texts);
	yyjson_mut_obj_add_str(doc, root, "name", texts.name);
	yyjson_mut_obj_add_str(doc, root, "state", left_s < 0 ? "expired" : "expiring");
	yyjson_mut_obj_add_sint(doc, root, "not_after", cert_facts(cert)->not_after_unix_s);
	yyjson_mut_obj_add_sint(doc, root, "left_s", left_s);
	yyjson_mut_obj_add_uint(doc, root, "threshold_s", before_s);
	put_names(doc, root, cert);
	put_listeners(doc, root, scan);
	yyjson_mut_obj_add_str(doc, root, "issuer", texts.issuer);
	yyjson_mut_obj_add_str(doc, root, "serial", texts.serial_hex);
	yyjson_mut_obj_add_str(doc, root, "fingerprint", texts.fingerprint_sha256);
	yyjson_mut_obj_add_str(doc, root, "source", texts.cert_path);
	json = yyjson_mut_write(doc, flags, NULL);
	cert_description_fini(&texts);
	yyjson_mut_doc_free(doc);
	return json;
}

static void queue(
	struct expiry_scan *scan, const struct cert *cert, struct expiry_note *note, int64_t left_s)
{
	struct expiry_alert *alert;

	if (note->is_delivered || note->is_queued || scan->n_alerts >= scan->room)
		return;
	alert = mem_zalloc(sizeof(*alert));
	memcpy(alert->fingerprint, note->fingerprint, sizeof(alert->fingerprint));
	alert->before_s = note->before_s;
	alert->json = alert_json(scan, cert, note->before_s, left_s);
	if (!alert->json)
		abort();
	note->is_queued = true;
	list_add_tail(&scan->alerts, &alert->link);
	scan->n_alerts++;
}

static void find_waiting(struct expiry_scan *scan, const uint8_t *fingerprint)
{
	struct expiry_waiting *waiting = NULL;

	if (scan->n_waiting)
		waiting = bsearch(fingerprint, scan->waiting, scan->n_waiting,
			sizeof(*scan->waiting), compare_fingerprints);
	if (waiting)
		waiting->is_there = true;
}

static void look_at_near(struct expiry_scan *scan, struct expiry_book *book,
	const struct cert *cert, uint32_t before_s, int64_t left_s)
{
	uint8_t fingerprint[EXPIRY_FINGERPRINT_BYTES];
	struct expiry_note *note;

	cert_fingerprint(cert, fingerprint);
	find_waiting(scan, fingerprint);
	note = expiry_book_put(book, fingerprint, cert_facts(cert)->not_after_unix_s);
	if (before_s < note->before_s) {
		note->before_s = before_s;
		note->is_delivered = !scan->has_webhook;
		scan->is_book_changed = true;
		tell(scan, cert, left_s);
	}
	if (scan->has_webhook)
		queue(scan, cert, note, left_s);
}

static void look_at(struct expiry_scan *scan, struct expiry_book *book, const struct cert *cert)
{
	int64_t left_s = cert_facts(cert)->not_after_unix_s - scan->now_unix_s;
	uint32_t level;

	if (cert_state(cert) == CERT_BAD) /* served to nobody */
		return;
	level = level_of(scan, left_s);
	note_next(scan, level, left_s);
	scan->n_certificates++;
	scan->n_expired += left_s < 0;
	if (level == scan->n_levels)
		return;
	scan->n_expiring += left_s >= 0;
	look_at_near(scan, book, cert, scan->levels_s[level], left_s);
}

void expiry_scan_some(struct expiry_scan *scan, struct expiry_book *book)
{
	uint64_t started_us = clock_mono_us();
	struct cert *cert = NULL;
	uint32_t n = 0;

	while (n++ < CERTS_AT_ONCE && (cert = certs_in_use_next(scan->certs, &scan->cursor)))
		look_at(scan, book, cert);
	scan->took_us += clock_mono_us() - started_us;
	scan->is_over = !cert;
	if (scan->is_over && scan->n_told > LINES_MAX)
		log_warn("%llu more certificates have expired or will soon",
			(unsigned long long)(scan->n_told - LINES_MAX));
}
