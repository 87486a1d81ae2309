/* Who may use the admin interface over TCP, for a generation: see build.h. */
#define LOG_MODULE "config"
#include "control/admin_access.h"
#include "control/build_parts.h"
#include "control/certwatch.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/files.h"
#include "tls/key_password.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SETTING_BYTES = 160 };

static const struct config_admin *wanted_by(const struct build *build)
{
	return &build->config->admin;
}

static struct cert *cert_of(const struct build *build)
{
	const struct config_certificate *wanted = wanted_by(build)->certificate;

	return wanted ? build->certs[wanted - build->config->certificates].cert : NULL;
}

static struct tls_trust *trust_of(const struct build *build)
{
	const struct config_trust_store *wanted = wanted_by(build)->trust_store;

	return wanted ? build->trusts[wanted - build->config->trust_stores].trust : NULL;
}

static enum admin_role role_of(enum config_role role)
{
	static const enum admin_role roles[] = {
		[CONFIG_ROLE_READ] = ADMIN_ROLE_READ,
		[CONFIG_ROLE_OPERATE] = ADMIN_ROLE_OPERATE,
		[CONFIG_ROLE_ADMIN] = ADMIN_ROLE_ADMIN,
	};

	return roles[role];
}

/* --- tokens */

static int digest_file(const struct config_admin_token *wanted, struct admin_token_spec *ret_token,
	struct err *err)
{
	struct key_password_source source = {.path = wanted->path};
	struct key_password token;
	int r = key_password_ask(&source, &token, err);

	if (r < 0)
		return r;
	if (token.len < ADMIN_TOKEN_BYTES_MIN || token.len > ADMIN_TOKEN_BYTES_MAX)
		r = err_set(err, -EINVAL, "%s: a token has %d to %d characters, and this one %zu",
			wanted->path, ADMIN_TOKEN_BYTES_MIN, ADMIN_TOKEN_BYTES_MAX, token.len);
	else
		digest_hex(token.text, token.len, ret_token->sha256);
	key_password_wipe(&token);
	return r;
}

static int make_token(const struct config_admin_token *wanted, struct admin_token_spec *ret_token,
	struct err *err)
{
	size_t i;

	*ret_token = (struct admin_token_spec){.role = role_of(wanted->role), .name = wanted->name};
	if (wanted->path)
		return digest_file(wanted, ret_token, err);
	for (i = 0; i < DIGEST_HEX_BYTES - 1; i++)
		ret_token->sha256[i] = (char)tolower((unsigned char)wanted->sha256[i]);
	return 0;
}

/* What was read is told from what is there now by this. */
static void note_tokens(const struct config_admin *wanted, struct built_admin *admin)
{
	uint32_t i;

	admin->token_identities =
		mem_zalloc((wanted->tokens_count + 1) * sizeof(*admin->token_identities));
	for (i = 0; i < wanted->tokens_count; i++)
		if (wanted->tokens[i].path)
			admin->token_identities[i] = tls_file_identity_at(wanted->tokens[i].path);
}

static bool has_same_tokens(
	const struct config_admin *wanted, const struct built_admin *a, const struct built_admin *b)
{
	return memcmp(a->token_identities, b->token_identities,
		       wanted->tokens_count * sizeof(*a->token_identities)) == 0;
}

/* --- all of it */

static int make_access(const struct building *building, struct admin_access **ret_access,
	uint32_t *ret_bad_token, struct err *err)
{
	const struct config_admin *wanted = wanted_by(building->build);
	struct admin_client_spec *clients =
		mem_zalloc((wanted->clients_count + 1) * sizeof(*clients));
	struct admin_token_spec *tokens = mem_zalloc((wanted->tokens_count + 1) * sizeof(*tokens));
	struct admin_access_spec spec = {
		.cert = cert_of(building->build),
		.trust = trust_of(building->build),
		.clients = clients,
		.n_clients = wanted->clients_count,
		.tokens = tokens,
		.n_tokens = wanted->tokens_count,
		.n_workers = building->env->n_workers + 1, /* the control thread */
	};
	uint32_t i;
	int r = 0;

	*ret_bad_token = UINT32_MAX;
	for (i = 0; i < wanted->clients_count; i++)
		clients[i] = (struct admin_client_spec){role_of(wanted->clients[i].role),
			wanted->clients[i].subject, wanted->clients[i].san};
	for (i = 0; i < wanted->tokens_count && r == 0; i++) {
		r = make_token(&wanted->tokens[i], &tokens[i], err);
		if (r < 0)
			*ret_bad_token = i;
	}
	if (r == 0)
		r = admin_access_new(&spec, ret_access, err);
	free(clients);
	free(tokens);
	return r;
}

static void refuse(const struct building *building, uint32_t bad_token, const struct err *err)
{
	const struct config *config = building->build->config;
	const struct config_admin *wanted = wanted_by(building->build);
	char path[SETTING_BYTES] = "admin.certificate";
	const void *field = &wanted->certificate;
	struct config_mark object = wanted->mark;

	if (bad_token < wanted->tokens_count) {
		field = &wanted->tokens[bad_token].path;
		object = wanted->tokens[bad_token].mark;
		snprintf(path, sizeof(path), "admin.tokens[%s].file",
			wanted->tokens[bad_token].name);
	}
	config_errors_add(
		building->errors, config_mark(config, field, object), path, "%s", err->text);
}

void build_admin(struct building *building)
{
	const struct config_admin *wanted = wanted_by(building->build);
	struct built_admin *admin = &building->build->admin;
	uint32_t i, bad_token;
	struct err err;

	if (!wanted->listen_count || !cert_of(building->build))
		return;
	for (i = 0; building->env->cert_watch && i < wanted->tokens_count; i++)
		if (wanted->tokens[i].path)
			certwatch_add_file(building->env->cert_watch, wanted->tokens[i].path);
	note_tokens(wanted, admin);
	if (make_access(building, &admin->access, &bad_token, &err) < 0)
		refuse(building, bad_token, &err);
}

static void keep(const struct built_admin *old, struct built_admin *admin)
{
	admin->access = admin_access_get(old->access);
	admin->fault = build_text_copy(old->fault);
}

/* What was good stays. */
static void keep_good(const struct building *building, const struct built_admin *old,
	const struct err *err, struct built_admin *admin)
{
	keep(old, admin);
	if (building->is_patient) {
		building->renewal->n_unsettled++;
		return;
	}
	free(admin->fault);
	admin->fault = mem_strdup(err->text);
	if (build_text_eq(old->fault, err->text))
		return;
	building->renewal->n_faults++;
	log_error("admin: %s: whom admin.listen lets in stays as it was", err->text);
}

void build_admin_renew(struct building *building)
{
	const struct built_admin *old = &building->before->admin;
	struct build *build = building->build;
	uint32_t bad_token;
	struct err err;
	int r;

	if (!old->access)
		return;
	note_tokens(wanted_by(build), &build->admin);
	if (!old->fault && cert_of(build) == cert_of(building->before) &&
		trust_of(build) == trust_of(building->before) &&
		has_same_tokens(wanted_by(build), old, &build->admin)) {
		keep(old, &build->admin);
		return;
	}
	r = make_access(building, &build->admin.access, &bad_token, &err);
	if (r < 0) {
		keep_good(building, old, &err, &build->admin);
		memcpy(build->admin.token_identities, old->token_identities,
			wanted_by(build)->tokens_count * sizeof(*old->token_identities));
		building->renewal->n_later += build_is_passing(r);
	}
}

bool build_admin_has_changed(const struct building *building)
{
	const struct built_admin *old = &building->before->admin, *now = &building->build->admin;

	return old->access != now->access || !build_text_eq(old->fault, now->fault);
}

void build_admin_free(struct build *build)
{
	admin_access_put(build->admin.access);
	free(build->admin.token_identities);
	free(build->admin.fault);
}
