/* Certificates of a generation, and the stores of its listeners: see build.h. */
#define LOG_MODULE "config"
#include "control/build_parts.h"
#include "control/certwatch.h"
#include "control/config_policy.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/certindex.h"
#include "tls/files.h"
#include "tls/policy.h"
#include "tls/token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 256 };

static bool has_same_password(
	const struct config_certificate *a, const struct config_certificate *b)
{
	uint32_t i;

	if (!build_text_eq(a->key_password_path, b->key_password_path) ||
		!build_text_eq(a->key_password_env, b->key_password_env) ||
		a->key_password_command_count != b->key_password_command_count)
		return false;
	for (i = 0; i < a->key_password_command_count; i++)
		if (strcmp(a->key_password_command[i], b->key_password_command[i]) != 0)
			return false;
	return true;
}

/* The entry of that name in the generation before, or NULL. Entries mostly keep their order: the search
 * begins at `*cursor`, behind the one that was found last. */
static const struct config_certificate *find_before(
	const struct building *building, const struct config_certificate *wanted, uint32_t *cursor)
{
	const struct config *config = building->before ? building->before->config : NULL;
	uint32_t i, at, n = config ? config->certificates_count : 0;

	for (i = 0; i < n; i++) {
		at = (*cursor + i) % n;
		if (strcmp(config->certificates[at].name, wanted->name) != 0)
			continue;
		*cursor = at + 1;
		return &config->certificates[at];
	}
	return NULL;
}

/* Whose files they are may have changed: that what is good stays does not depend on it. */
static const struct built_cert *before_named(const struct building *building, const char *name)
{
	const struct build *before = building->before;
	uint32_t i;

	for (i = 0; before && i < before->config->certificates_count; i++)
		if (!strcmp(before->config->certificates[i].name, name))
			return &before->certs[i];
	return NULL;
}

/* What it was made of, where the one takes the place of the other: NULL if it is no pair any more, or
 * was none, or is another directory. */
static const struct built_cert *before_cert(const struct building *building,
	const struct config_certificate *wanted, const struct config_certificate *old)
{
	if (!old || !build_text_eq(old->directory_path, wanted->directory_path))
		return NULL;
	return &building->before->certs[old - building->before->config->certificates];
}

static bool is_same_pair(
	const struct config_certificate *old, const struct config_certificate *wanted)
{
	return build_text_eq(build_cert_path(old), build_cert_path(wanted)) &&
	       build_text_eq(build_key_path(old), build_key_path(wanted)) &&
	       has_same_password(old, wanted);
}

static uint64_t key_identity(const struct config_certificate *wanted)
{
	if (!token_is_uri(build_key_path(wanted)))
		return tls_file_identity_at(build_key_path(wanted));
	return wanted->key_password_path ? tls_file_identity_at(wanted->key_password_path) : 0;
}

bool build_is_same_cert(const struct cert *cert, const struct config_certificate *wanted)
{
	return cert_identity(cert) == tls_file_identity_at(build_cert_path(wanted)) &&
	       cert_key_identity(cert) == key_identity(wanted);
}

int build_load_cert(const struct config_certificate *wanted, bool may_be_away,
	struct cert **ret_cert, struct err *err)
{
	uint32_t n = wanted->key_password_command_count;
	char **command = mem_zalloc((n + 1) * sizeof(*command));
	struct cert_spec spec = {
		.name = wanted->name,
		.cert_path = build_cert_path(wanted),
		.key_path = build_key_path(wanted),
		.password = {wanted->key_password_path, wanted->key_password_env,
			n ? command : NULL},
		.may_be_away = may_be_away,
	};
	int r;

	if (n)
		memcpy(command, wanted->key_password_command, n * sizeof(*command));
	r = cert_load(&spec, ret_cert, err);
	free(command);
	return r;
}

static void refuse(struct building *building, const struct config_certificate *wanted,
	const void *field, const struct err *err)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "certificates[%s]", wanted->name);
	config_errors_add(building->errors,
		config_mark(building->build->config, field, wanted->mark), path, "%s", err->text);
}

static void warn(const struct cert *cert)
{
	struct err text;

	if (cert_warning(cert, clock_unix_s(), &text))
		log_warn("%s", text.text);
}

static void watch_pair(const struct building *building, const struct config_certificate *wanted)
{
	if (!building->env->cert_watch)
		return;
	certwatch_add_file(building->env->cert_watch, build_cert_path(wanted));
	if (!token_is_uri(build_key_path(wanted)))
		certwatch_add_file(building->env->cert_watch, build_key_path(wanted));
	if (wanted->key_password_path)
		certwatch_add_file(building->env->cert_watch, wanted->key_password_path);
	if (wanted->ocsp_path)
		certwatch_add_file(building->env->cert_watch, wanted->ocsp_path);
}

int build_check_pair(const struct building *building, uint32_t index, const struct cert *cert,
	const struct cert *old, struct err *err)
{
	const struct building_certs *certs = &building->certs[index];
	int r = cert_check_strength(cert, certs->bits_wanted, err);

	if (r < 0)
		return err_context(err, r, "listener %s, security policy %s",
			certs->strictest->name,
			certs->strictest->tls.policy ? certs->strictest->tls.policy : "default");
	return cert_check_dates(cert, old, clock_unix_s(), err);
}

/* After a power cut host and token start together: what needs no token is served. */
static int load_another(struct building *building, uint32_t index,
	const struct config_certificate *wanted, struct cert **ret_cert, struct err *err)
{
	const struct built_cert *old = before_named(building, wanted->name);
	struct cert *cert;
	bool is_start = !building->before && !building->is_trial;
	int r = build_load_cert(wanted, is_start, &cert, err);

	if (r < 0)
		return r;
	r = build_check_pair(building, index, cert, old ? old->cert : NULL, err);
	if (r < 0) {
		cert_put(cert);
		return err_context(err, r, "certificate %s", wanted->name);
	}
	warn(cert);
	*ret_cert = cert;
	return 0;
}

static void build_pair(struct building *building, uint32_t index,
	const struct config_certificate *wanted, const struct built_cert *old,
	struct built_cert *ret_cert)
{
	struct err err;
	int r;

	watch_pair(building, wanted);
	if (old && build_is_same_cert(old->cert, wanted)) {
		ret_cert->cert = cert_get(old->cert);
		r = build_check_pair(building, index, old->cert, NULL, &err);
	} else {
		r = load_another(building, index, wanted, &ret_cert->cert, &err);
	}
	if (r < 0)
		refuse(building, wanted,
			wanted->pkcs12_path ? &wanted->pkcs12_path : &wanted->cert_path, &err);
}

static void folder_seen(void *arg, const char *directory, const char *folder)
{
	const struct building *building = arg;

	if (building->env->cert_watch)
		certwatch_add_folder(building->env->cert_watch, directory, folder);
}

static struct certdir_spec dir_spec(
	struct building *building, uint32_t index, const struct config_certificate *wanted)
{
	return (struct certdir_spec){
		.name = wanted->name,
		.path = wanted->directory_path,
		.password = {wanted->key_password_path, wanted->key_password_env, NULL},
		.index = building->env->cert_index,
		.bits_useful = building->certs[index].bits_useful,
		.bits_wanted = building->certs[index].bits_wanted,
		.is_thorough = building->is_trial,
		.is_quiet = building->how.is_dry_run,
		.folder_seen = folder_seen,
		.arg = building,
	};
}

/* How many of a directory a person must do something about; each is in the inventory. */
static void tell_expired(const struct config_certificate *wanted, const struct certdir *dir)
{
	struct certdir_cursor cursor = {0};
	int64_t now_unix_s = clock_unix_s();
	const struct cert *cert;
	size_t n = 0;

	while ((cert = certdir_next(dir, &cursor)))
		n += cert_is_expired(cert, now_unix_s);
	if (n)
		log_warn("certificates %s: %zu of %zu in %s are expired: renew or remove them",
			wanted->name, n, certdir_len(dir), wanted->directory_path);
}

/* A listener passes over what is too weak for it: with policies that differ, or are stricter now,
 * that is no fault of the pair. */
static void tell_weak(const struct building_certs *certs, const struct config_certificate *wanted,
	const struct certdir *dir)
{
	struct certdir_cursor cursor = {0};
	const struct cert *cert;
	struct err first = {""};
	size_t n = 0;

	while ((cert = certdir_next(dir, &cursor)))
		if (cert_facts(cert)->security_bits < certs->bits_wanted &&
			cert_check_strength(cert, certs->bits_wanted, &first) < 0)
			n++;
	if (n)
		log_warn(
			"certificates %s: listener %s serves %zu of %zu to nobody, they are too weak "
			"for its security policy: %s",
			wanted->name, certs->strictest->name, n, certdir_len(dir), first.text);
}

static void build_dir(struct building *building, uint32_t index,
	const struct config_certificate *wanted, const struct built_cert *old,
	struct built_cert *ret_cert)
{
	struct building_certs *ret_change = &building->certs[index];
	struct certdir_spec spec = dir_spec(building, index, wanted);
	struct err err;

	if (building->env->cert_watch) /* it may be replaced as a whole */
		certwatch_add_directory(building->env->cert_watch, wanted->directory_path);
	if (certdir_scan(&spec, old ? old->dir : NULL, &ret_cert->dir, &ret_change->changes, &err) <
		0)
		refuse(building, wanted, &wanted->directory_path, &err);
	else if (!old && !building->how.is_dry_run)
		tell_expired(wanted, ret_cert->dir);
	if (ret_cert->dir && !building->how.is_dry_run &&
		(!old || old->bits_wanted < ret_change->bits_wanted))
		tell_weak(ret_change, wanted, ret_cert->dir);
	building->build->is_incomplete |= ret_change->changes.n_later != 0;
	building->build->has_other_dirs |=
		old ? ret_cert->dir != old->dir
		    : ret_change->changes.n_read != 0 || building->before;
}

static uint16_t bits_of_listener(
	const struct config *config, const struct config_listener *listener)
{
	struct tls_policy policy;

	if (!config_policy_of_listener(config, listener, &policy))
		return 0; /* refused elsewhere */
	tls_policy_offered(&policy, &policy);
	return tls_policy_security_bits(&policy);
}

/* The least and the most that any listener needs of a certificate. */
static void note_listener(
	struct building *building, const struct config_listener *listener, uint16_t bits)
{
	struct building_certs *certs;
	uint32_t i;

	for (i = 0; i < listener->certificates_count; i++) {
		certs = &building->certs[listener->certificates[i] -
					 building->build->config->certificates];
		if (!certs->strictest || bits < certs->bits_useful)
			certs->bits_useful = bits;
		if (!certs->strictest || bits > certs->bits_wanted) {
			certs->bits_wanted = bits;
			certs->strictest = listener;
		}
	}
}

void build_certs_init(struct building *building)
{
	const struct config *config = building->build->config;
	uint32_t n = config->certificates_count, i;

	building->build->certs = mem_zalloc((n + 1) * sizeof(struct built_cert));
	building->certs = mem_zalloc((n + 1) * sizeof(struct building_certs));
	for (i = 0; i < config->listeners_count; i++)
		if (config->listeners[i].certificates_count)
			note_listener(building, &config->listeners[i],
				bits_of_listener(config, &config->listeners[i]));
	for (i = 0; i < n; i++)
		building->build->certs[i].bits_wanted = building->certs[i].bits_wanted;
}

static uint32_t count_dirs(const struct build *build)
{
	uint32_t i, n = 0;

	for (i = 0; i < build->config->certificates_count; i++)
		n += build->config->certificates[i].directory_path != NULL;
	return n;
}

/* Whether the index has certificates (and keys) that no directory has any more. */
static bool has_index_others(const struct building *building)
{
	const struct certindex *index = building->env->cert_index;
	size_t n = 0;
	uint32_t i;

	if (building->before || !index)
		return false;
	for (i = 0; i < building->build->config->certificates_count; i++)
		if (building->build->certs[i].dir)
			n += certdir_len(building->build->certs[i].dir);
	return n != certindex_len(index);
}

void build_certs(struct building *building)
{
	const struct config *config = building->build->config;
	const struct config_certificate *wanted, *was;
	const struct built_cert *old;
	uint32_t i, cursor = 0;

	token_set_module(config->pkcs11_module_path);
	build_certs_init(building);
	for (i = 0; i < config->certificates_count; i++) {
		wanted = &config->certificates[i];
		was = find_before(building, wanted, &cursor);
		old = before_cert(building, wanted, was);
		building->certs[i].is_known = old;
		if (wanted->directory_path)
			build_dir(building, i, wanted, old, &building->build->certs[i]);
		else
			build_pair(building, i, wanted,
				old && is_same_pair(was, wanted) ? old : NULL,
				&building->build->certs[i]);
	}
	building->build->has_other_dirs |=
		has_index_others(building) ||
		(building->before && count_dirs(building->before) != count_dirs(building->build));
	if (building->build->is_incomplete && building->env->cert_watch)
		certwatch_touch_all(building->env->cert_watch);
}

void build_certs_end(struct building *building)
{
	uint32_t i;

	for (i = 0; building->certs && i < building->build->config->certificates_count; i++)
		certdir_changes_fini(&building->certs[i].changes);
	free(building->certs);
	building->certs = NULL;
}

void build_certs_free(struct build *build)
{
	uint32_t i;

	for (i = 0; build->certs && i < build->config->certificates_count; i++) {
		if (build->certs[i].cert)
			cert_put(build->certs[i].cert);
		certdir_put(build->certs[i].dir);
		free(build->certs[i].fault);
	}
	free(build->certs);
	build->certs = NULL;
}

void build_drop_certs(struct build *build)
{
	build_certs_free(build);
}
