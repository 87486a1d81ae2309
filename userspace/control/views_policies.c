/* The view "policies": security policies, built in and of the configuration. See views.h. */
#include "control/views_parts.h"

#include "control/admin_request.h"
#include "control/config_policy.h"

#include <string.h>

static const struct tls_policy_row *row_of(const struct tls_policy *policy)
{
	size_t i;

	for (i = 0; i < tls_policy_n_rows; i++)
		if (strcmp(tls_policy_rows[i].name, policy->name) == 0)
			return &tls_policy_rows[i];
	return NULL;
}

static void put_aliases(const struct tls_policy_row *row, const struct view *object)
{
	struct view_list aliases = view_list(object, "aliases");
	const char *words = row ? row->aliases : "";
	char text[TLS_POLICY_NAME_BYTES];
	struct slice word;

	while (config_word_next(&words, &word)) {
		snprintf(text, sizeof(text), "%.*s", (int)word.len, word.ptr);
		view_list_text(&aliases, text);
	}
}

static void put_versions(
	const struct tls_policy *policy, const char *name, const struct view *object)
{
	struct view_list versions = view_list(object, name);
	uint16_t version;

	for (version = policy->version_min; version <= policy->version_max; version++)
		view_list_text(&versions, tls_policy_version_text(version));
}

static void put_lists(const struct tls_policy *policy, const struct view *object)
{
	static const char *const names[TLS_POLICY_LISTS] = {
		"ciphers", "suites", "groups", "signature_algorithms"};
	enum tls_policy_list list;
	size_t i;

	for (list = 0; list < TLS_POLICY_LISTS; list++) {
		struct view_list items = view_list(object, names[list]);

		for (i = 0; i < policy->count[list]; i++)
			view_list_text(&items, tls_policy_at(policy, list, i)->name);
	}
}

static void put_missing(const struct tls_policy *policy, const struct view *object)
{
	struct view_list missing = view_list(object, "missing");
	enum tls_policy_list list;
	size_t i;

	for (list = 0; list < TLS_POLICY_LISTS; list++)
		for (i = 0; i < policy->count[list]; i++)
			if (!tls_policy_is_available(list, policy->item[list][i]))
				view_list_text(&missing, tls_policy_at(policy, list, i)->name);
	if (tls_policy_lacks_fips(policy))
		view_list_text(&missing, "a validated FIPS module");
}

static bool is_named(const struct config *config, const char *name, const struct tls_policy *policy)
{
	struct tls_policy named;

	return config_policy_find(config, name, &named) && strcmp(named.name, policy->name) == 0;
}

static bool has_tls(enum config_protocol protocol)
{
	return protocol == CONFIG_HTTPS || protocol == CONFIG_TLS;
}

static void put_users(
	const struct config *config, const struct tls_policy *policy, const struct view *object)
{
	struct view_list users = view_list(object, "listeners");
	uint32_t i;

	for (i = 0; i < config->listeners_count; i++)
		if (has_tls(config->listeners[i].protocol) &&
			is_named(config, config->listeners[i].tls.policy, policy))
			view_list_text(&users, config->listeners[i].name);
	users = view_list(object, "target_groups");
	for (i = 0; i < config->target_groups_count; i++)
		if (has_tls(config->target_groups[i].protocol) &&
			is_named(config, config->target_groups[i].tls.policy, policy))
			view_list_text(&users, config->target_groups[i].name);
}

static void put_policy(
	const struct config *config, const struct tls_policy *policy, const struct view_list *list)
{
	const struct tls_policy_row *row = row_of(policy);
	struct view object = view_list_object(list);
	struct tls_policy offered;

	tls_policy_offered(policy, &offered);
	view_text(&object, "name", policy->name);
	put_aliases(row, &object);
	view_text(&object, "source", row ? row->source : "configuration");
	put_versions(policy, "versions", &object);
	put_versions(&offered, "offered_versions", &object);
	put_lists(policy, &object);
	view_bool(&object, "server_preference", policy->server_preference);
	view_bool(&object, "fips", policy->wants_fips);
	put_missing(policy, &object);
	put_users(config, policy, &object);
}

static void put_all(const struct config *config, const struct view_list *list)
{
	struct tls_policy policy;
	size_t i;

	for (i = 0; i < config->security_policies_count; i++)
		if (config_policy_find(config, config->security_policies[i].name, &policy))
			put_policy(config, &policy, list);
	for (i = 0; i < tls_policy_n_rows; i++)
		if (tls_policy_find(slice_of(tls_policy_rows[i].name), &policy))
			put_policy(config, &policy, list);
}

void view_policies(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	const struct config *config = ((struct daemon *)arg)->build->config;
	char name[2 * TLS_POLICY_NAME_BYTES];
	int asked = admin_query_text(call->query, "name", name, sizeof(name));
	struct tls_policy policy;
	yyjson_mut_doc *doc;
	struct view_list list;
	struct view root;

	if (asked < 0 || (asked > 0 && !config_policy_find(config, name, &policy))) {
		admin_reply_error(reply, 404, "not_found", "there is no security policy \"%s\"",
			asked > 0 ? name : "");
		return;
	}
	doc = admin_doc_new();
	root = (struct view){doc, yyjson_mut_doc_get_root(doc)};
	list = view_list(&root, "policies");
	if (asked)
		put_policy(config, &policy, &list);
	else
		put_all(config, &list);
	admin_reply_finish(reply, 200, doc);
}
