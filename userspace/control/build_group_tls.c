/* TLS towards the targets of a generation: see build.h. */
#define LOG_MODULE "config"
#include "control/build_members.h"
#include "control/certwatch.h"
#include "control/config_policy.h"
#include "control/kernel_tls.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/cert.h"
#include "tls/client.h"
#include "tls/ktls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_BYTES = 256 };

static bool is_tls(const struct config_target_group *wanted)
{
	return wanted->protocol == CONFIG_HTTPS || wanted->protocol == CONFIG_TLS;
}

/* What targets that ask for a certificate are shown; NULL: nothing. */
static struct cert *client_cert(const struct build *build, const struct config_target_group *wanted)
{
	const struct config_certificate *named = wanted->tls.certificate;

	return named ? build->certs[named - build->config->certificates].cert : NULL;
}

bool build_check_is_h2(const struct config_target_group *wanted)
{
	const struct config_health_check *check = &wanted->health_check;

	if (check->protocol == CONFIG_CHECK_GRPC || check->protocol == CONFIG_CHECK_GRPCS)
		return true;
	return (check->protocol == CONFIG_CHECK_HTTP || check->protocol == CONFIG_CHECK_HTTPS) &&
	       wanted->protocol_version != CONFIG_HTTP1 && !check->port;
}

static int client_new(const struct building *building, const struct config_target_group *wanted,
	bool verify, const char *server_name, enum tls_ktls ktls, bool is_h2,
	struct tls_client **ret_client, struct err *err)
{
	static const char *const http1[] = {"http/1.1"}, *const http2[] = {"h2"};
	struct tls_policy policy = *tls_policy_default();
	struct tls_client_spec spec = {
		.name = wanted->name,
		.verify = verify,
		.ca_path = wanted->tls.ca_path,
		.cert = client_cert(building->build, wanted),
		.server_name = server_name,
		.policy = &policy,
		.alpn = is_h2 ? http2 : http1,
		.n_alpn = wanted->protocol == CONFIG_HTTPS || is_h2,
		.n_workers = building->env->n_workers + 1, /* the control thread's checks */
		.ktls = ktls,
	};

	if (is_tls(wanted) &&
		!config_policy_find(building->build->config, wanted->tls.policy, &policy))
		return err_set(
			err, -ENOENT, "there is no security policy \"%s\"", wanted->tls.policy);
	return tls_client_new(&spec, ret_client, err);
}

static void refuse(
	struct building *building, const struct config_target_group *wanted, const struct err *err)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "target_groups[%s].tls", wanted->name);
	config_errors_add(building->errors,
		config_mark(building->build->config, &wanted->tls.ca_path, wanted->mark), path,
		"%s", err->text);
}

static bool is_same_policy(const struct building *building, const struct config_target_group *was,
	const struct config_target_group *wanted)
{
	struct tls_policy old, new;

	return config_policy_find(building->before->config, was->tls.policy, &old) &&
	       config_policy_find(building->build->config, wanted->tls.policy, &new) &&
	       tls_policy_eq(&old, &new);
}

static const struct config_target_group *before_config(
	const struct building *building, const struct built_group *old)
{
	return &building->before->config->target_groups[old - building->before->groups];
}

/* A key in a token may have been opened anew. */
static bool has_current_key(const struct built_group *old)
{
	const struct tls_client *check = old->check ? old->check->tls : NULL;

	return (!old->tls || tls_client_is_current(old->tls)) &&
	       (!check || tls_client_is_current(check));
}

/* All but who makes the records. */
static bool has_same_terms(const struct building *building, const struct built_group *old,
	const struct config_target_group *wanted, const struct built_group *group)
{
	const struct config_target_group *was = before_config(building, old);

	return was->protocol == wanted->protocol &&
	       was->protocol_version == wanted->protocol_version &&
	       was->tls.verify == wanted->tls.verify && is_same_policy(building, was, wanted) &&
	       build_text_eq(was->tls.ca_path, wanted->tls.ca_path) &&
	       build_text_eq(was->tls.server_name, wanted->tls.server_name) &&
	       client_cert(building->before, was) == client_cert(building->build, wanted) &&
	       has_current_key(old) && file_identity_eq(&old->ca_file, &group->ca_file) &&
	       !old->ca_fault;
}

/* A check sends a few bytes, for which the kernel is not worth asking; but a target with which every
 * connection will fail is not healthy. */
static enum tls_ktls ktls_of_check(const struct config_target_group *wanted)
{
	return wanted->tls.ktls == CONFIG_KTLS_REQUIRE ? TLS_KTLS_REQUIRE : TLS_KTLS_OFF;
}

bool build_check_has_same_tls(const struct building *building, const struct built_group *old,
	const struct config_target_group *wanted, const struct built_group *group)
{
	return has_same_terms(building, old, wanted, group) &&
	       ktls_of_check(before_config(building, old)) == ktls_of_check(wanted);
}

static void warn_missing(const struct building *building, const struct config_target_group *wanted)
{
	struct tls_policy policy;
	char missing[PATH_BYTES];

	if (config_policy_find(building->build->config, wanted->tls.policy, &policy) &&
		tls_policy_missing(&policy, missing, sizeof(missing)))
		log_warn("target group %s: security policy %s: this OpenSSL cannot offer: %s",
			wanted->name, policy.name, missing);
}

static void warn_cert(const struct building *building, const struct config_target_group *wanted)
{
	const struct cert *cert = client_cert(building->build, wanted);

	if (cert && !cert_is_for_clients(cert))
		log_warn("target group %s: certificate %s is not for clients (extendedKeyUsage): "
			 "targets may refuse it",
			wanted->name, wanted->tls.certificate->name);
}

static void watch_ca(const struct building *building, const struct config_target_group *wanted)
{
	if (building->env->cert_watch && wanted->tls.ca_path)
		certwatch_add_file(building->env->cert_watch, wanted->tls.ca_path);
}

static int group_client_new(const struct building *building,
	const struct config_target_group *wanted, struct tls_client **ret_client, struct err *err)
{
	return client_new(building, wanted, wanted->tls.verify, wanted->tls.server_name,
		(enum tls_ktls)wanted->tls.ktls, wanted->protocol_version != CONFIG_HTTP1,
		ret_client, err);
}

void build_group_tls(struct building *building, const struct config_target_group *wanted,
	struct built_group *group)
{
	const struct built_group *old = build_before_group(building, wanted->name);
	struct err err;

	if (group->tls) /* build_group_tls_renewed() */
		return;
	watch_ca(building, wanted); /* before it is read */
	file_identity_read(wanted->tls.ca_path, &group->ca_file);
	if (!is_tls(wanted))
		return;
	if (old && old->tls && before_config(building, old)->tls.ktls == wanted->tls.ktls &&
		has_same_terms(building, old, wanted, group)) {
		group->tls = tls_client_get(old->tls);
		return;
	}
	if (wanted->tls.ktls == CONFIG_KTLS_REQUIRE && !ktls_kernel_exists())
		log_warn("target group %s: tls.ktls: require: " KERNEL_TLS_MISSING
			 ": every connection will fail",
			wanted->name);
	warn_missing(building, wanted);
	warn_cert(building, wanted);
	if (group_client_new(building, wanted, &group->tls, &err) < 0)
		refuse(building, wanted, &err);
}

struct tls_client *build_check_tls(struct building *building,
	const struct config_target_group *wanted, const char *server_name)
{
	struct tls_client *client = NULL;
	struct err err;

	if (client_new(building, wanted, wanted->health_check.tls.verify, server_name,
		    ktls_of_check(wanted), build_check_is_h2(wanted), &client, &err) < 0)
		refuse(building, wanted, &err);
	return client;
}

/* --- files that were touched */
static void keep_terms(struct building *building, const struct config_target_group *wanted,
	const struct built_group *old, struct built_group *group, const struct err *err)
{
	if (building->is_patient) {
		building->renewal->n_unsettled++;
		group->ca_file = old->ca_file; /* it is looked at again */
		group->ca_fault = build_text_copy(old->ca_fault);
		return;
	}
	group->ca_fault = mem_strdup(err->text);
	if (build_text_eq(old->ca_fault, err->text))
		return;
	building->renewal->n_faults++;
	log_error("%s: what was good stays (target_groups[%s])", err->text, wanted->name);
}

bool build_group_tls_renewed(struct building *building, const struct config_target_group *wanted,
	const struct built_group *old, struct built_group *group)
{
	struct err err;
	int r;

	file_identity_read(wanted->tls.ca_path, &group->ca_file);
	if (file_identity_eq(&old->ca_file, &group->ca_file) &&
		client_cert(building->before, wanted) == client_cert(building->build, wanted) &&
		has_current_key(old)) {
		group->ca_fault = build_text_copy(old->ca_fault);
		return false;
	}
	watch_ca(building, wanted);
	if (!is_tls(wanted))
		return !has_current_key(old); /* of its checks */
	r = group_client_new(building, wanted, &group->tls, &err);
	if (r == 0)
		return true;
	keep_terms(building, wanted, old, group, &err);
	if (build_is_passing(r)) {
		group->ca_file = old->ca_file;
		building->renewal->n_later++;
	}
	return false;
}
