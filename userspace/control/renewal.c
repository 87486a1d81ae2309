/* Certificates whose files change, names that stand for other addresses: see renewal.h. */
#define LOG_MODULE "certificates"
#include "control/renewal.h"

#include "control/apply.h"
#include "control/cert_upkeep.h"
#include "control/certwatch.h"
#include "control/stapling.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include <stdlib.h>

enum {
	QUIET_MS = 250, /* without an event: whoever writes is done */
	QUIET_MAX_MS = 2000, /* but then it is looked at nevertheless */
	PATIENCE_MS = 2000, /* for key and certificate to fit together, after the last event */
	PATIENCE_MAX_MS = 10000,
	RETRY_MS = 5000, /* of what could not be looked at; then twice as long each time */
	RETRY_MAX_MS = 10 * 60 * 1000,
	BUSY_MS = 20, /* a reload is under way */
};

struct renewal {
	struct daemon *daemon;
	struct certwatch *watch; /* NULL: files cannot be watched */
	struct watch events;
	struct timer quiet;
	uint64_t first_event_ms; /* 0: none that was not dealt with */
	uint64_t patient_since_ms, patient_until_ms; /* 0: nothing is waited for */
	uint32_t retry_ms; /* 0: nothing is to be looked at again */
	size_t n_touched; /* at the last look */
	bool has_news; /* something was touched since the look before */
	struct job job; /* makes a generation */
	bool is_running, is_patient;
	const struct build *before;
	uint64_t started_us;
	struct build *build; /* NULL: nothing has changed */
	struct build_renewal outcome;
	struct renewal_facts facts;
};

/* Loader thread. Generations are freed by jobs that come later. */
static void make_build(struct job *job)
{
	struct renewal *renewal = container_of(job, struct renewal, job);
	struct build_touched *touched = NULL;
	size_t n;

	renewal->started_us = clock_mono_us();
	n = renewal->watch ? certwatch_look(renewal->watch, &touched) : 0;
	renewal->has_news = n > renewal->n_touched;
	renewal->n_touched = n;
	renewal->build = build_renew(&renewal->daemon->env, renewal->before, touched, n,
		renewal->is_patient, &renewal->outcome);
	free(touched);
	if (renewal->build)
		stapling_ready(renewal->daemon->stapling, renewal->build);
	if (renewal->outcome.n_unsettled || renewal->outcome.n_later || !renewal->watch)
		return;
	certwatch_forget(renewal->watch);
	renewal->n_touched = 0;
}

static void put_in_force(struct renewal *renewal)
{
	struct renewal_facts *facts = &renewal->facts;

	apply_certs(renewal->daemon, renewal->build);
	*facts = (struct renewal_facts){
		.at_unix_s = clock_unix_s(),
		.n_removed = renewal->outcome.n_removed,
		.n_added = renewal->outcome.n_added,
		.took_us = (uint32_t)(clock_mono_us() - renewal->started_us),
		.changes = facts->changes + 1,
	};
	if (facts->n_removed || facts->n_added)
		log_info("files have changed: %u certificates in, %u out, in force after %u us",
			facts->n_added, facts->n_removed, facts->took_us);
	cert_upkeep_look(renewal->daemon->cert_upkeep, renewal->build, true);
	renewal->build = NULL;
}

/* A second pair that is being written does not share the patience of the first one. */
static void be_patient(struct renewal *renewal)
{
	uint64_t now_ms = loop_now_ms(renewal->daemon->io.loop);
	uint64_t latest_ms;

	if (!renewal->patient_until_ms) {
		renewal->patient_since_ms = now_ms;
		renewal->patient_until_ms = now_ms + PATIENCE_MS;
	} else if (renewal->has_news) {
		latest_ms = renewal->patient_since_ms + PATIENCE_MAX_MS;
		renewal->patient_until_ms =
			now_ms + PATIENCE_MS < latest_ms ? now_ms + PATIENCE_MS : latest_ms;
	}
	timer_set(renewal->daemon->io.loop, &renewal->quiet, QUIET_MS);
}

static void wait_for_more(struct renewal *renewal)
{
	if (renewal->outcome.n_unsettled) {
		be_patient(renewal);
		return;
	}
	renewal->patient_until_ms = 0;
	if (!renewal->outcome.n_later) {
		renewal->retry_ms = 0;
		return;
	}
	renewal->retry_ms = renewal->retry_ms ? 2 * renewal->retry_ms : RETRY_MS;
	if (renewal->retry_ms > RETRY_MAX_MS)
		renewal->retry_ms = RETRY_MAX_MS;
	timer_set(renewal->daemon->io.loop, &renewal->quiet, renewal->retry_ms);
}

static void made(struct job *job)
{
	struct renewal *renewal = container_of(job, struct renewal, job);
	struct daemon *daemon = renewal->daemon;

	renewal->is_running = false;
	if (daemon->stopping) {
		build_free(renewal->build);
		renewal->build = NULL;
	} else {
		if (renewal->build)
			put_in_force(renewal);
		wait_for_more(renewal);
		stapling_look(daemon->stapling); /* it may have been an OCSP response */
	}
	reload_continue(daemon);
}

static void look(struct timer *timer)
{
	struct renewal *renewal = container_of(timer, struct renewal, quiet);
	struct daemon *daemon = renewal->daemon;
	uint64_t now_ms = loop_now_ms(daemon->io.loop);

	if (daemon->stopping)
		return;
	if (renewal->is_running || daemon->reload) {
		timer_set(daemon->io.loop, &renewal->quiet, BUSY_MS);
		return;
	}
	renewal->first_event_ms = 0;
	renewal->is_patient = !renewal->patient_until_ms || now_ms < renewal->patient_until_ms;
	renewal->before = daemon->build;
	renewal->is_running = true;
	loader_submit(daemon->loader, &renewal->job);
}

static void something_happened(struct watch *watch, uint32_t events)
{
	struct renewal *renewal = container_of(watch, struct renewal, events);
	struct loop *loop = renewal->daemon->io.loop;
	uint64_t now_ms = loop_now_ms(loop), latest_ms;

	if (!renewal->first_event_ms)
		renewal->first_event_ms = now_ms;
	latest_ms = renewal->first_event_ms + QUIET_MAX_MS;
	if (now_ms + QUIET_MS < latest_ms)
		timer_set(loop, &renewal->quiet, QUIET_MS);
	else
		timer_set(loop, &renewal->quiet,
			latest_ms > now_ms ? (uint32_t)(latest_ms - now_ms) : 1);
}

void renewal_new(struct daemon *daemon)
{
	struct renewal *renewal = mem_zalloc(sizeof(*renewal));
	struct err err;

	renewal->daemon = daemon;
	renewal->quiet.fire = look;
	renewal->job = (struct job){.run = make_build, .done = made};
	if (certwatch_new(&renewal->watch, &err) < 0)
		log_warn("%s: changed certificates are seen at the next reload only", err.text);
	daemon->env.cert_watch = renewal->watch;
	daemon->renewal = renewal;
}

void renewal_begin(struct daemon *daemon)
{
	struct renewal *renewal = daemon->renewal;

	if (!renewal->watch)
		return;
	renewal->events =
		(struct watch){.fd = certwatch_fd(renewal->watch), .ready = something_happened};
	if (loop_add(daemon->io.loop, &renewal->events) < 0)
		log_warn("changed certificates are seen at the next reload only");
	renewal_retry(daemon);
}

void renewal_retry(struct daemon *daemon)
{
	struct renewal *renewal = daemon->renewal;

	if (!renewal->watch || !daemon->build->is_incomplete || timer_is_set(&renewal->quiet))
		return;
	renewal->retry_ms = RETRY_MS;
	timer_set(daemon->io.loop, &renewal->quiet, RETRY_MS);
}

void renewal_look(struct daemon *daemon)
{
	struct renewal *renewal = daemon->renewal;

	something_happened(&renewal->events, 0);
}

void renewal_free(struct daemon *daemon)
{
	struct renewal *renewal = daemon->renewal;

	if (!renewal)
		return;
	timer_clear(&renewal->quiet);
	certwatch_free(renewal->watch);
	free(renewal);
	daemon->renewal = NULL;
}

bool renewal_is_running(const struct daemon *daemon)
{
	return daemon->renewal && daemon->renewal->is_running;
}

const struct renewal_facts *renewal_facts(const struct daemon *daemon)
{
	static const struct renewal_facts none;

	return daemon->renewal ? &daemon->renewal->facts : &none;
}
