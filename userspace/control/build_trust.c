/* Trust stores of a generation, and what listeners make of them: see build.h. */
#define LOG_MODULE "config"
#include "control/build_parts.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "proxy/tls_headers.h"
#include "tls/files.h"
#include "tls/server.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PATH_BYTES = 256,
	/* OpenSSL's form of a list takes 300 bytes an entry while it is read; malloc would keep them. */
	TRIM_ENTRIES = 50000,
};

static void note_files(const struct config_trust_store *wanted, struct built_trust *ret_trust)
{
	uint32_t i;

	ret_trust->ca_identity = tls_file_identity_at(wanted->ca_path);
	ret_trust->crl_identities =
		mem_zalloc((wanted->crl_paths_count + 1) * sizeof(*ret_trust->crl_identities));
	for (i = 0; i < wanted->crl_paths_count; i++)
		ret_trust->crl_identities[i] = tls_file_identity_at(wanted->crl_paths[i]);
}

static bool is_unchanged(const struct config_trust_store *was, const struct built_trust *old,
	const struct config_trust_store *wanted, const struct built_trust *now)
{
	uint32_t i;

	if (strcmp(was->name, wanted->name) != 0 || strcmp(was->ca_path, wanted->ca_path) != 0 ||
		old->ca_identity != now->ca_identity || !now->ca_identity ||
		was->crl_paths_count != wanted->crl_paths_count)
		return false;
	for (i = 0; i < wanted->crl_paths_count; i++)
		if (strcmp(was->crl_paths[i], wanted->crl_paths[i]) != 0 ||
			old->crl_identities[i] != now->crl_identities[i] || !now->crl_identities[i])
			return false;
	return true;
}

static struct tls_trust *unchanged(const struct building *building,
	const struct config_trust_store *wanted, const struct built_trust *now)
{
	const struct build *before = building->before;
	uint32_t i;

	for (i = 0; before && i < before->config->trust_stores_count; i++)
		if (is_unchanged(&before->config->trust_stores[i], &before->trusts[i], wanted, now))
			return tls_trust_get(before->trusts[i].trust);
	return NULL;
}

static void warn(const struct config_trust_store *wanted, const struct tls_trust *trust)
{
	uint32_t cursor = 0;
	struct err text;

	while (tls_trust_warning(trust, clock_unix_s(), &cursor, &text))
		log_warn("trust store %s: %s", wanted->name, text.text);
}

static void build_trust(struct building *building, const struct config_trust_store *wanted,
	struct built_trust *ret_trust)
{
	struct tls_trust_spec spec = {
		.ca_path = wanted->ca_path,
		.crl_paths = (const char *const *)wanted->crl_paths,
		.n_crls = wanted->crl_paths_count,
	};
	char path[PATH_BYTES];
	struct err err;

	note_files(wanted, ret_trust);
	ret_trust->trust = unchanged(building, wanted, ret_trust);
	if (ret_trust->trust)
		return;
	if (tls_trust_load(&spec, &ret_trust->trust, &err) == 0) {
		warn(wanted, ret_trust->trust);
		if (tls_trust_facts(ret_trust->trust)->n_revoked > TRIM_ENTRIES)
			malloc_trim(0);
		return;
	}
	snprintf(path, sizeof(path), "trust_stores[%s]", wanted->name);
	config_errors_add(building->errors,
		config_mark(building->build->config, &wanted->ca_path, wanted->mark), path, "%s",
		err.text);
}

void build_trusts(struct building *building)
{
	const struct config *config = building->build->config;
	uint32_t i;

	building->build->trusts =
		mem_zalloc((config->trust_stores_count + 1) * sizeof(*building->build->trusts));
	for (i = 0; i < config->trust_stores_count; i++)
		build_trust(building, &config->trust_stores[i], &building->build->trusts[i]);
}

void build_trusts_share(const struct build *before, struct build *build)
{
	uint32_t n = before->config->trust_stores_count, i, crls;

	build->trusts = mem_zalloc((n + 1) * sizeof(*build->trusts));
	for (i = 0; i < n; i++) {
		crls = before->config->trust_stores[i].crl_paths_count;
		build->trusts[i].trust = tls_trust_get(before->trusts[i].trust);
		build->trusts[i].ca_identity = before->trusts[i].ca_identity;
		build->trusts[i].crl_identities = memcpy(mem_alloc((crls + 1) * sizeof(uint64_t)),
			before->trusts[i].crl_identities, crls * sizeof(uint64_t));
	}
}

void build_trusts_free(struct build *build)
{
	uint32_t i;

	for (i = 0; build->trusts && i < build->config->trust_stores_count; i++) {
		tls_trust_put(build->trusts[i].trust);
		free(build->trusts[i].crl_identities);
	}
	free(build->trusts);
}

static struct tls_trust *trust_of(
	const struct build *build, const struct config_client_auth *wanted)
{
	return wanted->trust_store
		       ? build->trusts[wanted->trust_store - build->config->trust_stores].trust
		       : NULL;
}

void build_client_auth(const struct build *build, const struct config_listener *wanted,
	struct tls_client_auth_spec *ret_spec)
{
	const struct config_client_auth *auth = &wanted->client_auth;

	*ret_spec = (struct tls_client_auth_spec){
		.mode = (enum tls_client_auth)auth->mode,
		.trust = trust_of(build, auth),
		.max_depth = auth->max_depth,
		.ignore_expiry = auth->ignore_expiry,
		.advertise_ca_names = auth->advertise_ca_names,
	};
}

bool build_is_same_client_auth(const struct build *before, const struct config_listener *was,
	const struct build *build, const struct config_listener *wanted)
{
	struct tls_client_auth_spec old, new;

	build_client_auth(before, was, &old);
	build_client_auth(build, wanted, &new);
	return old.mode == new.mode &&old.trust == new.trust &&old.max_depth ==
	       new.max_depth &&old.ignore_expiry == new.ignore_expiry &&old.advertise_ca_names ==
	       new.advertise_ca_names;
}

static struct slice header_name(const char *name, bool wanted)
{
	return wanted && name && strcmp(name, "off") != 0 ? slice_of(name) : (struct slice){0};
}

void build_tls_headers(const struct config_listener *wanted, struct tls_headers *ret_headers)
{
	const struct config_auth_headers *names = &wanted->client_auth.headers;
	bool has_auth = wanted->client_auth.mode != CONFIG_CLIENT_AUTH_OFF;
	bool is_https = wanted->protocol == CONFIG_HTTPS;
	int i;

	has_auth = has_auth && is_https;
	*ret_headers = (struct tls_headers){
		.names = {
			[TLS_HEADER_SERIAL_NUMBER] = header_name(names->serial_number, has_auth),
			[TLS_HEADER_ISSUER] = header_name(names->issuer, has_auth),
			[TLS_HEADER_SUBJECT] = header_name(names->subject, has_auth),
			[TLS_HEADER_VALIDITY] = header_name(names->validity, has_auth),
			[TLS_HEADER_LEAF] = header_name(names->leaf, has_auth),
			[TLS_HEADER_CHAIN] = header_name(names->chain, has_auth),
			[TLS_HEADER_VERSION] = header_name(wanted->tls_headers.version, is_https),
			[TLS_HEADER_CIPHER_SUITE] =
				header_name(wanted->tls_headers.cipher_suite, is_https),
		}};
	for (i = 0; i < TLS_HEADERS; i++)
		ret_headers->any |= ret_headers->names[i].len > 0;
}
