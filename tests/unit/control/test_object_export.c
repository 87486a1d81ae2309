/* All objects as one file: what it says, and what it is read as again. */
#include "config_case.h"
#include "control/object_export.h"
#include "core/mem.h"

static const char hex[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static const char file_text[] =
	"workers: 2\n"
	"deny: [192.0.2.0/24]\n"
	"certificates_index: off\n"
	"shutdown: {grace: 1s}\n"
	"certificates: [{name: www, cert: c.pem, key: 'pkcs11:token=a'}, {name: dir, directory: /d}]\n"
	"trust_stores: [{name: people, ca: ca.pem, crls: [a.crl, /b.crl]}]\n"
	"target_groups: [{name: web, protocol: http, targets: [{address: '127.0.0.1:1'}]}]\n"
	"listeners:\n"
	"- {name: plain, address: 127.0.0.1:80, protocol: http, target_group: web}\n";

static char *exported(
	const char *text, const struct object_set *set, bool redact, struct blob_list *ret_contents)
{
	struct config_text whole = {(char *)text, strlen(text), (char *)"/etc/t.yaml"};
	struct config_overlay overlay = {set, "/state/blobs"};
	struct config_errors errors;
	struct export_how how = {"/etc", "/state/blobs", redact};
	struct object_rows rows;
	struct config *config;
	char *yaml;

	config_errors_init(&errors);
	if (config_compose(&whole, &overlay, &config, &rows, &errors) < 0)
		fail_msg("%s\n%s", case_errors_text(&errors), text);
	config_errors_fini(&errors);
	yaml = object_export(&rows, &how, ret_contents);
	object_rows_fini(&rows);
	config_free(config);
	return yaml;
}

static void file_and_objects_are_one(void **state)
{
	struct object_set set = {0}, none = {0};
	struct blob_list contents, again_contents;
	char *yaml, *again;

	object_set_put(&set, "trust_stores", "api",
		mem_printf(
			"{\"ca\": {\"blob\": \"%s\"}, \"crls\": [{\"blob\": \"%s\"}]}", hex, hex));
	object_set_put(&set, "settings", "shutdown", mem_strdup("{\"timeout\": \"5s\"}"));
	object_set_put(&set, "settings", "global", mem_strdup("{\"history\": 9}"));
	object_set_put(&set, "targets", "web/b", mem_strdup("{\"address\": \"127.0.0.1:2\"}"));
	yaml = exported(file_text, &set, false, &contents);
	assert_string_equal(yaml,
		"workers: 2\n"
		"shutdown:\n"
		"  grace: \"1s\"\n"
		"  timeout: \"5s\"\n"
		"deny:\n"
		"  - \"192.0.2.0/24\"\n"
		"certificates:\n"
		"  - name: dir\n"
		"    directory: /d\n"
		"  - name: www\n"
		"    cert: /etc/c.pem\n"
		"    key: \"pkcs11:token=a\"\n"
		"certificates_index: \"off\"\n"
		"history: 9\n"
		"trust_stores:\n"
		"  - name: api\n"
		"    ca: /state/blobs/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
		"    crls:\n"
		"      - /state/blobs/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"
		"  - name: people\n"
		"    ca: /etc/ca.pem\n"
		"    crls:\n"
		"      - /etc/a.crl\n"
		"      - /b.crl\n"
		"target_groups:\n"
		"  - name: web\n"
		"    protocol: http\n"
		"    targets:\n"
		"      - address: \"127.0.0.1:1\"\n"
		"      - name: b\n"
		"        address: \"127.0.0.1:2\"\n"
		"listeners:\n"
		"  - name: plain\n"
		"    address: \"127.0.0.1:80\"\n"
		"    protocol: http\n"
		"    target_group: web\n");
	assert_int_equal(contents.n, 1);
	assert_string_equal(contents.hex[0], hex);
	again = exported(yaml, &none, false, &again_contents);
	assert_string_equal(yaml, strstr(again, "workers")); /* nothing is lost, nothing is new */
	blob_list_fini(&again_contents);
	blob_list_fini(&contents);
	object_set_fini(&set);
	free(again);
	free(yaml);
}

static void what_may_be_secret_is_left_out(void **state)
{
	static const char text[] =
		"alerts: {webhook: 'https://a/SECRET'}\n"
		"certificates: [{name: www, cert: /c, key: 'pkcs11:token=a',\n"
		"  key_password_command: [/bin/echo, SECRET]}]\n"
		"target_groups: [{name: web, protocol: http}]\n"
		"listeners:\n"
		"- name: plain\n"
		"  address: 127.0.0.1:80\n"
		"  protocol: http\n"
		"  target_group: web\n"
		"  rules:\n"
		"  - {priority: 1, target_group: web, conditions: [{header: {name: X, values: [SECRET]}}],\n"
		"     request_headers: {set: [{name: Authorization, value: SECRET}]}}\n";
	struct blob_list contents;
	struct object_set none = {0};
	char *open = exported(text, &none, false, &contents);
	char *closed = exported(text, &none, true, &contents);
	int n = 0;

	for (const char *at = open; (at = strstr(at, "SECRET")); at++)
		n++;
	assert_int_equal(n, 4);
	assert_null(strstr(closed, "SECRET"));
	assert_non_null(strstr(closed, "name: Authorization"));
	free(closed);
	free(open);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(file_and_objects_are_one),
		cmocka_unit_test(what_may_be_secret_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
