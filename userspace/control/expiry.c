/* Watching when certificates expire: see expiry.h. A look and a try of the webhook exclude each
 * other, so that nothing is sent about a certificate that the last look did not find. */
#define LOG_MODULE "certificates"
#include "control/expiry.h"

#include "control/daemon.h"
#include "control/disk.h"
#include "control/expiry_scan.h"
#include "control/http_client.h"
#include "core/clock.h"
#include "core/hash.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	AFTER_CHANGE_MS = 500,
	LOOK_MS_MAX = 60 * 60 * 1000, /* the clock may be set */
	LOOK_SHARE = 100, /* at most this part of the time goes into looking */
	WAITING_MAX = 1000,
	SENT_AT_ONCE = 50,
	RETRY_MS_MAX = 60 * 60 * 1000,
	BOOK_BYTES_MAX = 64 * 1024 * 1024,
	HOST_BYTES = 256,
};

static const char book_name[] = "alerts";

struct expiry {
	struct daemon *daemon;
	struct timer timer; /* the next look */
	struct job job;
	struct expiry_scan scan; /* the loader's while is_looking */
	struct expiry_book book; /* likewise */
	bool is_book_read, is_book_dirty, has_failed; /* likewise; `failed`: and it was told */
	bool is_looking;
	bool is_stale; /* certificates are others than the last look saw */
	uint64_t looked_ms, rest_ms; /* the last look, and how long to rest after it */

	struct list waiting; /* struct expiry_alert */
	uint32_t n_waiting, n_sent; /* `sent`: at the front, in the call */
	struct http_client_call *call;
	struct timer retry;
	uint32_t retry_ms; /* after the next failure; 0: there was none */
	char error[160];
	struct expiry_outcome *outcomes; /* for the next look */
	uint32_t n_outcomes;
	struct expiry_facts facts;
};

static void go_on(struct expiry *expiry);

/* --- the book on disk; loader thread */
static void book_failed(struct expiry *expiry, const struct err *err)
{
	if (!expiry->has_failed)
		log_warn("alerts will come again after a restart: %s", err->text);
	expiry->has_failed = true;
}

static void read_book(struct expiry *expiry)
{
	const char *path = expiry->scan.certs->config->state_dir_path;
	struct disk disk;
	struct err err;
	char *text;
	size_t len;
	int r;

	expiry->is_book_read = true;
	r = disk_open(&disk, path, false, &disk_kernel_calls, &err);
	if (r == 0)
		r = disk_read(&disk, book_name, BOOK_BYTES_MAX, &text, &len, &err);
	if (r < 0 && r != -ENOENT)
		book_failed(expiry, &err);
	if (r == 0) {
		if (!expiry_book_read(&expiry->book, (struct slice){text, len}))
			log_warn("%s/%s is damaged: alerts may come again", path, book_name);
		free(text);
	}
	disk_close(&disk);
}

static void write_book(struct expiry *expiry)
{
	struct disk disk;
	struct err err;
	size_t len;
	char *text;
	int r = disk_open(
		&disk, expiry->scan.certs->config->state_dir_path, true, &disk_kernel_calls, &err);

	if (r == 0) {
		text = expiry_book_text(&expiry->book, &len);
		r = disk_write(&disk, book_name, text, len, &err);
		free(text);
	}
	disk_close(&disk);
	if (r < 0) {
		book_failed(expiry, &err);
		return;
	}
	expiry->is_book_dirty = expiry->has_failed = false;
}

static void run_look(struct job *job)
{
	struct expiry *expiry = container_of(job, struct expiry, job);

	if (!expiry->is_book_read)
		read_book(expiry);
	if (!expiry->scan.alerts.next)
		expiry_scan_begin(&expiry->scan, &expiry->book);
	expiry_scan_some(&expiry->scan, &expiry->book);
	expiry->is_book_dirty |= expiry->scan.is_book_changed;
	if (expiry->scan.is_over && expiry->is_book_dirty)
		write_book(expiry);
}

/* --- alerts that wait */
static void note_outcome(struct expiry *expiry, const struct expiry_alert *alert, bool is_delivered)
{
	struct expiry_outcome *outcome;

	expiry->outcomes =
		mem_realloc(expiry->outcomes, (expiry->n_outcomes + 1) * sizeof(*expiry->outcomes));
	outcome = &expiry->outcomes[expiry->n_outcomes++];
	*outcome =
		(struct expiry_outcome){.before_s = alert->before_s, .is_delivered = is_delivered};
	memcpy(outcome->fingerprint, alert->fingerprint, sizeof(outcome->fingerprint));
}

static void remove_alert(struct expiry *expiry, struct expiry_alert *alert, bool is_delivered)
{
	note_outcome(expiry, alert, is_delivered);
	expiry_alert_free(alert);
	expiry->n_waiting--;
}

static int compare_fingerprints(const void *a, const void *b)
{
	return memcmp(a, b, EXPIRY_FINGERPRINT_BYTES); /* the first member */
}

static bool is_there(const struct expiry_scan *scan, const struct expiry_alert *alert)
{
	const struct expiry_waiting *waiting = bsearch(alert->fingerprint, scan->waiting,
		scan->n_waiting, sizeof(*scan->waiting), compare_fingerprints);

	return waiting && waiting->is_there;
}

/* Certificates that were replaced, or are not used any more. */
static void cancel_useless(struct expiry *expiry)
{
	struct list *link, *after;
	struct expiry_alert *alert;

	list_for_each_safe(link, after, &expiry->waiting) {
		alert = container_of(link, struct expiry_alert, link);
		if (is_there(&expiry->scan, alert))
			continue;
		remove_alert(expiry, alert, false);
		expiry->facts.cancelled++;
	}
}

static void take_alerts(struct expiry *expiry)
{
	struct list *link;

	while (!list_is_empty(&expiry->scan.alerts)) {
		link = expiry->scan.alerts.next;
		list_del(link);
		list_add_tail(&expiry->waiting, link);
		expiry->n_waiting++;
	}
}

/* --- the webhook */
static char *body_of(struct expiry *expiry, size_t *ret_len)
{
	char *text = NULL, *at, host[HOST_BYTES] = "";
	FILE *out = open_memstream(&text, ret_len);
	const char *between = "";
	struct list *link;

	if (!out)
		abort();
	gethostname(host, sizeof(host) - 1);
	for (at = host; *at; at++)
		if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
			*at = '?';
	fprintf(out,
		"{\"event\":\"certificate_expiry\",\"node\":\"%s\",\"sent_at\":%lld,"
		"\"certificates\":[",
		host, (long long)clock_unix_s());
	expiry->n_sent = 0;
	list_for_each(link, &expiry->waiting) {
		if (expiry->n_sent++ == SENT_AT_ONCE)
			break;
		fprintf(out, "%s%s", between, container_of(link, struct expiry_alert, link)->json);
		between = ",";
	}
	fputs("]}\n", out);
	if (fclose(out) != 0)
		abort();
	if (expiry->n_sent > SENT_AT_ONCE)
		expiry->n_sent = SENT_AT_ONCE;
	return text;
}

static void delivered(struct expiry *expiry)
{
	for (; expiry->n_sent; expiry->n_sent--) {
		remove_alert(expiry, container_of(expiry->waiting.next, struct expiry_alert, link),
			true);
		expiry->facts.delivered++;
	}
	expiry->retry_ms = 0;
	expiry->error[0] = '\0';
	expiry->is_stale = true; /* the book is to know */
}

/* Half as long up to one and a half times as long: not every node at once. */
static uint32_t about(uint32_t ms)
{
	uint32_t random;

	hash_random(&random, sizeof(random));
	return ms / 2 + random % (ms + 1);
}

static void failed(struct expiry *expiry, const char *why)
{
	const struct config_alerts *config = &expiry->daemon->build->config->alerts;
	char place[200];

	if (!expiry->retry_ms)
		expiry->retry_ms = config->retry_ms;
	http_client_place(config->webhook ? config->webhook : "", place, sizeof(place));
	if (strcmp(expiry->error, why) != 0)
		log_warn("the webhook %s does not take alerts, and is tried again: %s", place, why);
	snprintf(expiry->error, sizeof(expiry->error), "%s", why);
	expiry->facts.failed++;
	expiry->n_sent = 0;
	timer_set(expiry->daemon->io.loop, &expiry->retry, about(expiry->retry_ms));
	expiry->retry_ms =
		expiry->retry_ms < RETRY_MS_MAX / 2 ? 2 * expiry->retry_ms : RETRY_MS_MAX;
}

static void answered(void *arg, const struct http_client_answer *answer)
{
	struct expiry *expiry = arg;
	char why[160];

	expiry->call = NULL;
	snprintf(why, sizeof(why), "%.150s", answer->error);
	if (answer->status && (answer->status < 200 || answer->status > 299))
		snprintf(why, sizeof(why), "it answers %d", answer->status);
	if (answer->status >= 200 && answer->status <= 299)
		delivered(expiry);
	else
		failed(expiry, why);
	go_on(expiry);
}

static void send_some(struct expiry *expiry)
{
	const struct config_alerts *config = &expiry->daemon->build->config->alerts;
	struct http_client_request request = {
		.url = config->webhook,
		.content_type = "application/json",
		.ca_path = config->ca_path,
		.wants_status_only = true,
		.done = answered,
		.arg = expiry,
	};
	char *body = body_of(expiry, &request.body_len);
	struct err err;

	request.body = body;
	if (http_client_start(expiry->daemon->http, &request, &expiry->call, &err) < 0)
		failed(expiry, err.text);
	free(body);
}

static void try_again(struct timer *timer)
{
	go_on(container_of(timer, struct expiry, retry));
}

/* --- looks */
static int compare_numbers(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void set_levels(struct expiry_scan *scan, const struct config_alerts *config)
{
	uint32_t i;

	if (!config->expiry_ms_count)
		return;
	scan->n_levels = 1;
	for (i = 0; i < config->expiry_ms_count; i++)
		if (config->expiry_ms[i] >= 1000)
			scan->levels_s[scan->n_levels++] = (uint32_t)(config->expiry_ms[i] / 1000);
	qsort(scan->levels_s, scan->n_levels, sizeof(*scan->levels_s), compare_numbers);
}

static void ask_after_waiting(struct expiry *expiry)
{
	struct expiry_scan *scan = &expiry->scan;
	struct list *link;

	scan->waiting = mem_zalloc((expiry->n_waiting + 1) * sizeof(*scan->waiting));
	list_for_each(link, &expiry->waiting)
		memcpy(scan->waiting[scan->n_waiting++].fingerprint,
			container_of(link, struct expiry_alert, link)->fingerprint,
			EXPIRY_FINGERPRINT_BYTES);
}

static void start_look(struct expiry *expiry)
{
	struct expiry_scan *scan = &expiry->scan;
	const struct build *build = expiry->daemon->build;

	*scan = (struct expiry_scan){
		.certs = certs_in_use_new(build),
		.now_unix_s = clock_unix_s(),
		.has_webhook = build->config->alerts.webhook != NULL,
		.room = WAITING_MAX - expiry->n_waiting,
		.outcomes = expiry->outcomes,
		.n_outcomes = expiry->n_outcomes,
	};
	set_levels(scan, &build->config->alerts);
	ask_after_waiting(expiry);
	expiry->outcomes = NULL;
	expiry->n_outcomes = 0;
	expiry->is_stale = false;
	expiry->is_looking = true;
	loader_submit(expiry->daemon->loader, &expiry->job);
}

static void note_facts(struct expiry *expiry)
{
	const struct expiry_scan *scan = &expiry->scan;

	expiry->facts.looked_at_unix_s = scan->now_unix_s;
	expiry->facts.n_certificates = scan->n_certificates;
	expiry->facts.n_expired = scan->n_expired;
	expiry->facts.n_expiring = scan->n_expiring;
	expiry->facts.told += scan->n_told;
}

static void looked(struct job *job)
{
	struct expiry *expiry = container_of(job, struct expiry, job);
	struct expiry_scan *scan = &expiry->scan;
	uint64_t next_ms = (uint64_t)scan->next_s * 1000;

	if (!scan->is_over && !expiry->daemon->stopping) {
		loader_submit(expiry->daemon->loader, &expiry->job);
		return;
	}
	expiry->is_looking = false;
	if (scan->is_over) {
		note_facts(expiry);
		cancel_useless(expiry);
		take_alerts(expiry);
		expiry->looked_ms = loop_now_ms(expiry->daemon->io.loop);
		expiry->rest_ms = scan->took_us * LOOK_SHARE / 1000;
		next_ms = next_ms < LOOK_MS_MAX ? next_ms : LOOK_MS_MAX;
		timer_set(expiry->daemon->io.loop, &expiry->timer,
			next_ms > AFTER_CHANGE_MS ? (uint32_t)next_ms : AFTER_CHANGE_MS);
	}
	expiry_scan_fini(scan);
	go_on(expiry);
}

/* A look that is due comes first. */
static void go_on(struct expiry *expiry)
{
	struct loop *loop = expiry->daemon->io.loop;
	uint64_t now_ms = loop_now_ms(loop), from_ms = expiry->looked_ms + expiry->rest_ms;

	if (expiry->daemon->stopping || expiry->is_looking || expiry->call)
		return;
	if (expiry->is_stale) {
		if (from_ms < now_ms + AFTER_CHANGE_MS)
			from_ms = now_ms + AFTER_CHANGE_MS;
		if (!timer_is_set(&expiry->timer) || expiry->timer.due_mono_ms > from_ms)
			timer_set(loop, &expiry->timer, (uint32_t)(from_ms - now_ms));
	} else if (expiry->n_waiting && !timer_is_set(&expiry->retry) &&
		   expiry->daemon->build->config->alerts.webhook) {
		send_some(expiry);
	}
}

static void time_to_look(struct timer *timer)
{
	struct expiry *expiry = container_of(timer, struct expiry, timer);

	if (expiry->daemon->stopping)
		return;
	if (expiry->call || expiry->is_looking)
		expiry->is_stale = true; /* when that is over */
	else
		start_look(expiry);
}

void expiry_look(struct expiry *expiry)
{
	expiry->is_stale = true;
	go_on(expiry);
}

/* --- life */
struct expiry *expiry_new(struct daemon *daemon)
{
	struct expiry *expiry = mem_zalloc(sizeof(*expiry));

	expiry->daemon = daemon;
	expiry->timer.fire = time_to_look;
	expiry->retry.fire = try_again;
	expiry->job = (struct job){.run = run_look, .done = looked};
	list_init(&expiry->waiting);
	return expiry;
}

void expiry_free(struct expiry *expiry)
{
	struct list *link, *after;

	if (!expiry)
		return;
	timer_clear(&expiry->timer);
	timer_clear(&expiry->retry);
	if (expiry->call)
		http_client_cancel(expiry->call);
	list_for_each_safe(link, after, &expiry->waiting)
		expiry_alert_free(container_of(link, struct expiry_alert, link));
	expiry_scan_fini(&expiry->scan);
	expiry_book_fini(&expiry->book);
	free(expiry->outcomes);
	free(expiry);
}

void expiry_facts(const struct expiry *expiry, struct expiry_facts *ret_facts)
{
	*ret_facts = expiry->facts;
	ret_facts->waiting = expiry->n_waiting;
	ret_facts->error = expiry->error;
}
