/* Trust stores of a generation, and what listeners make of them: see build.h. */
#define LOG_MODULE "config"
#include "control/build_parts.h"
#include "control/certwatch.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
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

/* Of the generation before, by its name, or NULL. */
static const struct config_trust_store *before_store(
	const struct building *building, const char *name, const struct built_trust **ret_old)
{
	const struct build *before = building->before;
	uint32_t i;

	for (i = 0; before && i < before->config->trust_stores_count; i++)
		if (strcmp(before->config->trust_stores[i].name, name) == 0) {
			*ret_old = &before->trusts[i];
			return &before->config->trust_stores[i];
		}
	return NULL;
}

static void warn(const struct config_trust_store *wanted, const struct tls_trust *trust)
{
	uint32_t cursor = 0;
	struct err text;

	while (tls_trust_warning(trust, clock_unix_s(), &cursor, &text))
		log_warn("trust store %s: %s", wanted->name, text.text);
}

/* A CA out of its time is an error of whoever adds it to a bundle. One that expired while it stood
 * there must not keep a new CRL out, nor everybody's listeners down after a restart. */
static int load(const struct building *building, const struct config_trust_store *wanted,
	const struct built_trust *old, struct tls_trust **ret_trust, struct err *err)
{
	struct tls_trust_spec spec = {
		.ca_path = wanted->ca_path,
		.crl_paths = (const char *const *)wanted->crl_paths,
		.n_crls = wanted->crl_paths_count,
		.is_strict = building->is_trial || building->before,
		.known = old ? old->trust : NULL,
	};
	int r = tls_trust_load(&spec, ret_trust, err);

	if (r < 0)
		return r;
	warn(wanted, *ret_trust);
	if (tls_trust_facts(*ret_trust)->n_revoked > TRIM_ENTRIES)
		malloc_trim(0);
	return 0;
}

/* Before they are read: what happens meanwhile is not missed. */
static void watch(const struct building *building, const struct config_trust_store *wanted)
{
	uint32_t i;

	if (!building->env->cert_watch)
		return;
	certwatch_add_file(building->env->cert_watch, wanted->ca_path);
	for (i = 0; i < wanted->crl_paths_count; i++)
		certwatch_add_file(building->env->cert_watch, wanted->crl_paths[i]);
}

static void build_trust(struct building *building, const struct config_trust_store *wanted,
	struct built_trust *ret_trust)
{
	const struct built_trust *old = NULL;
	const struct config_trust_store *was = before_store(building, wanted->name, &old);
	char path[PATH_BYTES];
	struct err err;

	watch(building, wanted);
	note_files(wanted, ret_trust);
	if (was && is_unchanged(was, old, wanted, ret_trust)) {
		ret_trust->trust = tls_trust_get(old->trust);
		return;
	}
	if (load(building, wanted, old, &ret_trust->trust, &err) == 0)
		return;
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

/* --- files that changed while the daemon runs */
static void keep(const struct config_trust_store *wanted, const struct built_trust *old,
	struct built_trust *ret_trust)
{
	uint32_t i;

	ret_trust->trust = tls_trust_get(old->trust);
	ret_trust->ca_identity = old->ca_identity;
	for (i = 0; i < wanted->crl_paths_count; i++)
		ret_trust->crl_identities[i] = old->crl_identities[i];
}

static bool is_touched(
	const struct config_trust_store *wanted, const struct build_touched *touched, size_t n)
{
	bool is = build_is_file_touched(touched, n, wanted->ca_path);
	uint32_t i;

	for (i = 0; i < wanted->crl_paths_count && !is; i++)
		is = build_is_file_touched(touched, n, wanted->crl_paths[i]);
	return is;
}

/* What was good stays. Patient: bundle and lists are maybe still being written. */
static void keep_good(const struct building *building, const struct config_trust_store *wanted,
	const struct built_trust *old, const struct err *err, struct built_trust *ret_trust)
{
	keep(wanted, old, ret_trust);
	if (building->is_patient) {
		building->renewal->n_unsettled++;
		ret_trust->fault = build_text_copy(old->fault);
		return;
	}
	ret_trust->fault = mem_strdup(err->text);
	if (build_text_eq(old->fault, err->text))
		return;
	building->renewal->n_faults++;
	log_error("%s: the trust store %s stays as it was", err->text, wanted->name);
}

static void renew(const struct building *building, const struct config_trust_store *wanted,
	const struct built_trust *old, struct built_trust *ret_trust)
{
	const struct tls_trust_facts *facts;
	struct err err;
	int r;

	note_files(wanted, ret_trust);
	if (!old->fault && is_unchanged(wanted, old, wanted, ret_trust)) {
		keep(wanted, old, ret_trust);
		return;
	}
	r = load(building, wanted, old, &ret_trust->trust, &err);
	if (r < 0) {
		keep_good(building, wanted, old, &err, ret_trust);
		building->renewal->n_later += build_is_passing(r);
		return;
	}
	building->renewal->n_trusts++;
	facts = tls_trust_facts(ret_trust->trust);
	log_info("trust store %s: files have changed: %zu CAs, %zu CRLs with %llu certificates",
		wanted->name, facts->n_cas, facts->n_crls, (unsigned long long)facts->n_revoked);
}

void build_trusts_renew(struct building *building, const struct build_touched *touched, size_t n)
{
	const struct config *config = building->build->config;
	const struct built_trust *old;
	struct built_trust *now;
	uint32_t i;

	building->build->trusts =
		mem_zalloc((config->trust_stores_count + 1) * sizeof(*building->build->trusts));
	for (i = 0; i < config->trust_stores_count; i++) {
		old = &building->before->trusts[i];
		now = &building->build->trusts[i];
		if (is_touched(&config->trust_stores[i], touched, n)) {
			renew(building, &config->trust_stores[i], old, now);
			continue;
		}
		now->crl_identities = mem_zalloc((config->trust_stores[i].crl_paths_count + 1) *
						 sizeof(*now->crl_identities));
		keep(&config->trust_stores[i], old, now);
		now->fault = build_text_copy(old->fault);
	}
}

bool build_trusts_have_changed(const struct building *building)
{
	const struct built_trust *old = building->before->trusts, *now = building->build->trusts;
	uint32_t i;

	for (i = 0; i < building->build->config->trust_stores_count; i++)
		if (old[i].trust != now[i].trust || !build_text_eq(old[i].fault, now[i].fault))
			return true;
	return false;
}

void build_trusts_free(struct build *build)
{
	uint32_t i;

	for (i = 0; build->trusts && i < build->config->trust_stores_count; i++) {
		tls_trust_put(build->trusts[i].trust);
		free(build->trusts[i].crl_identities);
		free(build->trusts[i].fault);
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
