/* Security policies of a configuration: see config_policy.h and, for the checks, config_read.h. */
#include "control/config_policy.h"

#include "control/config_read.h"

#include <errno.h>
#include <string.h>

/* A list of a policy as the configuration has it. */
struct own_list {
	const char *name; /* of the setting */
	char **const *items; /* where they are */
	uint32_t count;
};

static void own_lists(
	const struct config_security_policy *own, struct own_list ret_lists[TLS_POLICY_LISTS])
{
	ret_lists[TLS_POLICY_CIPHERS] =
		(struct own_list){"ciphers", &own->ciphers, own->ciphers_count};
	ret_lists[TLS_POLICY_SUITES] = (struct own_list){"suites", &own->suites, own->suites_count};
	ret_lists[TLS_POLICY_GROUPS] = (struct own_list){"groups", &own->groups, own->groups_count};
	ret_lists[TLS_POLICY_SCHEMES] = (struct own_list){"signature_algorithms",
		&own->signature_algorithms, own->signature_algorithms_count};
}

static const struct config_security_policy *find_own(const struct config *config, const char *name)
{
	uint32_t i;

	for (i = 0; i < config->security_policies_count; i++)
		if (config->security_policies[i].name &&
			strcmp(config->security_policies[i].name, name) == 0)
			return &config->security_policies[i];
	return NULL;
}

/* 0: as it was. */
static uint16_t version_of(enum config_tls_version version)
{
	return version == CONFIG_TLS_ANY || version > CONFIG_TLS_1_3
		       ? 0
		       : (uint16_t)(TLS_VERSION_1_0 + version - CONFIG_TLS_1_0);
}

/* Puts what is given in the place of what the base has. */
static void overlay(const struct config *config, const struct config_security_policy *own,
	struct tls_policy *policy)
{
	struct own_list lists[TLS_POLICY_LISTS];
	enum tls_policy_list list;
	uint32_t i;

	own_lists(own, lists);
	snprintf(policy->name, sizeof(policy->name), "%s", own->name);
	if (version_of(own->min_version))
		policy->version_min = version_of(own->min_version);
	if (version_of(own->max_version))
		policy->version_max = version_of(own->max_version);
	if (config_is_given(config, &own->server_preference))
		policy->server_preference = own->server_preference;
	for (list = 0; list < TLS_POLICY_LISTS; list++) {
		if (!lists[list].count)
			continue;
		policy->count[list] = 0;
		/* what the module was promised for is another list */
		policy->wants_fips = false;
		if (list == TLS_POLICY_GROUPS)
			policy->group_breaks = 0;
		for (i = 0; i < lists[list].count; i++)
			if ((*lists[list].items)[i] &&
				tls_policy_add(policy, list, slice_of((*lists[list].items)[i])) < 0)
				continue;
	}
}

/* `left`: how many steps there can be without a circle. */
static bool resolve(
	const struct config *config, const char *name, uint32_t left, struct tls_policy *ret_policy)
{
	const struct config_security_policy *own;

	if (!name)
		return false;
	if (tls_policy_find(slice_of(name), ret_policy))
		return true;
	own = find_own(config, name);
	if (!own || !left || !resolve(config, own->based_on, left - 1, ret_policy))
		return false;
	overlay(config, own, ret_policy);
	return true;
}

bool config_policy_find(
	const struct config *config, const char *name, struct tls_policy *ret_policy)
{
	return resolve(config, name, config->security_policies_count, ret_policy);
}

bool config_policy_of_listener(const struct config *config, const struct config_listener *listener,
	struct tls_policy *ret_policy)
{
	return config_policy_find(config, listener->tls.policy, ret_policy) &&
	       tls_policy_narrow(ret_policy, version_of(listener->tls.min_version),
		       version_of(listener->tls.max_version));
}

/* --- checks */
static void offer_row(struct nearest *nearest, const struct tls_policy_row *row)
{
	static const struct slice prefix = SLICE("ELBSecurityPolicy-");
	struct slice name = slice_of(row->name);

	nearest_offer(nearest, name);
	if (name.len > prefix.len && !memcmp(name.ptr, prefix.ptr, prefix.len))
		nearest_offer(
			nearest, (struct slice){name.ptr + prefix.len, name.len - prefix.len});
}

static void refuse_name(struct config_checker *checker, char *const *field,
	struct config_mark object, const char *setting)
{
	char quoted[QUOTED_BYTES], maybe[NEAREST_TEXT_BYTES];
	struct nearest nearest;
	struct err err;
	uint32_t i;

	nearest_init(&nearest, slice_of(*field));
	nearest_offer(&nearest, SLICE("default"));
	for (i = 0; i < checker->config->security_policies_count; i++)
		if (checker->config->security_policies[i].name)
			nearest_offer(
				&nearest, slice_of(checker->config->security_policies[i].name));
	for (i = 0; i < tls_policy_n_rows; i++)
		offer_row(&nearest, &tls_policy_rows[i]);
	err_set(&err, 0, "there is no security policy %s%s", scalar_quote(slice_of(*field), quoted),
		nearest_text(&nearest, maybe, sizeof(maybe)));
	config_refuse(checker, field, object, setting, "%s", err.text);
}

/* True: the policy that `field` names is there. */
static bool check_name(struct config_checker *checker, char *const *field,
	struct config_mark object, const char *setting, struct tls_policy *ret_policy)
{
	if (!*field) /* has its error */
		return false;
	if (config_policy_find(checker->config, *field, ret_policy))
		return true;
	if (find_own(checker->config, *field)) {
		if (strcmp(setting, "based_on") == 0)
			config_refuse(checker, field, object, setting,
				"leads back to this policy: one of them must be based on another one");
		return false;
	}
	refuse_name(checker, field, object, setting);
	return false;
}

static void refuse_algorithm(struct config_checker *checker, enum tls_policy_list list,
	char *const *item, const char *setting, uint32_t number)
{
	const struct tls_policy_algorithm *rows;
	char quoted[QUOTED_BYTES], maybe[NEAREST_TEXT_BYTES];
	size_t before = config_path_enter(&checker->path, setting), i, n;
	struct nearest nearest;

	rows = tls_policy_algorithms(list, &n);
	nearest_init(&nearest, slice_of(*item));
	for (i = 0; i < n; i++)
		nearest_offer(&nearest, slice_of(rows[i].name));
	config_path_item(&checker->path, NULL, number);
	config_errors_add(checker->errors,
		config_mark(checker->config, item, (struct config_mark){0}), checker->path.text,
		"unknown %s %s%s", tls_policy_list_noun(list),
		scalar_quote(slice_of(*item), quoted),
		nearest_text(&nearest, maybe, sizeof(maybe)));
	config_path_cut(&checker->path, before);
}

static bool check_lists(struct config_checker *checker, const struct config_security_policy *own)
{
	struct own_list lists[TLS_POLICY_LISTS];
	struct tls_policy scratch = {.name = ""};
	enum tls_policy_list list;
	bool good = true;
	uint32_t i;

	own_lists(own, lists);
	for (list = 0; list < TLS_POLICY_LISTS; list++) {
		if (!lists[list].count && config_is_given(checker->config, lists[list].items)) {
			config_refuse(checker, lists[list].items, own->mark, lists[list].name,
				"must not be empty (versions without a cipher: see min_version and "
				"max_version)");
			good = false;
		}
		for (i = 0; i < lists[list].count; i++) {
			char *const *item = &(*lists[list].items)[i];

			if (!*item) {
				good = false;
			} else if (tls_policy_add(&scratch, list, slice_of(*item)) == -ENOENT) {
				refuse_algorithm(checker, list, item, lists[list].name, i);
				good = false;
			}
		}
	}
	return good;
}

/* Versions that were asked for, but have no cipher. */
static void check_versions(struct config_checker *checker, const struct config_security_policy *own,
	const struct tls_policy *policy)
{
	struct tls_policy offered;
	struct err err;

	if (policy->version_min > policy->version_max) {
		config_refuse(checker, &own->min_version, own->mark, "min_version",
			"is newer than max_version");
		return;
	}
	if (tls_policy_check(policy, &err) < 0) {
		config_refuse(checker, &own->name, own->mark, "name", "%s", err.text);
		return;
	}
	tls_policy_offered(policy, &offered);
	if (version_of(own->min_version) && offered.version_min > policy->version_min) {
		err_set(&err, 0, "no cipher of this policy is for TLS %s",
			tls_policy_version_text(policy->version_min));
		config_refuse(checker, &own->min_version, own->mark, "min_version", "%s", err.text);
	}
	if (version_of(own->max_version) && offered.version_max < policy->version_max) {
		err_set(&err, 0, "no cipher or suite of this policy is for TLS %s",
			tls_policy_version_text(policy->version_max));
		config_refuse(checker, &own->max_version, own->mark, "max_version", "%s", err.text);
	}
}

static void check_own(struct config_checker *checker, const struct config_security_policy *own)
{
	struct tls_policy policy;
	bool good = check_lists(checker, own);

	if (own->name && tls_policy_find(slice_of(own->name), &policy))
		config_refuse(checker, &own->name, own->mark, "name",
			"is the name of a built-in policy: choose another one");
	else if (check_name(checker, &own->based_on, own->mark, "based_on", &policy) && good &&
		 own->name && config_policy_find(checker->config, own->name, &policy))
		check_versions(checker, own, &policy);
}

static void check_listener(struct config_checker *checker, const struct config_listener *listener)
{
	struct tls_policy policy;
	struct err err;

	if (!check_name(checker, &listener->tls.policy, listener->mark, "tls.policy", &policy) ||
		(listener->tls.max_version &&
			listener->tls.min_version > listener->tls.max_version))
		return;
	if (!config_policy_of_listener(checker->config, listener, &policy))
		err_set(&err, 0, "allows no version of TLS between min_version and max_version");
	else if (tls_policy_check(&policy, &err) == 0)
		return;
	config_refuse(checker, &listener->tls.policy, listener->mark, "tls.policy", "%s", err.text);
}

static void check_group(struct config_checker *checker, const struct config_target_group *group)
{
	struct tls_policy policy;
	struct err err;

	if (check_name(checker, &group->tls.policy, group->mark, "tls.policy", &policy) &&
		tls_policy_check(&policy, &err) < 0)
		config_refuse(
			checker, &group->tls.policy, group->mark, "tls.policy", "%s", err.text);
}

static bool has_tls(enum config_protocol protocol)
{
	return protocol == CONFIG_HTTPS || protocol == CONFIG_TLS;
}

static size_t enter_item(
	struct config_checker *checker, const char *list, const char *name, uint32_t number)
{
	size_t before = config_path_enter(&checker->path, list);

	config_path_item(&checker->path, name, number);
	return before;
}

void config_check_policies(const struct config *config, struct config_errors *errors)
{
	struct config_checker checker = {.config = config, .errors = errors};
	uint32_t i;

	for (i = 0; i < config->security_policies_count; i++) {
		enter_item(&checker, "security_policies", config->security_policies[i].name, i);
		check_own(&checker, &config->security_policies[i]);
		config_path_cut(&checker.path, 0);
	}
	for (i = 0; i < config->target_groups_count; i++) {
		enter_item(&checker, "target_groups", config->target_groups[i].name, i);
		if (has_tls(config->target_groups[i].protocol))
			check_group(&checker, &config->target_groups[i]);
		config_path_cut(&checker.path, 0);
	}
	for (i = 0; i < config->listeners_count; i++) {
		enter_item(&checker, "listeners", config->listeners[i].name, i);
		if (has_tls(config->listeners[i].protocol))
			check_listener(&checker, &config->listeners[i]);
		config_path_cut(&checker.path, 0);
	}
}
