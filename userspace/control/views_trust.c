/* The view of trust stores, and what listeners say of client certificates. See views.h. */
#include "control/admin_request.h"
#include "control/views_parts.h"

#include "core/clock.h"
#include "tls/trust.h"

#include <string.h>

static void put_ca(const struct tls_trust_ca *ca, const struct view_list *list)
{
	struct view row = view_list_object(list);

	view_text(&row, "subject", ca->subject);
	view_text(&row, "issuer", ca->issuer);
	view_text(&row, "serial", ca->serial_hex);
	view_text(&row, "fingerprint_sha256", ca->fingerprint_sha256);
	view_signed(&row, "not_before", ca->not_before_unix_s);
	view_signed(&row, "not_after", ca->not_after_unix_s);
	view_number(&row, "line", ca->line);
	view_bool(&row, "revoked", ca->is_revoked);
}

static void put_crl(const struct tls_trust_crl *crl, const struct view_list *list)
{
	struct view row = view_list_object(list);

	view_text(&row, "path", crl->path);
	view_text(&row, "issuer", crl->issuer);
	view_text(&row, "number", crl->number_hex);
	view_time(&row, "this_update", crl->this_update_unix_s);
	view_time(&row, "next_update", crl->next_update_unix_s);
	view_bool(&row, "stale", tls_trust_crl_is_stale(crl, clock_unix_s()));
	view_number(&row, "revoked", crl->n_revoked);
	view_number(&row, "memory_bytes", crl->bytes);
}

/* Clients that were turned away for their certificate: a member for each reason, zeros too. */
static void put_refused(const struct listener_counts *sum, const struct view *row)
{
	static const char prefix[] = "client_cert_";
	struct view refused = view_object(row, "refused");
	enum tls_failure failure;

	for (failure = TLS_FAILURE_client_cert_missing; failure <= TLS_FAILURE_client_cert_bad;
		failure++)
		view_number(&refused, tls_failure_name(failure) + strlen(prefix),
			sum->tls_failures[failure]);
}

void view_client_auth(const struct config_listener *config, const struct listener_counts *sum,
	const struct view *row)
{
	struct view auth;

	if (config->protocol != CONFIG_HTTPS && config->protocol != CONFIG_TLS) {
		view_null(row, "client_auth");
		return;
	}
	auth = view_object(row, "client_auth");
	view_slice(&auth, "mode",
		view_word(SECTION_config_client_auth, "mode", config->client_auth.mode));
	view_text(&auth, "trust_store",
		config->client_auth.trust_store ? config->client_auth.trust_store->name : NULL);
	put_refused(sum, &auth);
}

static void put_users(
	const struct daemon *daemon, const struct config_trust_store *store, const struct view *row)
{
	const struct config *config = daemon->build->config;
	struct view_list list = view_list(row, "listeners");
	struct listener_counts sum;
	struct view user;
	uint32_t i;

	for (i = 0; i < config->listeners_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		if (listener->client_auth.trust_store != store)
			continue;
		counts_of_stats(
			daemon->build->built[i].listener->spec.stats, daemon->env.n_workers, &sum);
		user = view_list_object(&list);
		view_text(&user, "name", listener->name);
		view_slice(&user, "mode",
			view_word(SECTION_config_client_auth, "mode", listener->client_auth.mode));
		view_number(&user, "max_depth", listener->client_auth.max_depth);
		view_bool(&user, "ignore_expiry", listener->client_auth.ignore_expiry);
		view_bool(&user, "advertise_ca_names", listener->client_auth.advertise_ca_names);
		put_refused(&sum, &user);
	}
}

static void put_store(const struct daemon *daemon, uint32_t index, const struct view_list *stores)
{
	const struct config_trust_store *config = &daemon->build->config->trust_stores[index];
	const struct tls_trust_facts *facts = tls_trust_facts(daemon->build->trusts[index].trust);
	struct view row = view_list_object(stores);
	struct view_list list;
	size_t i;

	view_text(&row, "name", config->name);
	view_text(&row, "path", config->ca_path);
	list = view_list(&row, "cas");
	for (i = 0; i < facts->n_cas; i++)
		put_ca(&facts->cas[i], &list);
	list = view_list(&row, "crls");
	for (i = 0; i < facts->n_crls; i++)
		put_crl(&facts->crls[i], &list);
	view_number(&row, "revoked", facts->n_revoked);
	view_text(&row, "fault", daemon->build->trusts[index].fault);
	put_users(daemon, config, &row);
}

void view_trust(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	const struct daemon *daemon = arg;
	const struct config *config = daemon->build->config;
	char name[CONFIG_NAME_MAX + 1];
	int asked = admin_query_text(call->query, "name", name, sizeof(name));
	yyjson_mut_doc *doc = admin_doc_new();
	struct view root = {doc, yyjson_mut_doc_get_root(doc)};
	struct view_list list = view_list(&root, "trust_stores");
	bool found = false;
	uint32_t i;

	for (i = 0; i < config->trust_stores_count; i++) {
		if (asked && (asked < 0 || strcmp(config->trust_stores[i].name, name) != 0))
			continue;
		put_store(daemon, i, &list);
		found = true;
	}
	if (!asked || found) {
		admin_reply_finish(reply, 200, doc);
		return;
	}
	yyjson_mut_doc_free(doc);
	admin_reply_error(
		reply, 404, "not_found", "there is no trust store \"%s\"", asked > 0 ? name : "");
}
