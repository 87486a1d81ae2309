/* The metrics of the daemon, as Prometheus reads them: see metrics.h and views.h. What there is one
 * of comes first; then a sample for each certificate and listener, in pieces. */
#include "control/views_metrics.h"
#include "control/views_parts.h"

#include "control/certdir.h"
#include "control/certs_in_use.h"
#include "control/expiry.h"
#include "control/metrics.h"
#include "control/renewal.h"
#include "control/stapling.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/version.h"
#include "tls/cert.h"
#include "tls/library.h"
#include "tls/trust.h"

#include <stdio.h>
#include <stdlib.h>

enum { PIECE_BYTES = ADMIN_STREAM_BYTES_MAX / 4 };

/* --- the daemon */
static void put_daemon(struct metrics *metrics, const struct daemon *daemon)
{
	const struct last_reload *last = &daemon->last_reload;

	metrics_family(metrics, "sluice_build_info", METRICS_GAUGE, "Versions of the program.");
	metrics_sample(metrics,
		METRICS_LABELS({"version", SLUICE_VERSION}, {"library", tls_library_version()}), 1);
	metrics_one(metrics, "sluice_start_time_seconds", METRICS_GAUGE,
		"When the program was started, in Unix seconds.", daemon->started_unix_s);
	metrics_one(metrics, "sluice_config_generation", METRICS_GAUGE,
		"Which generation of the configuration is in force.",
		(int64_t)daemon->build->generation);
	metrics_one(metrics, "sluice_config_reload_refused", METRICS_GAUGE,
		"1 if the last reload was refused.", last->refused);
}

/* --- what can run out */
static void put_overload(struct metrics *metrics, const struct daemon *daemon)
{
	const struct overload *overload = &daemon->overload;
	enum overload_resource resource;

	metrics_one(metrics, "sluice_overload_level", METRICS_GAUGE,
		"How load is shed: 0 not at all, 1 keep-alive is shortened, 2 nobody is accepted for "
		"now, 3 requests are answered 503.",
		overload->level);
	metrics_one(metrics, "sluice_overload_changes_total", METRICS_COUNTER,
		"Changes of that level.", (int64_t)overload->n_changes);
	metrics_one(metrics, "sluice_accept_pauses_total", METRICS_COUNTER,
		"Times that a worker began not to accept anybody.",
		(int64_t)atomic_load_explicit(&daemon->node.accept_pauses, memory_order_relaxed));
	metrics_family(metrics, "sluice_resource_used", METRICS_GAUGE,
		"What is used of what can run out: descriptors, bytes of memory, connections.");
	for (resource = 0; resource < OVERLOAD_RESOURCES; resource++)
		if (overload->gauges[resource].limit)
			metrics_sample(metrics,
				METRICS_LABELS({"resource", overload_resource_name(resource)}),
				(int64_t)overload->gauges[resource].used);
	metrics_family(metrics, "sluice_resource_limit", METRICS_GAUGE,
		"How much of it there is; what has no limit is left out.");
	for (resource = 0; resource < OVERLOAD_RESOURCES; resource++)
		if (overload->gauges[resource].limit)
			metrics_sample(metrics,
				METRICS_LABELS({"resource", overload_resource_name(resource)}),
				(int64_t)overload->gauges[resource].limit);
}

/* --- listeners */
struct listener_row {
	const char *name;
	const struct listener_stats *stats;
	struct listener_counts sum;
};

static void put_by_listener(struct metrics *metrics, const struct listener_row *rows, uint32_t n,
	const char *name, const char *help, size_t offset)
{
	uint32_t i;

	metrics_family(metrics, name, METRICS_COUNTER, help);
	for (i = 0; i < n; i++)
		metrics_sample(metrics, METRICS_LABELS({"listener", rows[i].name}),
			*(const int64_t *)((const char *)&rows[i].sum + offset));
}

static void put_open(struct metrics *metrics, const struct listener_row *rows, uint32_t n)
{
	uint32_t i;

	metrics_family(
		metrics, "sluice_connections_open", METRICS_GAUGE, "Client connections open now.");
	for (i = 0; i < n; i++)
		metrics_sample(metrics, METRICS_LABELS({"listener", rows[i].name}),
			(int64_t)atomic_load_explicit(&rows[i].stats->open, memory_order_relaxed));
}

static void put_handshakes(struct metrics *metrics, const struct listener_row *rows, uint32_t n)
{
	uint32_t i;

	metrics_family(metrics, "sluice_handshakes_total", METRICS_COUNTER,
		"TLS handshakes of clients that were completed.");
	for (i = 0; i < n; i++) {
		metrics_sample(metrics,
			METRICS_LABELS({"listener", rows[i].name}, {"kind", "full"}),
			(int64_t)rows[i].sum.handshakes_full);
		metrics_sample(metrics,
			METRICS_LABELS({"listener", rows[i].name}, {"kind", "resumed"}),
			(int64_t)rows[i].sum.handshakes_resumed);
	}
}

static void put_failures(struct metrics *metrics, const struct listener_row *rows, uint32_t n)
{
	uint32_t i, failure;

	metrics_family(metrics, "sluice_handshakes_failed_total", METRICS_COUNTER,
		"TLS handshakes of clients that failed, by reason.");
	for (i = 0; i < n; i++)
		for (failure = 0; failure < TLS_FAILURES; failure++)
			if (rows[i].sum.tls_failures[failure])
				metrics_sample(metrics,
					METRICS_LABELS({"listener", rows[i].name},
						{"reason", tls_failure_name(
								   (enum tls_failure)failure)}),
					(int64_t)rows[i].sum.tls_failures[failure]);
}

static void put_responses(struct metrics *metrics, const struct listener_row *rows, uint32_t n)
{
	char class[4];
	uint32_t i, at;

	metrics_family(metrics, "sluice_responses_total", METRICS_COUNTER,
		"Answers to HTTP requests, by class of status.");
	for (i = 0; i < n; i++)
		for (at = 1; at < array_len(rows[i].sum.status); at++) {
			snprintf(class, sizeof(class), "%uxx", at);
			if (rows[i].sum.status[at])
				metrics_sample(metrics,
					METRICS_LABELS(
						{"listener", rows[i].name}, {"class", class}),
					(int64_t)rows[i].sum.status[at]);
		}
}

static void put_own_responses(struct metrics *metrics, const struct listener_row *rows, uint32_t n)
{
	char code[4];
	uint32_t i, at;

	metrics_family(metrics, "sluice_own_responses_total", METRICS_COUNTER,
		"Answers to HTTP requests that are no target's and no rule's, by status: refusals, and "
		"502, 503 and 504 for targets that did not answer.");
	for (i = 0; i < n; i++)
		for (at = 0; at < OWN_STATUSES; at++) {
			snprintf(code, sizeof(code), "%u", OWN_STATUS_FIRST + at);
			if (rows[i].sum.own_status[at])
				metrics_sample(metrics,
					METRICS_LABELS({"listener", rows[i].name}, {"code", code}),
					(int64_t)rows[i].sum.own_status[at]);
		}
}

/* Counts of listeners, a family each. */
static const struct {
	const char *name, *help;
	size_t offset; /* in struct listener_counts */
} listener_families[] = {
	{"sluice_connections_accepted_total", "Client connections that were accepted.",
		offsetof(struct listener_counts, accepted)},
	{"sluice_requests_total", "HTTP requests.", offsetof(struct listener_counts, requests)},
	{"sluice_rule_evaluations_total", "Rules that were looked at for HTTP requests.",
		offsetof(struct listener_counts, rule_evaluations)},
	{"sluice_redirects_total", "HTTP requests that a rule answered with a redirect.",
		offsetof(struct listener_counts, redirects)},
	{"sluice_fixed_responses_total",
		"HTTP requests that a rule answered with a fixed response.",
		offsetof(struct listener_counts, fixed_responses)},
	{"sluice_received_bytes_total", "Bytes from clients, of ended connections and requests.",
		offsetof(struct listener_counts, bytes_in)},
	{"sluice_sent_bytes_total", "Bytes to clients, of ended connections and requests.",
		offsetof(struct listener_counts, bytes_out)},
};

/* What never happened is left out. */
static void put_found(
	struct metrics *metrics, const struct listener_row *row, uint32_t found, uint32_t what)
{
	const struct desync_row *about = &desync_rows[found];
	uint64_t n = row->sum.desync[found][what];

	if (n)
		metrics_sample(metrics,
			METRICS_LABELS({"listener", row->name},
				{"class", desync_class_names[about->class]}, {"found", about->name},
				{"verdict", what ? "refused" : "forwarded"}),
			(int64_t)n);
}

static void put_desync(struct metrics *metrics, const struct listener_row *rows, uint32_t n)
{
	uint32_t i, found;

	metrics_family(metrics, "sluice_desync_requests_total", METRICS_COUNTER,
		"Malformed and ambiguous HTTP requests, by what was found in them.");
	for (i = 0; i < n; i++)
		for (found = 0; found < DESYNCS; found++) {
			put_found(metrics, &rows[i], found, 0);
			put_found(metrics, &rows[i], found, 1);
		}
}

static void put_listeners(struct metrics *metrics, const struct daemon *daemon)
{
	uint32_t i, n = daemon->build->n_listeners;
	struct listener_row *rows = mem_alloc((n + 1) * sizeof(*rows));

	for (i = 0; i < n; i++) {
		rows[i].name = daemon->build->config->listeners[i].name;
		rows[i].stats = daemon->build->listeners[i]->spec.stats;
		counts_of_stats(rows[i].stats, daemon->env.n_workers, &rows[i].sum);
	}
	put_open(metrics, rows, n);
	for (i = 0; i < array_len(listener_families); i++)
		put_by_listener(metrics, rows, n, listener_families[i].name,
			listener_families[i].help, listener_families[i].offset);
	put_handshakes(metrics, rows, n);
	put_by_listener(metrics, rows, n, "sluice_tickets_refused_total",
		"TLS handshakes in full of clients that wanted to resume a session.",
		offsetof(struct listener_counts, tickets_refused));
	put_failures(metrics, rows, n);
	put_responses(metrics, rows, n);
	put_own_responses(metrics, rows, n);
	put_desync(metrics, rows, n);
	free(rows);
}

/* --- what /v1/counters shows, as of the last sample */
static void put_events(struct metrics *metrics, const struct daemon *daemon)
{
	const struct tallies *tallies = &daemon->tallies;
	const struct tally_sample *sample = &tallies->samples[tallies->newest];
	struct tally_row row;
	uint32_t i;

	metrics_family(metrics, "sluice_events_total", METRICS_COUNTER,
		"Packets, first flights, connections and handshakes by what became of them; what "
		"never happened is left out.");
	for (i = 0; tallies->n && i < TALLIES; i++) {
		row = tally_describe(i);
		if (row.where && sample->counts[i])
			metrics_sample(metrics,
				METRICS_LABELS({"where", row.where}, {"reason", row.reason},
					{"verdict", row.verdict}),
				(int64_t)sample->counts[i]);
	}
}

/* --- certificates */
static uint64_t count_faults(const struct build *build)
{
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < build->config->certificates_count; i++)
		n += build->certs[i].dir ? certdir_faults(build->certs[i].dir)
					 : build->certs[i].fault != NULL;
	return n;
}

static void put_alerts(struct metrics *metrics, const struct expiry_facts *facts)
{
	metrics_family(metrics, "sluice_alerts_total", METRICS_COUNTER,
		"Alerts of certificates that expire: told in the log, taken by the webhook, or "
		"cancelled before it took them.");
	metrics_sample(metrics, METRICS_LABELS({"result", "told"}), (int64_t)facts->told);
	metrics_sample(metrics, METRICS_LABELS({"result", "delivered"}), (int64_t)facts->delivered);
	metrics_sample(metrics, METRICS_LABELS({"result", "cancelled"}), (int64_t)facts->cancelled);
	metrics_one(metrics, "sluice_alerts_failed_total", METRICS_COUNTER,
		"Tries of the webhook that failed.", (int64_t)facts->failed);
	metrics_one(metrics, "sluice_alerts_waiting", METRICS_GAUGE,
		"Alerts that the webhook has not taken yet.", facts->waiting);
}

static void put_cache(struct metrics *metrics, const struct daemon *daemon)
{
	struct certcache_counts sum = view_cached_certs(daemon);

	metrics_one(metrics, "sluice_certificate_cache_held", METRICS_GAUGE,
		"Certificates that workers keep ready, all of them together.", sum.held);
	metrics_family(metrics, "sluice_certificate_cache_total", METRICS_COUNTER,
		"Handshakes whose certificate was ready (hit), or had to be made ready (miss).");
	metrics_sample(metrics, METRICS_LABELS({"result", "hit"}), (int64_t)sum.hits);
	metrics_sample(metrics, METRICS_LABELS({"result", "miss"}), (int64_t)sum.misses);
}

static void put_certificates(struct metrics *metrics, const struct daemon *daemon)
{
	struct expiry_facts facts;

	expiry_facts(daemon->expiry, &facts);
	metrics_one(metrics, "sluice_certificates", METRICS_GAUGE,
		"Certificates that listeners have.", (int64_t)facts.n_certificates);
	metrics_one(metrics, "sluice_certificates_expired", METRICS_GAUGE,
		"Those of them that have expired.", (int64_t)facts.n_expired);
	metrics_one(metrics, "sluice_certificates_expiring", METRICS_GAUGE,
		"Those of them that expire within the longest time of alerts.expiry.",
		(int64_t)facts.n_expiring);
	metrics_one(metrics, "sluice_certificate_faults", METRICS_GAUGE,
		"Pairs of files that are bad now.", (int64_t)count_faults(daemon->build));
	metrics_one(metrics, "sluice_certificate_changes_total", METRICS_COUNTER,
		"Changes of certificates that came of changed files.",
		(int64_t)renewal_facts(daemon)->changes);
	put_alerts(metrics, &facts);
	put_cache(metrics, daemon);
}

static void put_ocsp(struct metrics *metrics, const struct daemon *daemon)
{
	struct stapling_facts facts;

	stapling_facts(daemon->stapling, &facts);
	metrics_one(metrics, "sluice_ocsp_certificates", METRICS_GAUGE,
		"Certificates that are to have an OCSP response.", (int64_t)facts.n);
	metrics_one(metrics, "sluice_ocsp_stapled", METRICS_GAUGE,
		"Certificates that have a good one.", (int64_t)facts.n_stapled);
	metrics_one(metrics, "sluice_ocsp_must_missing", METRICS_GAUGE,
		"Certificates that must have one and have none: clients refuse them.",
		(int64_t)facts.n_must_missing);
	metrics_one(metrics, "sluice_ocsp_revoked", METRICS_GAUGE,
		"Certificates that their CA has revoked.", (int64_t)facts.n_revoked);
	metrics_family(metrics, "sluice_ocsp_fetches_total", METRICS_COUNTER,
		"OCSP responses that were fetched: found good, or not.");
	metrics_sample(metrics, METRICS_LABELS({"result", "good"}), (int64_t)facts.fetched);
	metrics_sample(metrics, METRICS_LABELS({"result", "failed"}), (int64_t)facts.failed);
}

static void put_trust(struct metrics *metrics, const struct build *build)
{
	int64_t now_unix_s = clock_unix_s();
	uint32_t i, n = build->config->trust_stores_count;

	metrics_family(metrics, "sluice_trust_out_of_date", METRICS_GAUGE,
		"CRLs of a trust store that should have been replaced, and CAs that expired.");
	for (i = 0; i < n; i++)
		metrics_sample(metrics,
			METRICS_LABELS({"trust_store", build->config->trust_stores[i].name}),
			tls_trust_n_over(build->trusts[i].trust, now_unix_s));
	metrics_family(metrics, "sluice_trust_fault", METRICS_GAUGE,
		"1: the files of a trust store are bad now, and it stays as it was.");
	for (i = 0; i < n; i++)
		metrics_sample(metrics,
			METRICS_LABELS({"trust_store", build->config->trust_stores[i].name}),
			build->trusts[i].fault != NULL);
}

/* --- the answer */
struct scrape {
	struct admin_stream *stream;
	struct metrics metrics;
	struct certs_in_use *certs;
	struct certs_cursor cursor;
	size_t sent; /* of the text */
};

static void scrape_free(void *arg)
{
	struct scrape *scrape = arg;

	metrics_fini(&scrape->metrics);
	certs_in_use_free(scrape->certs);
	free(scrape);
}

static void put_end(struct scrape *scrape, const struct cert *cert)
{
	const struct certs_entry *entry = &scrape->certs->entries[scrape->cursor.entry];
	char name[CERT_NAME_BYTES];
	const char *listener;
	uint32_t at = 0;

	cert_name(cert, name);
	while ((listener = certs_in_use_listener(scrape->certs, entry, &at)))
		metrics_sample(&scrape->metrics,
			METRICS_LABELS({"name", name}, {"listener", listener}),
			cert_facts(cert)->not_after_unix_s);
}

/* More text; none: that was all. */
static void collect(struct scrape *scrape)
{
	const struct cert *cert;

	metrics_clear(&scrape->metrics);
	scrape->sent = 0;
	while (scrape->metrics.len < PIECE_BYTES &&
		(cert = certs_in_use_next(scrape->certs, &scrape->cursor)))
		put_end(scrape, cert);
}

/* What was put before has been taken. One certificate, and what comes before them all, may be more
 * than a stream takes at once. */
static void scrape_goes_on(void *arg)
{
	struct scrape *scrape = arg;
	size_t piece;

	if (scrape->sent == scrape->metrics.len)
		collect(scrape);
	piece = scrape->metrics.len - scrape->sent;
	if (piece > PIECE_BYTES)
		piece = PIECE_BYTES;
	if (piece == 0) {
		admin_stream_end(scrape->stream);
		scrape_free(scrape);
	} else if (admin_stream_put(scrape->stream, scrape->metrics.text + scrape->sent, piece)) {
		scrape->sent += piece;
	}
}

void view_metrics(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	static const struct admin_stream_ops ops = {scrape_goes_on, scrape_free};
	const struct daemon *daemon = arg;
	struct scrape *scrape = mem_zalloc(sizeof(*scrape));

	put_daemon(&scrape->metrics, daemon);
	put_overload(&scrape->metrics, daemon);
	put_listeners(&scrape->metrics, daemon);
	views_metrics_web(&scrape->metrics, daemon);
	put_events(&scrape->metrics, daemon);
	put_certificates(&scrape->metrics, daemon);
	put_ocsp(&scrape->metrics, daemon);
	put_trust(&scrape->metrics, daemon->build);
	metrics_family(&scrape->metrics, "sluice_certificate_not_after_seconds", METRICS_GAUGE,
		"When a certificate of a listener expires, in Unix seconds.");
	scrape->certs = certs_in_use_new(daemon->build);
	scrape->stream = admin_reply_stream(reply, METRICS_CONTENT_TYPE, &ops, scrape);
	if (!scrape->stream)
		scrape_free(scrape);
}
