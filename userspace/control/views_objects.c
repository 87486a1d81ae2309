/* The views of configured objects: listeners, target groups. See views.h. */
#include "control/views_parts.h"

#include "control/certdir.h"
#include "dataplane/dp_listeners.h"
#include "tls/server.h"

#define LOG_MODULE "views"
#include "core/log.h"

#include <string.h>

static void put_addresses(const struct built_listener *built, const struct view *row)
{
	struct view_list addresses = view_list(row, "addresses");
	char text[ADDR_TEXT_BYTES];
	uint32_t i;

	for (i = 0; i < built->n_sockets; i++)
		view_list_text(&addresses, addr_format(&built->sockets[i]->addr, text));
}

/* What the packet plane counts about it; zeros where it is inactive. */
static void put_packets(const struct daemon *daemon, uint32_t listener_id, const struct view *row)
{
	struct dp_listener_counts counts = {0};
	struct err err;

	if (dp_listener_counts(daemon->dataplane, listener_id, &counts, &err) < 0)
		log_warn("listeners: %s", err.text);
	view_number(row, "syns", counts.syn);
	view_number(row, "cookies", counts.cookies);
	view_number(row, "gate_frames", counts.gate_frames);
	view_number(row, "released", counts.released);
	view_number(row, "dropped", counts.dropped);
	view_number(row, "no_connection", counts.no_connection);
	view_number(row, "syns_refused", counts.refused);
}

/* Who makes the records, as set and as it came about. */
static void put_ktls(const struct config_listener *config, const struct listener_counts *sum,
	const struct view *row)
{
	struct view ktls;

	if (config->protocol != CONFIG_HTTPS && config->protocol != CONFIG_TLS) {
		view_null(row, "ktls");
		return;
	}
	ktls = view_object(row, "ktls");
	view_slice(
		&ktls, "setting", view_word(SECTION_config_listener_tls, "ktls", config->tls.ktls));
	view_places(&ktls, sum->places);
}

static void put_handshakes(const struct built_listener *built, const struct listener_counts *sum,
	const struct view *row)
{
	struct view handshakes;

	if (!built->tls) {
		view_null(row, "handshakes");
		return;
	}
	handshakes = view_object(row, "handshakes");
	view_number(&handshakes, "full", sum->handshakes_full);
	view_number(&handshakes, "resumed", sum->handshakes_resumed);
	view_number(&handshakes, "failed", sum->reasons[CLOSE_handshake_failed]);
	view_number(&handshakes, "ticket_refused", sum->tickets_refused);
}

/* Pairs, those of directories too. */
static uint64_t count_certificates(
	const struct build *build, const struct config_listener *listener)
{
	const struct built_cert *built;
	uint64_t n = 0;
	uint32_t i;

	for (i = 0; i < listener->certificates_count; i++) {
		built = &build->certs[listener->certificates[i] - build->config->certificates];
		n += built->dir ? certdir_len(built->dir) : 1;
	}
	return n;
}

static void put_listener(const struct daemon *daemon, uint32_t index, const struct view_list *list)
{
	const struct config_listener *config = &daemon->build->config->listeners[index];
	const struct built_listener *built = &daemon->build->built[index];
	const struct listener_stats *stats = built->listener->spec.stats;
	struct view row = view_list_object(list);
	struct listener_counts sum;

	counts_of_stats(stats, daemon->env.n_workers, &sum);
	view_text(&row, "name", config->name);
	view_slice(
		&row, "protocol", view_word(SECTION_config_listener, "protocol", config->protocol));
	put_addresses(built, &row);
	view_text(&row, "target_group", config->target_group ? config->target_group->name : NULL);
	view_number(&row, "certificates", count_certificates(daemon->build, config));
	view_text(&row, "policy", built->tls ? tls_server_policy(built->tls)->name : NULL);
	/* There is no third state: a listener that cannot be opened refuses its configuration. */
	view_text(&row, "state", daemon->stopping ? "draining" : "listening");
	view_number(&row, "open", atomic_load_explicit(&stats->open, memory_order_relaxed));
	view_number(&row, "accepted", sum.accepted);
	view_number(&row, "requests", sum.requests);
	view_number(&row, "refused", counts_refused(&sum));
	view_number(&row, "bytes_in", sum.bytes_in);
	view_number(&row, "bytes_out", sum.bytes_out);
	view_bool(&row, "gated", build_is_gated(config));
	view_slice(&row, "syn_cookies",
		view_word(SECTION_config_listener, "syn_cookies", config->syn_cookies));
	put_handshakes(built, &sum, &row);
	put_ktls(config, &sum, &row);
	view_client_auth(config, &sum, &row);
	view_listener_desync(config, &sum, &row);
	put_packets(daemon, stats->id, &row);
}

int view_listeners(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root_value)
{
	const struct daemon *daemon = arg;
	struct view root = {doc, root_value};
	struct view_list list = view_list(&root, "listeners");
	uint32_t i;

	for (i = 0; i < daemon->build->n_listeners; i++)
		put_listener(daemon, i, &list);
	return 0;
}
