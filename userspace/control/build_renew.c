/* A generation that differs in certificates and trust stores only: see build.h. */
#define LOG_MODULE "certificates"
#include "control/build_access.h"
#include "control/certwatch.h"
#include "control/resolver.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/files.h"
#include "tls/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct renewing {
	struct building *building;
	const struct build_touched *touched;
	size_t n;
	bool is_patient;
	struct build_renewal *renewal;
};

/* --- what concerns an entry */

/* "eu/shop" of "/certs/eu/shop" below "/certs"; NULL: it is not below. */
static const char *below(const char *directory, const char *path)
{
	size_t len = strlen(directory);

	while (len > 1 && directory[len - 1] == '/')
		len--;
	if (strncmp(directory, path, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	path += len;
	while (*path == '/')
		path++;
	return path;
}

static bool is_in_folder(const char *file, const char *folder)
{
	const char *slash = strrchr(file, '/');
	size_t len = slash > file ? (size_t)(slash - file) : 1;

	return strlen(folder) == len && !strncmp(file, folder, len);
}

bool build_is_file_touched(const struct build_touched *touched, size_t n, const char *file)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!touched[i].folder || is_in_folder(file, touched[i].folder))
			return true;
	return false;
}

static bool is_file_touched(const struct renewing *renewing, const char *file)
{
	return build_is_file_touched(renewing->touched, renewing->n, file);
}

static bool is_directory_itself(const char *directory, const struct build_touched *touched)
{
	const char *folder = strcmp(touched->folder, "/") ? touched->folder : "";
	char *path = mem_printf("%s/%s", folder, touched->name);
	const char *rest = below(directory, path);
	bool is_itself = *touched->name && rest && !*rest;

	free(path);
	return is_itself;
}

/* The touched places of a directory. */
static size_t list_touched(
	const struct renewing *renewing, const char *directory, struct certdir_touched *list)
{
	static const struct certdir_touched all = {"", "", true};
	const struct build_touched *touched;
	const char *folder;
	size_t i, n = 0;

	for (i = 0; i < renewing->n; i++) {
		touched = &renewing->touched[i];
		if (!touched->folder || is_directory_itself(directory, touched)) {
			list[0] = all;
			return 1;
		}
		folder = below(directory, touched->folder);
		if (folder)
			list[n++] = (struct certdir_touched){
				folder, touched->name, touched->was_folder};
	}
	return n;
}

/* --- entries */

bool build_is_passing(int error)
{
	return error == -ETIME || error == -ETIMEDOUT || error == -EMFILE || error == -ENFILE ||
	       error == -ENOMEM || error == -EIO || error == -ESTALE || error == -ENOKEY;
}

static void keep_pair(struct renewing *renewing, const struct config_certificate *wanted,
	const struct built_cert *old, struct built_cert *ret_cert, const struct err *err)
{
	ret_cert->cert = cert_get(old->cert);
	if (build_text_eq(old->fault, err->text)) {
		ret_cert->fault = mem_strdup(old->fault);
		return;
	}
	if (renewing->is_patient) {
		ret_cert->fault = build_text_copy(old->fault);
		renewing->renewal->n_unsettled++;
		return;
	}
	ret_cert->fault = mem_strdup(err->text);
	renewing->renewal->n_faults++;
	log_error("%s: the one that was good stays (certificates[%s])", err->text, wanted->name);
}

static int load_another(struct renewing *renewing, uint32_t index,
	const struct config_certificate *wanted, const struct cert *old, struct cert **ret_cert,
	struct err *err)
{
	struct cert *cert;
	int r = build_load_cert(wanted, false, &cert, err);

	if (r < 0)
		return r;
	r = build_check_pair(renewing->building, index, cert, old, err);
	if (r == 0)
		*ret_cert = cert;
	else
		cert_put(cert);
	return r;
}

static bool is_pair_touched(
	const struct renewing *renewing, const struct config_certificate *wanted)
{
	return is_file_touched(renewing, build_cert_path(wanted)) ||
	       is_file_touched(renewing, build_key_path(wanted)) ||
	       (wanted->key_password_path && is_file_touched(renewing, wanted->key_password_path));
}

static void renew_pair(struct renewing *renewing, uint32_t index,
	const struct config_certificate *wanted, const struct built_cert *old,
	struct built_cert *ret_cert)
{
	struct err err;
	int r;

	if (!is_pair_touched(renewing, wanted) ||
		(build_is_same_cert(old->cert, wanted) && !old->fault)) {
		ret_cert->cert = cert_get(old->cert);
		ret_cert->fault = build_text_copy(old->fault);
		return;
	}
	r = load_another(renewing, index, wanted, old->cert, &ret_cert->cert, &err);
	if (r < 0) {
		keep_pair(renewing, wanted, old, ret_cert, &err);
		renewing->renewal->n_later += build_is_passing(r);
		return;
	}
	renewing->renewal->n_removed++;
	renewing->renewal->n_added++;
	if (cert_warning(ret_cert->cert, clock_unix_s(), &err))
		log_warn("%s", err.text);
}

static void folder_seen(void *arg, const char *directory, const char *folder)
{
	const struct renewing *renewing = arg;

	if (renewing->building->env->cert_watch)
		certwatch_add_folder(renewing->building->env->cert_watch, directory, folder);
}

static void renew_dir(struct renewing *renewing, uint32_t index,
	const struct config_certificate *wanted, const struct built_cert *old,
	struct built_cert *ret_cert)
{
	struct certdir_changes *changes = &renewing->building->certs[index].changes;
	struct certdir_touched *list = mem_alloc((renewing->n + 1) * sizeof(*list));
	struct certdir_spec spec = {
		.name = wanted->name,
		.path = wanted->directory_path,
		.password = {wanted->key_password_path, wanted->key_password_env, NULL},
		.folder_seen = folder_seen,
		.arg = renewing,
		.bits_useful = renewing->building->certs[index].bits_useful,
		.bits_wanted = renewing->building->certs[index].bits_wanted,
		.is_patient = renewing->is_patient,
	};
	size_t n = list_touched(renewing, wanted->directory_path, list);

	ret_cert->dir = certdir_update(&spec, old->dir, list, n, changes);
	free(list);
	renewing->renewal->n_removed += (uint32_t)changes->n_removed;
	renewing->renewal->n_added += (uint32_t)changes->n_added;
	renewing->renewal->n_unsettled += changes->n_unsettled;
	renewing->renewal->n_later += changes->n_later;
	renewing->renewal->n_faults += changes->n_faults;
}

static void renew_certs(struct renewing *renewing)
{
	struct building *building = renewing->building;
	const struct config *config = building->build->config;
	uint32_t i, n = config->certificates_count;

	build_certs_init(building);
	for (i = 0; i < n; i++) {
		building->certs[i].is_known = true;
		if (config->certificates[i].directory_path)
			renew_dir(renewing, i, &config->certificates[i],
				&building->before->certs[i], &building->build->certs[i]);
		else
			renew_pair(renewing, i, &config->certificates[i],
				&building->before->certs[i], &building->build->certs[i]);
	}
}

static bool has_changed(const struct building *building)
{
	const struct built_cert *old = building->before->certs, *new = building->build->certs;
	uint32_t i;

	for (i = 0; i < building->build->config->certificates_count; i++)
		if (old[i].cert != new[i].cert || old[i].dir != new[i].dir ||
			!build_text_eq(old[i].fault, new[i].fault))
			return true;
	return build_trusts_have_changed(building) || build_tickets_have_changed(building) ||
	       build_admin_has_changed(building);
}

/* Also a file that is bad now and was not looked at before. */
static bool have_groups_changed(const struct building *building)
{
	const struct built_group *old = building->before->groups, *new = building->build->groups;
	uint32_t i;

	for (i = 0; i < building->build->config->target_groups_count; i++)
		if (old[i].group != new[i].group ||
			!file_identity_eq(&old[i].ca_file, &new[i].ca_file) ||
			!build_text_eq(old[i].ca_fault, new[i].ca_fault))
			return true;
	return false;
}

/* --- the rest of the generation */
static void share_listeners(struct building *building)
{
	const struct config *config = building->build->config;
	uint32_t i;

	building->build->built =
		mem_zalloc((config->listeners_count + 1) * sizeof(struct built_listener));
	for (i = 0; i < config->listeners_count; i++)
		build_renew_listener(building, &config->listeners[i], &building->before->built[i],
			&building->build->built[i]);
}

static void share(struct building *building)
{
	const struct build *before = building->before;
	struct build *build = building->build;
	uint32_t i;

	build->has_cookie_secret = before->has_cookie_secret;
	build->cookie_secret = before->cookie_secret;
	share_listeners(building);
	build->n_listeners = before->n_listeners;
	build->listeners = mem_zalloc((build->n_listeners + 1) * sizeof(*build->listeners));
	for (i = 0; i < build->n_listeners; i++)
		build->listeners[i] = build->built[i].listener;
	build_gate_listeners(build);
}

struct build *build_renew(const struct build_env *env, const struct build *before,
	const struct build_touched *touched, size_t n, bool is_patient,
	struct build_renewal *ret_renewal)
{
	struct config_errors errors;
	struct build *build = mem_zalloc(sizeof(*build));
	struct building building = {
		.env = env,
		.before = before,
		.build = build,
		.errors = &errors,
		.is_renewal = true,
		.is_patient = is_patient,
		.renewal = ret_renewal,
	};
	bool is_refused;
	struct renewing renewing = {&building, touched, n, is_patient, ret_renewal};

	*ret_renewal = (struct build_renewal){0};
	config_errors_init(&errors);
	build->config = config_get(before->config);
	build->generation = before->generation + 1;
	if (env->resolver)
		build->names_version = resolver_version(env->resolver);
	build->loaded_unix_s = before->loaded_unix_s;
	renew_certs(&renewing);
	build_trusts_renew(&building, touched, n);
	build_tickets_renew(&building, touched, n);
	build_admin_renew(&building);
	build_renew_groups(&building);
	build_access_files(&building);
	if (has_changed(&building) || have_groups_changed(&building))
		share(&building);
	build_certs_end(&building);
	is_refused = config_errors_total(&errors);
	if (is_refused)
		log_error("changed certificates cannot be put in force, nothing has changed: %s",
			errors.item[0].text);
	config_errors_fini(&errors);
	if (build->built && !is_refused)
		return build;
	build_free(build);
	return NULL;
}
