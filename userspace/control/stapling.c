/* OCSP responses in time: see stapling.h. One job of the loader thread at a time has the entries; what
 * responders say meanwhile waits for the next. */
#define LOG_MODULE "ocsp"
#include "control/stapling.h"

#include "control/daemon.h"
#include "control/http_client.h"
#include "control/stapling_entries.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/snapshot.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	AFTER_CHANGE_MS = 200,
	LOOK_SHARE = 100, /* at most this part of the time goes into looking */
	TIMER_MS_MAX = 60 * 60 * 1000, /* the clock may be set */
	CALLS_MAX = 4, /* at a time */
};

/* A responder is asked. */
struct ask {
	struct stapling *stapling;
	uint8_t fingerprint[CERT_FINGERPRINT_BYTES];
	uint32_t responder; /* its number among the entries */
	char url[STAPLE_URL_BYTES];
	uint8_t *request;
	size_t request_len;
	struct http_client_call *call; /* NULL: not begun, or over */
	bool is_used;
	bool is_over; /* answered, or cannot be asked; then the next job is given it */
	bool is_silent; /* it was asked, and has not answered */
	bool is_answered; /* by the job that runs: it is the job's */
	uint8_t *answer;
	size_t answer_len;
	char error[STAPLING_ERROR_BYTES];
};

struct stapling {
	struct daemon *daemon;
	struct job job;
	bool is_working; /* the job has the entries, asks that are answered or not used, and `certs` */
	atomic_bool has_missing; /* a certificate that must have a response came without one */
	bool is_urgent; /* the next look comes without a rest */
	bool is_stale; /* certificates or files are others than the last look saw */
	bool has_work; /* something is due, or was answered */
	struct timer timer; /* the next look, or when something is due */
	uint64_t looked_ms, rest_ms;
	uint64_t took_us;
	struct certs_in_use *certs; /* of the look under way; NULL: none is */
	struct certs_cursor cursor;
	struct stapling_entries entries;
	struct ask asks[CALLS_MAX];
	int64_t due_unix_s;
	struct stapling_facts facts, new_facts; /* `new`: the job's */
};

static void go_on(struct stapling *stapling);

/* --- the job; loader thread */
static void ask_fini(struct ask *ask)
{
	free(ask->request);
	free(ask->answer);
	*ask = (struct ask){.stapling = ask->stapling};
}

static void take_answers(struct stapling *stapling)
{
	struct ask *ask;

	for (ask = stapling->asks; ask < stapling->asks + CALLS_MAX; ask++) {
		if (!ask->is_answered)
			continue;
		stapling_entries_told(&stapling->entries, ask->responder, ask->is_silent);
		stapling_entries_answer(&stapling->entries, ask->fingerprint, ask->answer,
			ask->answer_len, ask->error);
		ask_fini(ask);
	}
}

static struct ask *unused(struct stapling *stapling)
{
	struct ask *ask;

	for (ask = stapling->asks; ask < stapling->asks + CALLS_MAX; ask++)
		if (!ask->is_used)
			return ask;
	return NULL;
}

static void make_asks(struct stapling *stapling)
{
	struct stapling_entry *entry;
	struct ask *ask;
	struct err err;

	while ((ask = unused(stapling)) &&
		(entry = stapling_entries_due(&stapling->entries, clock_unix_s()))) {
		if (ocsp_request(entry->certs[0], &ask->request, &ask->request_len, ask->url,
			    &err) < 0) {
			stapling_entries_failed(&stapling->entries, entry, err.text);
			continue;
		}
		memcpy(ask->fingerprint, entry->fingerprint, sizeof(ask->fingerprint));
		ask->responder = entry->responder;
		ask->is_used = true;
		stapling_entries_ask(&stapling->entries, entry);
	}
}

static void run_work(struct job *job)
{
	struct stapling *stapling = container_of(job, struct stapling, job);
	uint64_t started_us = clock_mono_us();

	take_answers(stapling);
	if (stapling->certs &&
		stapling_entries_look(&stapling->entries, stapling->certs, &stapling->cursor)) {
		certs_in_use_free(stapling->certs);
		stapling->certs = NULL;
	}
	if (!stapling->certs)
		make_asks(stapling);
	stapling->due_unix_s = stapling_entries_count(&stapling->entries, &stapling->new_facts);
	stapling->took_us += clock_mono_us() - started_us;
	if (stapling->entries.n_old)
		snapshot_wait();
}

/* --- responders */
static void answered(void *arg, const struct http_client_answer *answer)
{
	struct ask *ask = arg;

	ask->call = NULL;
	ask->is_over = true;
	ask->is_silent = !answer->status;
	if (answer->status == 200) {
		ask->answer = mem_alloc(answer->body_len + 1);
		if (answer->body_len)
			memcpy(ask->answer, answer->body, answer->body_len);
		ask->answer_len = answer->body_len;
	} else if (answer->status) {
		snprintf(ask->error, sizeof(ask->error), "%.150s answers %d", ask->url,
			answer->status);
	} else {
		snprintf(ask->error, sizeof(ask->error), "%.100s: %.90s", ask->url, answer->error);
	}
	ask->stapling->has_work = true;
	go_on(ask->stapling);
}

static void begin(struct stapling *stapling, struct ask *ask)
{
	struct http_client_request request = {
		.url = ask->url,
		.content_type = "application/ocsp-request",
		.body = ask->request,
		.body_len = ask->request_len,
		.done = answered,
		.arg = ask,
	};
	struct err err;

	if (http_client_start(stapling->daemon->http, &request, &ask->call, &err) == 0)
		return;
	snprintf(ask->error, sizeof(ask->error), "%.190s", err.text);
	ask->is_over = stapling->has_work = true;
}

static void begin_calls(struct stapling *stapling)
{
	struct ask *ask;

	for (ask = stapling->asks; ask < stapling->asks + CALLS_MAX; ask++)
		if (ask->is_used && !ask->call && !ask->is_over)
			begin(stapling, ask);
}

/* --- what comes next */

/* Workers have passed a turn, and views are made on this thread. */
static void free_old(struct stapling *stapling)
{
	struct stapling_entries *entries = &stapling->entries;
	size_t i;

	for (i = 0; i < entries->n_old; i++)
		staple_put(entries->old[i]);
	free(entries->old);
	entries->old = NULL;
	entries->n_old = 0;
}

static void worked(struct job *job)
{
	struct stapling *stapling = container_of(job, struct stapling, job);

	stapling->is_working = false;
	stapling->facts = stapling->new_facts;
	free_old(stapling);
	if (stapling->daemon->stopping)
		return;
	if (stapling->certs) {
		stapling->has_work = true;
	} else if (stapling->took_us) {
		stapling->looked_ms = loop_now_ms(stapling->daemon->io.loop);
		stapling->rest_ms = stapling->took_us * LOOK_SHARE / 1000;
		stapling->took_us = 0;
	}
	begin_calls(stapling);
	go_on(stapling);
}

static void work(struct stapling *stapling)
{
	struct ask *ask;

	for (ask = stapling->asks; ask < stapling->asks + CALLS_MAX; ask++)
		ask->is_answered = ask->is_over;
	stapling->is_working = true;
	stapling->has_work = false;
	timer_clear(&stapling->timer);
	loader_submit(stapling->daemon->loader, &stapling->job);
}

static uint64_t look_after_ms(const struct stapling *stapling)
{
	return stapling->is_urgent ? 0 : stapling->looked_ms + stapling->rest_ms;
}

static void set_timer(struct stapling *stapling)
{
	struct loop *loop = stapling->daemon->io.loop;
	uint64_t now_ms = loop_now_ms(loop), at_ms = now_ms + TIMER_MS_MAX, look_ms;
	int64_t left_s = stapling->due_unix_s - clock_unix_s();

	/* With all calls in use, what is due waits for an answer. */
	if (left_s < TIMER_MS_MAX / 1000 && unused(stapling))
		at_ms = now_ms + (left_s > 0 ? (uint64_t)left_s * 1000 : AFTER_CHANGE_MS);
	if (stapling->is_stale) {
		look_ms = look_after_ms(stapling);
		if (look_ms < now_ms + AFTER_CHANGE_MS)
			look_ms = now_ms + AFTER_CHANGE_MS;
		at_ms = look_ms < at_ms ? look_ms : at_ms;
	}
	if (!timer_is_set(&stapling->timer) || stapling->timer.due_mono_ms > at_ms)
		timer_set(loop, &stapling->timer, (uint32_t)(at_ms - now_ms));
}

static void go_on(struct stapling *stapling)
{
	if (stapling->is_working || stapling->daemon->stopping)
		return;
	if (stapling->has_work)
		work(stapling);
	else
		set_timer(stapling);
}

static void time_is_up(struct timer *timer)
{
	struct stapling *stapling = container_of(timer, struct stapling, timer);
	uint64_t now_ms = loop_now_ms(stapling->daemon->io.loop);

	if (stapling->is_working || stapling->daemon->stopping)
		return;
	if (stapling->is_stale && now_ms >= look_after_ms(stapling)) {
		stapling->is_stale = stapling->is_urgent = false;
		stapling->certs = certs_in_use_new(stapling->daemon->build);
		stapling->cursor = (struct certs_cursor){0};
	}
	work(stapling);
}

void stapling_ready(struct stapling *stapling, const struct build *build)
{
	struct certs_in_use *certs = certs_in_use_new(build);

	if (stapling_entries_ready(&stapling->entries, certs))
		atomic_store(&stapling->has_missing, true);
	certs_in_use_free(certs);
}

void stapling_look(struct stapling *stapling)
{
	stapling->is_urgent |= atomic_exchange(&stapling->has_missing, false);
	stapling->is_stale = true;
	go_on(stapling);
}

/* --- life */
struct stapling *stapling_new(struct daemon *daemon)
{
	struct stapling *stapling = mem_zalloc(sizeof(*stapling));
	struct ask *ask;

	stapling->daemon = daemon;
	stapling->due_unix_s = INT64_MAX;
	stapling->timer.fire = time_is_up;
	stapling->job = (struct job){.run = run_work, .done = worked};
	for (ask = stapling->asks; ask < stapling->asks + CALLS_MAX; ask++)
		ask->stapling = stapling;
	return stapling;
}

void stapling_free(struct stapling *stapling)
{
	struct ask *ask;

	if (!stapling)
		return;
	timer_clear(&stapling->timer);
	for (ask = stapling->asks; ask < stapling->asks + CALLS_MAX; ask++) {
		if (ask->call)
			http_client_cancel(ask->call);
		ask_fini(ask);
	}
	certs_in_use_free(stapling->certs);
	stapling_entries_fini(&stapling->entries);
	free(stapling);
}

void stapling_facts(const struct stapling *stapling, struct stapling_facts *ret_facts)
{
	*ret_facts = stapling->facts;
}
