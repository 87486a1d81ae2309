/* Keys of session tickets from a file, for a generation: see build.h. */
#define LOG_MODULE "config"
#include "control/build_parts.h"
#include "control/certwatch.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/files.h"
#include "tls/tickets.h"

#include <stdlib.h>
#include <string.h>

static const char *path_of(const struct build *build)
{
	return build->config->session_tickets.keys_path;
}

static bool is_unchanged(const struct build *before, const struct build *build)
{
	return before && build_text_eq(path_of(before), path_of(build)) &&
	       build->tickets.identity && before->tickets.identity == build->tickets.identity;
}

void build_tickets(struct building *building)
{
	const struct build *before = building->before;
	struct build *build = building->build;
	const struct config *config = build->config;
	struct err err;

	if (!path_of(build))
		return;
	if (building->env->cert_watch)
		certwatch_add_file(building->env->cert_watch, path_of(build));
	build->tickets.identity = tls_file_identity_at(path_of(build));
	if (is_unchanged(before, build))
		build->tickets.keys = tls_ticket_keys_get(before->tickets.keys);
	else if (tls_ticket_keys_read(path_of(build), &build->tickets.keys, &err) < 0)
		config_errors_add(building->errors,
			config_mark(config, &config->session_tickets.keys_path,
				config->session_tickets.mark),
			"session_tickets.keys_file", "%s", err.text);
}

static void keep(const struct built_tickets *old, struct built_tickets *ret_tickets)
{
	ret_tickets->keys = tls_ticket_keys_get(old->keys);
	ret_tickets->identity = old->identity;
	ret_tickets->fault = build_text_copy(old->fault);
}

static void keep_good(const struct building *building, const struct built_tickets *old,
	const struct err *err, struct built_tickets *ret_tickets)
{
	keep(old, ret_tickets);
	if (building->is_patient) {
		building->renewal->n_unsettled++;
		return;
	}
	free(ret_tickets->fault);
	ret_tickets->fault = mem_strdup(err->text);
	if (build_text_eq(old->fault, err->text))
		return;
	building->renewal->n_faults++;
	log_error("%s: the keys of session tickets stay as they were", err->text);
}

void build_tickets_renew(struct building *building, const struct build_touched *touched, size_t n)
{
	const struct built_tickets *old = &building->before->tickets;
	struct build *build = building->build;
	struct built_tickets *now = &build->tickets;
	struct err err;
	int r;

	if (!path_of(build) || !build_is_file_touched(touched, n, path_of(build))) {
		keep(old, now);
		return;
	}
	now->identity = tls_file_identity_at(path_of(build));
	if (!old->fault && is_unchanged(building->before, build)) {
		keep(old, now);
		return;
	}
	r = tls_ticket_keys_read(path_of(build), &now->keys, &err);
	if (r < 0) {
		keep_good(building, old, &err, now);
		building->renewal->n_later += build_is_passing(r);
		return;
	}
	log_info("the file with the keys of session tickets has changed: it has %u",
		tls_ticket_keys_len(now->keys));
}

bool build_tickets_have_changed(const struct building *building)
{
	const struct built_tickets *old = &building->before->tickets;
	const struct built_tickets *now = &building->build->tickets;

	return old->keys != now->keys || !build_text_eq(old->fault, now->fault);
}

void build_tickets_free(struct build *build)
{
	tls_ticket_keys_put(build->tickets.keys);
	free(build->tickets.fault);
}

bool build_is_same_tickets(const struct build *before, const struct build *build)
{
	const struct config_tickets *old = &before->config->session_tickets;
	const struct config_tickets *new = &build->config->session_tickets;

	return old->lifetime_ms == new->lifetime_ms && old->session_age_ms == new->session_age_ms;
}
