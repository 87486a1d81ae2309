/* Everything that is counted, with rates: see tallies.h. */
#include "control/tallies.h"
#include "dataplane/dp_counters.h"

#include <stdio.h>
#include <string.h>

/* The daemon's tick comes faster while it stops; too short a time says nothing about a rate. */
enum { SAMPLE_US_MIN = 500 * 1000, RATE_US_MIN = 200 * 1000 };

/* --- the rows */

static struct tally_row row_of(
	const char *where, const char *reason, const char *verdict, bool is_drop, const char *help)
{
	struct tally_row row = {
		.where = where, .verdict = verdict, .help = help, .is_drop = is_drop};

	snprintf(row.reason, sizeof(row.reason), "%s", reason);
	return row;
}

/* A SYN that is answered with a cookie is what every connection begins with. */
static struct tally_row row_of_packets(enum sluice_counter id)
{
	const struct dp_counter *about = dp_counter_describe(id);
	bool is_drop = about->verdict == COUNTER_DROP || about->verdict == COUNTER_TX;

	return row_of("xdp", about->name, dp_counter_verdict_name(about->verdict),
		is_drop && id != COUNTER_syn_cookie, about->help);
}

static struct tally_row row_of_gate(enum gate_reason id)
{
	static const char *const verdicts[] = {
		[GATE_VERDICT_RELEASE] = "release",
		[GATE_VERDICT_REFUSE] = "refuse",
		[GATE_VERDICT_NOTE] = "note",
	};
	const struct gate_reason_row *about = &gate_reason_rows[id];

	return row_of("gate", about->name, verdicts[about->verdict],
		about->verdict == GATE_VERDICT_REFUSE, about->help);
}

/* Only limits have a dry run. */
static struct tally_row row_of_gate_dry(enum gate_reason id)
{
	static const char end[] = "_limit";
	const struct gate_reason_row *about = &gate_reason_rows[id];
	size_t len = strlen(about->name);
	struct tally_row row;

	if (len < sizeof(end) || strcmp(about->name + len - (sizeof(end) - 1), end) != 0)
		return (struct tally_row){0};
	row = row_of("gate", "", "note", false, "limits.dry_run: would have been refused");
	snprintf(row.reason, sizeof(row.reason), "dry_%s", about->name);
	return row;
}

static struct tally_row row_of_close(enum close_reason id)
{
	const struct close_reason_row *about = &close_reason_rows[id];

	return row_of("user", about->name, about->refused ? "refuse" : "note", about->refused,
		about->help);
}

/* Listeners count the handshakes of clients; those with targets are one reason, target_tls_failed,
 * and a target's certificate is no matter of a client's. */
static struct tally_row row_of_tls(enum tls_failure id)
{
	const char *name = tls_failure_name(id);
	struct tally_row row;

	if (id == TLS_FAILURE_none || strncmp(name, "target_", 7) == 0)
		return (struct tally_row){0};
	row = row_of("user", "", "refuse", true, tls_failure_help(id));
	snprintf(row.reason, sizeof(row.reason), "tls_%s", name);
	return row;
}

/* Of connections with clients, at their end. */
static struct tally_row row_of_ktls(uint32_t index)
{
	enum tls_direction direction = (enum tls_direction)(index / KTLS_PLACES);
	enum ktls_place place = (enum ktls_place)(index % KTLS_PLACES);
	struct tally_row row;

	if (place == KTLS_none)
		return (struct tally_row){0};
	row = row_of("user", "", "note", false, ktls_place_help(place));
	snprintf(row.reason, sizeof(row.reason), "ktls_%s_%s", direction == TLS_RX ? "rx" : "tx",
		ktls_place_name(place));
	return row;
}

static struct tally_row row_of_kernel(uint32_t tally)
{
	switch (tally) {
	case TALLY_XSK_DROPPED:
		return row_of("xsk", "dropped", "drop", true,
			"first flight that an AF_XDP socket could not take");
	case TALLY_XSK_RING_FULL:
		return row_of("xsk", "ring_full", "drop", true,
			"first flight for which the ring of an AF_XDP socket was full");
	case TALLY_XSK_FILL_EMPTY:
		return row_of(
			"xsk", "fill_empty", "note", false, "an AF_XDP socket had no free frame");
	default:
		return row_of("kernel", "accept_queue_full", "drop", true,
			"a socket of this network namespace had as many connections waiting as "
			"net.core.somaxconn allows");
	}
}

struct tally_row tally_describe(uint32_t tally)
{
	if (tally < TALLY_XSK_DROPPED)
		return row_of_packets((enum sluice_counter)(tally - TALLY_XDP));
	if (tally >= TALLY_GATE && tally < TALLY_GATE_DRY)
		return row_of_gate((enum gate_reason)(tally - TALLY_GATE));
	if (tally >= TALLY_GATE_DRY && tally < TALLY_ACCEPT_QUEUE_FULL)
		return row_of_gate_dry((enum gate_reason)(tally - TALLY_GATE_DRY));
	if (tally >= TALLY_CLOSE && tally < TALLY_TLS)
		return row_of_close((enum close_reason)(tally - TALLY_CLOSE));
	if (tally >= TALLY_KTLS)
		return row_of_ktls(tally - TALLY_KTLS);
	if (tally >= TALLY_TLS)
		return row_of_tls((enum tls_failure)(tally - TALLY_TLS));
	return row_of_kernel(tally);
}

/* --- rates */

static const struct tally_sample *newest(const struct tallies *tallies)
{
	return tallies->n > 0 ? &tallies->samples[tallies->newest] : NULL;
}

static const struct tally_sample *oldest(const struct tallies *tallies)
{
	if (tallies->n == 0)
		return NULL;
	return &tallies->samples[tallies->n < TALLY_SAMPLES
					 ? 0
					 : (tallies->newest + 1) % TALLY_SAMPLES];
}

bool tallies_is_due(const struct tallies *tallies, uint64_t now_mono_us)
{
	const struct tally_sample *last = newest(tallies);

	return !last || now_mono_us - last->at_mono_us >= SAMPLE_US_MIN;
}

void tallies_add(struct tallies *tallies, const uint64_t counts[static TALLIES],
	uint64_t now_mono_us, int64_t now_unix_s)
{
	const struct tally_sample *last = newest(tallies);
	struct tally_sample *sample;
	uint32_t i;

	for (i = 0; last && i < TALLIES; i++)
		if (counts[i] > last->counts[i])
			tallies->last_seen_unix_s[i] = now_unix_s;
	if (last)
		tallies->newest = (tallies->newest + 1) % TALLY_SAMPLES;
	if (tallies->n < TALLY_SAMPLES)
		tallies->n++;
	sample = &tallies->samples[tallies->newest];
	sample->at_mono_us = now_mono_us;
	memcpy(sample->counts, counts, sizeof(sample->counts));
}

double tallies_rate(
	const struct tallies *tallies, uint32_t tally, uint64_t count, uint64_t now_mono_us)
{
	const struct tally_sample *first = oldest(tallies);

	if (!first || now_mono_us - first->at_mono_us < RATE_US_MIN)
		return -1;
	if (count < first->counts[tally]) /* counted from zero again */
		return 0;
	return (double)(count - first->counts[tally]) * 1e6 /
	       (double)(now_mono_us - first->at_mono_us);
}

int64_t tallies_last_seen(
	const struct tallies *tallies, uint32_t tally, uint64_t count, int64_t now_unix_s)
{
	const struct tally_sample *last = newest(tallies);

	return last && count > last->counts[tally] ? now_unix_s : tallies->last_seen_unix_s[tally];
}
