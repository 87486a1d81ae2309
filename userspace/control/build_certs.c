/* Certificates of a generation, and the stores of its listeners: see build.h. */
#define LOG_MODULE "config"
#include "control/build_parts.h"
#include "control/certwatch.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/certstore.h"
#include "tls/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 256 };

/* Of the generation before, or NULL. */
static const struct built_cert *before_cert(
	const struct building *building, const struct config_certificate *wanted)
{
	const struct build *before = building->before;
	const struct config_certificate *old;
	uint32_t i;

	for (i = 0; before && i < before->config->certificates_count; i++) {
		old = &before->config->certificates[i];
		if (strcmp(old->name, wanted->name) == 0 &&
			build_text_eq(old->directory_path, wanted->directory_path) &&
			build_text_eq(old->cert_path, wanted->cert_path) &&
			build_text_eq(old->key_path, wanted->key_path) &&
			build_text_eq(old->key_password_path, wanted->key_password_path))
			return &before->certs[i];
	}
	return NULL;
}

static bool is_unchanged(const struct cert *cert, const struct config_certificate *wanted)
{
	return cert_identity(cert) == tls_file_identity_at(wanted->cert_path) &&
	       cert_key_identity(cert) == tls_file_identity_at(wanted->key_path);
}

static int load(const struct config_certificate *wanted, struct cert **ret_cert, struct err *err)
{
	struct cert_spec spec = {
		.name = wanted->name,
		.cert_path = wanted->cert_path,
		.key_path = wanted->key_path,
		.password_path = wanted->key_password_path,
	};

	return cert_load(&spec, ret_cert, err);
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
	certwatch_add_file(building->env->cert_watch, wanted->cert_path);
	certwatch_add_file(building->env->cert_watch, wanted->key_path);
}

static void build_pair(struct building *building, const struct config_certificate *wanted,
	const struct built_cert *old, struct built_cert *ret_cert)
{
	struct err err;

	watch_pair(building, wanted);
	if (old && is_unchanged(old->cert, wanted))
		ret_cert->cert = cert_get(old->cert);
	else if (load(wanted, &ret_cert->cert, &err) == 0)
		warn(ret_cert->cert);
	else
		refuse(building, wanted, &wanted->cert_path, &err);
}

static void folder_seen(void *arg, const char *directory, const char *folder)
{
	const struct building *building = arg;

	if (building->env->cert_watch)
		certwatch_add_folder(building->env->cert_watch, directory, folder);
}

static struct certdir_spec dir_spec(
	struct building *building, const struct config_certificate *wanted)
{
	return (struct certdir_spec){
		.name = wanted->name,
		.path = wanted->directory_path,
		.index = building->env->cert_index,
		.is_thorough = building->is_trial,
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

static void build_dir(struct building *building, const struct config_certificate *wanted,
	const struct built_cert *old, struct built_cert *ret_cert,
	struct building_certs *ret_change)
{
	struct certdir_spec spec = dir_spec(building, wanted);
	struct err err;

	if (building->env->cert_watch) /* it may be replaced as a whole */
		certwatch_add_file(building->env->cert_watch, wanted->directory_path);
	if (certdir_scan(&spec, old ? old->dir : NULL, &ret_cert->dir, &ret_change->changes, &err) <
		0)
		refuse(building, wanted, &wanted->directory_path, &err);
	else if (!old)
		tell_expired(wanted, ret_cert->dir);
	building->build->is_incomplete |= ret_change->changes.n_later != 0;
	building->build->has_other_dirs |=
		old ? ret_cert->dir != old->dir : ret_change->changes.n_read != 0;
}

static void certs_init(struct building *building)
{
	uint32_t n = building->build->config->certificates_count;

	building->build->certs = mem_zalloc((n + 1) * sizeof(struct built_cert));
	building->certs = mem_zalloc((n + 1) * sizeof(struct building_certs));
}

void build_certs(struct building *building)
{
	const struct config *config = building->build->config;
	const struct config_certificate *wanted;
	const struct built_cert *old;
	uint32_t i;

	certs_init(building);
	for (i = 0; i < config->certificates_count; i++) {
		wanted = &config->certificates[i];
		old = before_cert(building, wanted);
		building->certs[i].is_known = old;
		if (wanted->directory_path)
			build_dir(building, wanted, old, &building->build->certs[i],
				&building->certs[i]);
		else
			build_pair(building, wanted, old, &building->build->certs[i]);
	}
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
}

/* --- stores */
struct cert_list {
	struct cert **certs; /* not counted */
	size_t n, room;
};

static void add(struct cert_list *list, struct cert *cert)
{
	if (list->n == list->room) {
		list->room = list->room ? 2 * list->room : 16;
		list->certs = mem_realloc(list->certs, list->room * sizeof(struct cert *));
	}
	list->certs[list->n++] = cert;
}

static size_t index_of(const struct build *build, const struct config_certificate *certificate)
{
	return (size_t)(certificate - build->config->certificates);
}

/* All that a listener names, in its order: the first one is the default. */
static int store_of_all(const struct build *build, const struct config_listener *wanted,
	struct certstore **ret_store, struct err *err)
{
	struct cert_list list = {0};
	struct certdir_cursor cursor;
	const struct built_cert *built;
	struct cert *cert;
	uint32_t i;
	int r;

	for (i = 0; i < wanted->certificates_count; i++) {
		built = &build->certs[index_of(build, wanted->certificates[i])];
		if (built->cert)
			add(&list, built->cert);
		cursor = (struct certdir_cursor){0};
		while (built->dir && (cert = certdir_next(built->dir, &cursor)))
			add(&list, cert);
	}
	r = certstore_new(list.certs, list.n, ret_store, err);
	free(list.certs);
	return r;
}

/* The same entries as before, each known: their changes are all that is to be done. */
static bool is_comparable(const struct building *building, const struct config_listener *wanted,
	const struct config_listener *was)
{
	uint32_t i;

	if (was->certificates_count != wanted->certificates_count)
		return false;
	for (i = 0; i < wanted->certificates_count; i++)
		if (!building->certs[index_of(building->build, wanted->certificates[i])].is_known ||
			strcmp(was->certificates[i]->name, wanted->certificates[i]->name) != 0)
			return false;
	return true;
}

static void add_all(struct cert_list *list, struct cert *const *certs, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		add(list, certs[i]);
}

static void list_changes(const struct building *building, const struct config_listener *wanted,
	const struct config_listener *was, struct cert_list *ret_removed,
	struct cert_list *ret_added)
{
	const struct certdir_changes *changes;
	struct cert *old, *new;
	size_t index;
	uint32_t i;

	for (i = 0; i < wanted->certificates_count; i++) {
		index = index_of(building->build, wanted->certificates[i]);
		changes = &building->certs[index].changes;
		add_all(ret_removed, changes->removed, changes->n_removed);
		add_all(ret_added, changes->added, changes->n_added);
		old = building->before->certs[index_of(building->before, was->certificates[i])]
			      .cert;
		new = building->build->certs[index].cert;
		if (old == new)
			continue;
		add(ret_removed, old);
		add(ret_added, new);
	}
}

static struct certstore *store_changed(const struct building *building,
	const struct config_listener *wanted, const struct config_listener *was,
	struct certstore *old)
{
	const struct build *build = building->build;
	struct cert_list removed = {0}, added = {0};
	struct certstore *store;

	list_changes(building, wanted, was, &removed, &added);
	if (removed.n || added.n)
		store = certstore_change(old,
			&(struct certstore_change){removed.certs, removed.n, added.certs, added.n,
				build->certs[index_of(build, wanted->certificates[0])].cert});
	else
		store = certstore_get(old);
	free(removed.certs);
	free(added.certs);
	return store;
}

int build_store(struct building *building, const struct config_listener *wanted,
	struct certstore **ret_store, struct err *err)
{
	const struct built_listener *old = build_before_listener(building, wanted->name);
	const struct config_listener *was =
		old ? &building->before->config->listeners[old - building->before->built] : NULL;

	if (!old || !old->certs || !is_comparable(building, wanted, was))
		return store_of_all(building->build, wanted, ret_store, err);
	*ret_store = store_changed(building, wanted, was, old->certs);
	return 0;
}
