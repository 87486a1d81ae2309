/* The certificates that expire first, for the dashboard: see overview.h. */
#include "control/overview.h"
#include "control/views_parts.h"

#include "control/certs_in_use.h"
#include "core/clock.h"
#include "core/mem.h"
#include "tls/cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENDS = 20, LISTENERS_SHOWN = 8, LOOK_S = 60, DAY_S = 86400 };

struct overview_end {
	int64_t not_after_unix_s;
	char name[CERT_NAME_BYTES];
	char listeners[LISTENERS_SHOWN][CONFIG_NAME_MAX + 1];
	uint32_t n_listeners;
};

/* The place of one more among those that are there; ENDS: it expires later than all. */
static uint32_t place_for(const struct overview *overview, int64_t not_after_unix_s)
{
	uint32_t at = overview->n_ends;

	while (at > 0 && overview->ends[at - 1].not_after_unix_s > not_after_unix_s)
		at--;
	return at;
}

static void note(struct overview *overview, const struct certs_in_use *certs,
	const struct certs_cursor *cursor, const struct cert *cert)
{
	uint32_t at = place_for(overview, cert_facts(cert)->not_after_unix_s), listener = 0;
	struct overview_end *end;
	const char *name;

	if (at == ENDS)
		return;
	end = &overview->ends[at];
	memmove(end + 1, end, (ENDS - 1 - at) * sizeof(*end));
	*end = (struct overview_end){.not_after_unix_s = cert_facts(cert)->not_after_unix_s};
	cert_name(cert, end->name);
	while (end->n_listeners < LISTENERS_SHOWN &&
		(name = certs_in_use_listener(certs, &certs->entries[cursor->entry], &listener)))
		snprintf(end->listeners[end->n_listeners++], CONFIG_NAME_MAX + 1, "%s", name);
	overview->n_ends += overview->n_ends < ENDS;
}

static void look(struct daemon *daemon, int64_t now_unix_s)
{
	struct overview *overview = &daemon->overview;
	struct certs_in_use *certs = certs_in_use_new(daemon->build);
	struct certs_cursor cursor = {0};
	const struct cert *cert;

	if (!overview->ends)
		overview->ends = mem_alloc(ENDS * sizeof(*overview->ends));
	overview->n_ends = 0;
	overview->n_certs = 0;
	while ((cert = certs_in_use_next(certs, &cursor))) {
		overview->n_certs++;
		note(overview, certs, &cursor, cert);
	}
	certs_in_use_free(certs);
	overview->ends_generation = daemon->build->generation;
	overview->ends_unix_s = now_unix_s;
}

/* Rounded down: a day is left when there is a whole one. */
static int64_t days_left(int64_t seconds)
{
	return seconds >= 0 ? seconds / DAY_S : -((-seconds + DAY_S - 1) / DAY_S);
}

void overview_put_ends(struct daemon *daemon, yyjson_mut_doc *doc, yyjson_mut_val *root_value,
	yyjson_mut_val *surplus_value)
{
	const struct overview *overview = &daemon->overview;
	struct view root = {doc, root_value}, surplus = {doc, surplus_value}, row;
	struct view_list list = view_list(&root, "certificates"), listeners;
	int64_t now_unix_s = clock_unix_s();
	uint32_t i, at;

	if (!overview->ends || overview->ends_generation != daemon->build->generation ||
		llabs(now_unix_s - overview->ends_unix_s) >= LOOK_S)
		look(daemon, now_unix_s);
	for (i = 0; i < overview->n_ends; i++) {
		row = view_list_object(&list);
		view_text(&row, "name", overview->ends[i].name);
		view_signed(&row, "not_after", overview->ends[i].not_after_unix_s);
		view_signed(&row, "days_left",
			days_left(overview->ends[i].not_after_unix_s - now_unix_s));
		listeners = view_list(&row, "listeners");
		for (at = 0; at < overview->ends[i].n_listeners; at++)
			view_list_text(&listeners, overview->ends[i].listeners[at]);
	}
	view_number(&surplus, "certificates", overview->n_certs - overview->n_ends);
}
