/* Objects over the file: which one holds, what a listener keeps, and whom errors name. */
#include "config_case.h"
#include "control/object_kinds.h"
#include "control/object_rows.h"
#include "core/mem.h"

static const char file_text[] =
	"certificates: [{name: www, cert: /c.pem, key: /k.pem}]\n"
	"trust_stores: [{name: people, ca: /people.pem}]\n"
	"target_groups: [{name: web, protocol: http}, {name: other, protocol: http}]\n"
	"listeners:\n"
	"- &first {name: plain, address: 127.0.0.1:80, protocol: http, target_group: web}\n"
	"- {name: secure, address: 127.0.0.1:443, protocol: https, target_group: web,\n"
	"   certificates: [www], tls: {min_version: 1.2, policy: 2016-08}}\n"
	"- {<<: *first, name: again, address: 127.0.0.1:81}\n";

static const char hex[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static struct object_set set;
static struct object_rows rows;

static void put(const char *kind, const char *name, const char *text)
{
	object_set_put(&set, kind, name, mem_strdup(text));
}

static int compose(struct config **ret_config, char **ret_errors)
{
	struct config_text text = {(char *)file_text, strlen(file_text), (char *)"/t.yaml"};
	struct config_overlay overlay = {&set, "/state/objects/blobs"};
	struct config_errors errors;
	int r;

	config_errors_init(&errors);
	r = config_compose(&text, &overlay, ret_config, &rows, &errors);
	*ret_errors = case_errors_text(&errors);
	config_errors_fini(&errors);
	return r;
}

static struct config *composed(void)
{
	struct config *config = NULL;
	char *errors;

	if (compose(&config, &errors) < 0)
		fail_msg("%s", errors);
	free(errors);
	return config;
}

static void refused(const char *expected)
{
	struct config *config = NULL;
	char *errors;

	assert_true(compose(&config, &errors) < 0);
	assert_string_equal(errors, expected);
	free(errors);
}

static int teardown(void **state)
{
	object_set_fini(&set);
	object_rows_fini(&rows);
	return 0;
}

static const struct config_listener *listener(const struct config *config, const char *name)
{
	for (uint32_t i = 0; i < config->listeners_count; i++)
		if (strcmp(config->listeners[i].name, name) == 0)
			return &config->listeners[i];
	return NULL;
}

static void an_object_replaces_the_files(void **state)
{
	struct config *config;

	put("certificates", "www", "{\"cert\": \"/other\", \"key\": \"/other.key\"}");
	config = composed();
	assert_int_equal(config->certificates_count, 1);
	assert_string_equal(config->certificates[0].cert_path, "/other");
	assert_string_equal(config->certificates[0].key_path, "/other.key");
	config_free(config);
}

static void a_new_object_is_one_more(void **state)
{
	struct config *config;

	put("certificates", "api", "{\"cert\": \"/a.pem\", \"key\": \"/a.key\"}");
	put("security_policies", "mine", "{\"min_version\": \"1.3\"}"); /* the file has none */
	config = composed();
	assert_int_equal(config->certificates_count, 2);
	assert_string_equal(config->certificates[1].name, "api");
	assert_int_equal(config->security_policies_count, 1);
	config_free(config);
}

static void a_listener_is_merged(void **state)
{
	struct config *config;

	put("listeners", "secure",
		"{\"tls\": {\"policy\": \"TLS13-1-3-2021-06\", \"min_version\": null},"
		" \"client_auth\": {\"mode\": \"verify\", \"trust_store\": \"people\"}}");
	config = composed();
	assert_int_equal(config->listeners_count, 3);
	assert_string_equal(listener(config, "secure")->tls.policy, "TLS13-1-3-2021-06");
	assert_false(config_is_given(config, &listener(config, "secure")->tls.min_version));
	assert_int_equal(listener(config, "secure")->certificates_count, 1);
	assert_ptr_equal(
		listener(config, "secure")->client_auth.trust_store, &config->trust_stores[0]);
	config_free(config);
}

/* What an alias shares with another one stays as it is. */
static void settings_behind_an_alias_are_not_shared(void **state)
{
	struct config *config;

	put("listeners", "again", "{\"target_group\": \"other\"}");
	config = composed();
	assert_string_equal(listener(config, "again")->target_group->name, "other");
	assert_string_equal(listener(config, "plain")->target_group->name, "web");
	assert_int_equal(listener(config, "again")->address[0].port, 81);
	config_free(config);
}

static void contents_are_paths(void **state)
{
	char text[200], path[100];
	struct config *config;

	snprintf(text, sizeof(text), "{\"ca\": {\"blob\": \"%s\"}, \"crls\": [{\"blob\": \"%s\"}]}",
		hex, hex);
	snprintf(path, sizeof(path), "/state/objects/blobs/%s", hex);
	put("trust_stores", "people", text);
	config = composed();
	assert_string_equal(config->trust_stores[0].ca_path, path);
	assert_string_equal(config->trust_stores[0].crl_paths[0], path);
	config_free(config);
}

static void errors_name_the_object_and_its_line(void **state)
{
	put("listeners", "secure", "{\n  \"tls\": {\n    \"policy\": \"2021-60\"\n  }\n}");
	put("target_groups", "web", "{\n  \"protocol\": \"htp\"\n}");
	refused("object listeners/secure:3:15: listeners[secure].tls.policy: there is no security "
		"policy \"2021-60\" (did you mean \"2016-08\"?)\n"
		"object target_groups/web:2:15: target_groups[web].protocol: \"htp\" is not one of http, "
		"https, tls, tcp (did you mean \"http\"?)\n");
}

static void a_missing_object_is_named_where_it_is_used(void **state)
{
	put("listeners", "secure", "{\"certificates\": [\"www\", \"gone\"]}");
	refused("object listeners/secure:1:26: listeners[secure].certificates[1]: there is no "
		"\"gone\" in certificates\n");
}

static void rows_say_where_from(void **state)
{
	const struct object_row *row;
	struct config *config;
	char text[200];

	snprintf(text, sizeof(text), "{\"cert\": {\"blob\": \"%s\"}, \"key\": \"/k\"}", hex);
	put("certificates", "api", text);
	put("listeners", "plain", "{\"target_group\": \"other\"}");
	config = composed();
	row = object_rows_find(&rows, "certificates", "www");
	assert_int_equal(row->origin, OBJECT_FROM_FILE);
	row = object_rows_find(&rows, "certificates", "api");
	assert_int_equal(row->origin, OBJECT_FROM_API);
	snprintf(text, sizeof(text),
		"{\n  \"cert\": {\n    \"blob\": \"%s\"\n  },\n  \"key\": \"/k\"\n}", hex);
	assert_string_equal(row->text, text);
	row = object_rows_find(&rows, "listeners", "plain");
	assert_int_equal(row->origin, OBJECT_FROM_BOTH);
	assert_string_equal(row->text,
		"{\n  \"address\": \"127.0.0.1:80\",\n  \"protocol\": \"http\",\n"
		"  \"target_group\": \"other\"\n}");
	row = object_rows_find(&rows, "listeners", "again"); /* "<<" is followed */
	assert_non_null(strstr(row->text, "\"protocol\": \"http\""));
	assert_null(object_rows_find(&rows, "listeners", "none"));
	config_free(config);
}

static const struct config_rule *rule(const struct config *config, const char *name)
{
	const struct config_listener *plain = listener(config, "plain");

	for (uint32_t i = 0; i < plain->rules_count; i++)
		if (plain->rules[i].name && strcmp(plain->rules[i].name, name) == 0)
			return &plain->rules[i];
	return NULL;
}

#define ACTION "\"actions\": [{\"fixed_response\": {\"status\": 200}}]"

static void rules_are_objects(void **state)
{
	struct config *config;

	put("listeners", "plain",
		"{\"rules\": [{\"priority\": 5, " ACTION "}, "
		"{\"name\": \"b\", \"priority\": 6, " ACTION "}]}");
	put("rules", "plain/b", "{\"priority\": 7, " ACTION "}");
	put("rules", "plain/new", "{\"priority\": 1, " ACTION "}");
	put("rules", "plain/rule-5", "{\"priority\": 5, \"target_group\": \"other\"}");
	config = composed();
	assert_int_equal(listener(config, "plain")->rules_count, 3);
	assert_int_equal(rule(config, "b")->priority, 7);
	assert_int_equal(rule(config, "new")->priority, 1);
	assert_string_equal(rule(config, "rule-5")->target_group->name, "other");
	assert_int_equal(object_rows_find(&rows, "rules", "plain/b")->origin, OBJECT_FROM_BOTH);
	assert_int_equal(object_rows_find(&rows, "rules", "plain/new")->origin, OBJECT_FROM_API);
	assert_int_equal(listener(config, "again")->rules_count, 0); /* shares with "plain" */
	config_free(config);
}

static void targets_are_objects(void **state)
{
	const struct config_target_group *web;
	struct config *config;

	put("target_groups", "web",
		"{\"protocol\": \"http\", \"targets\": [{\"address\": \"127.0.0.1:1\"}, "
		"{\"name\": \"b\", \"address\": \"127.0.0.1:2\"}]}");
	put("targets", "web/127.0.0.1:1", "{\"weight\": 7}"); /* its name says where it is */
	put("targets", "web/[::1]:3", "{\"address\": \"[::1]:3\", \"weight\": 8}");
	put("targets", "web/b", "{\"address\": \"127.0.0.1:4\"}");
	config = composed();
	web = &config->target_groups[0];
	assert_int_equal(web->targets_count, 3);
	assert_int_equal(web->targets[0].weight, 7);
	assert_null(web->targets[0].name);
	assert_string_equal(web->targets[1].name, "b");
	assert_int_equal(web->targets[1].address.address.port, 4);
	assert_int_equal(web->targets[2].weight, 8);
	assert_int_equal(
		object_rows_find(&rows, "targets", "web/127.0.0.1:1")->origin, OBJECT_FROM_BOTH);
	config_free(config);
}

static void children_need_their_parents(void **state)
{
	put("rules", "nobody/x", "{\"priority\": 7}");
	put("targets", "x", "{}");
	refused("object targets/x:1:1: its name must be PARENT/NAME\n");
	object_set_remove(&set, "targets", "x");
	refused("object rules/nobody/x:1:1: there is nothing called \"nobody\" among listeners\n");
}

static void settings_of_the_program_are_objects(void **state)
{
	struct config *config;

	put("settings", "limits",
		"{\"connections\": 17, \"name\": {\"handshakes_per_second\": 9}}");
	put("settings", "global", "{\"history\": 7, \"deny\": [\"192.0.2.0/24\"]}");
	config = composed();
	assert_int_equal(config->limits.connections, 17);
	assert_int_equal(config->limits.per_name.handshakes_per_second, 9);
	assert_int_equal(config->history, 7);
	assert_int_equal(config->deny_count, 1);
	assert_non_null(strstr(object_rows_find(&rows, "settings", "limits")->text, "\"name\""));
	assert_string_equal(object_rows_find(&rows, "settings", "log")->text, "{}");
	config_free(config);
}

static void settings_are_none_but_those(void **state)
{
	put("settings", "limit", "{}");
	put("settings", "global", "{\"limits\": {}}");
	char *wanted = mem_printf(
		"object settings/global:1:2: limits: is an object of its own, or several\n"
		"object settings/limit:1:1: there are no settings of this name; there are: %s\n",
		object_kind_sections());

	refused(wanted);
	free(wanted);
}

static void what_is_written_is_read_again(void **state)
{
	struct object_set again;
	struct err err;
	size_t len;
	char *text;

	put("certificates", "www", "{\n  \"cert\": \"/ä\\\"b\"\n}");
	put("listeners", "secure", "{}");
	text = object_set_write(&set, &len);
	assert_int_equal(object_set_read(&again, text, len, &err), 0);
	assert_true(object_set_eq(&set, &again));
	object_set_fini(&again);
	assert_int_equal(object_set_read(&again, "[{\"kind\":\"x\"}]", 14, &err), -22);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(an_object_replaces_the_files, teardown),
		cmocka_unit_test_teardown(a_new_object_is_one_more, teardown),
		cmocka_unit_test_teardown(a_listener_is_merged, teardown),
		cmocka_unit_test_teardown(settings_behind_an_alias_are_not_shared, teardown),
		cmocka_unit_test_teardown(contents_are_paths, teardown),
		cmocka_unit_test_teardown(errors_name_the_object_and_its_line, teardown),
		cmocka_unit_test_teardown(a_missing_object_is_named_where_it_is_used, teardown),
		cmocka_unit_test_teardown(rows_say_where_from, teardown),
		cmocka_unit_test_teardown(rules_are_objects, teardown),
		cmocka_unit_test_teardown(targets_are_objects, teardown),
		cmocka_unit_test_teardown(children_need_their_parents, teardown),
		cmocka_unit_test_teardown(settings_of_the_program_are_objects, teardown),
		cmocka_unit_test_teardown(settings_are_none_but_those, teardown),
		cmocka_unit_test_teardown(what_is_written_is_read_again, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
