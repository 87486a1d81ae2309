/* Changes of objects through the admin API: what a request makes of the set of objects. */
#include "control/transaction.h"
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
	char folder[64];
	struct object_store store;
	struct change_request *request;
	struct transaction transaction;
};

static int setup(void **state)
{
	struct fixture *fixture = mem_zalloc(sizeof(*fixture));
	struct err err, warning;

	*state = fixture;
	strcpy(fixture->folder, "/tmp/sluice-transaction-XXXXXX");
	assert_non_null(mkdtemp(fixture->folder));
	if (versions_open(fixture->folder, &disk_kernel_calls, &fixture->store.versions,
		    &fixture->store.set, &warning, &err) < 0)
		fail_msg("%s", err.text);
	return 0;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *at)
{
	return remove(path);
}

static void forget_request(struct fixture *fixture)
{
	transaction_fini(&fixture->transaction);
	change_request_free(fixture->request);
	fixture->transaction = (struct transaction){.store = &fixture->store};
	fixture->request = NULL;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	forget_request(fixture);
	object_store_fini(&fixture->store);
	nftw(fixture->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(fixture);
	return 0;
}

/* What is in force: a listener of the API, or none (NULL). */
static void have_listener(struct fixture *fixture, const char *text)
{
	object_set_remove(&fixture->store.set, "listeners", "web");
	if (text)
		object_set_put(&fixture->store.set, "listeners", "web", mem_strdup(text));
}

static bool make(struct fixture *fixture)
{
	fixture->transaction =
		(struct transaction){.request = fixture->request, .store = &fixture->store};
	return transaction_make(&fixture->transaction);
}

/* --- PATCH */

static const struct patch_row {
	const char *before, *patch, *after;
} patches[] = {
	/* The API has not touched it: the same whatever it had. */
	{NULL, "{\"client_auth\": null}", "{\"client_auth\": null}"},
	{"{\"certificates\": [\"a\"]}", "{\"client_auth\": null}",
		"{\"certificates\": [\"a\"], \"client_auth\": null}"},
	{"{\"client_auth\": {\"mode\": \"verify\"}}", "{\"client_auth\": null}",
		"{\"client_auth\": null}"},
	{"{\"tls\": {\"policy\": \"x\", \"ktls\": \"off\"}}", "{\"tls\": {\"policy\": null}}",
		"{\"tls\": {\"policy\": null, \"ktls\": \"off\"}}"},
	{"{\"certificates\": [\"a\"]}", "{\"tls\": {\"policy\": null}}",
		"{\"certificates\": [\"a\"], \"tls\": {\"policy\": null}}"},
	/* And back. */
	{"{\"tls\": {\"policy\": null}}", "{\"tls\": {\"policy\": \"y\", \"ktls\": \"on\"}}",
		"{\"tls\": {\"policy\": \"y\", \"ktls\": \"on\"}}"},
	{"{\"tls\": null}", "{\"tls\": {\"policy\": \"y\"}}", "{\"tls\": {\"policy\": \"y\"}}"},
	{"{\"certificates\": [\"a\", \"b\"]}", "{\"certificates\": [\"c\"]}",
		"{\"certificates\": [\"c\"]}"},
};

static void patch_listener(struct fixture *fixture, const char *patch)
{
	struct change *change;

	fixture->request = change_request_new();
	fixture->request->doc = yyjson_read(patch, strlen(patch), 0);
	assert_non_null(fixture->request->doc);
	change = change_request_add(fixture->request, CHANGE_PATCH, "listeners", "web");
	change->settings = yyjson_doc_get_root(fixture->request->doc);
	if (!make(fixture))
		fail_msg("%s", fixture->transaction.refusal.text.text);
}

static void a_patch_of_a_listener_keeps_null(void **state)
{
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_len(patches); i++) {
		const struct patch_row *row = &patches[i];
		yyjson_doc *wanted = yyjson_read(row->after, strlen(row->after), 0), *is;
		const struct object *object;

		have_listener(fixture, row->before);
		patch_listener(fixture, row->patch);
		object = object_set_find(&fixture->transaction.set, "listeners", "web");
		assert_non_null(object);
		is = yyjson_read(object->text, strlen(object->text), 0);
		if (!yyjson_equals(yyjson_doc_get_root(is), yyjson_doc_get_root(wanted)))
			fail_msg("%s and %s: %s", row->before, row->patch, object->text);
		assert_false(fixture->transaction.is_unchanged);
		yyjson_doc_free(is);
		yyjson_doc_free(wanted);
		forget_request(fixture);
	}
}

/* --- what lies over the file, or below another object */

static void have_row(struct fixture *fixture, const char *kind, const char *name, const char *text,
	enum object_origin origin)
{
	struct object_rows *all = &fixture->store.rows;

	object_rows_fini(all);
	all->items = mem_zalloc(sizeof(all->items[0]));
	all->n = all->room = 1;
	all->items[0] = (struct object_row){.kind = mem_strdup(kind),
		.name = mem_strdup(name),
		.text = mem_strdup(text),
		.origin = origin};
}

static bool change(struct fixture *fixture, enum change_op op, const char *kind, const char *name,
	const char *settings)
{
	struct change *one;

	forget_request(fixture);
	fixture->request = change_request_new();
	one = change_request_add(fixture->request, op, kind, name);
	if (settings) {
		fixture->request->doc = yyjson_read(settings, strlen(settings), 0);
		one->settings = yyjson_doc_get_root(fixture->request->doc);
	}
	return make(fixture);
}

static void a_patch_of_the_files_object_begins_with_all_of_it(void **state)
{
	struct fixture *fixture = *state;
	const struct object *object;

	have_row(fixture, "target_groups", "web", "{\"protocol\": \"http\", \"fail_open\": false}",
		OBJECT_FROM_FILE);
	assert_true(change(fixture, CHANGE_PATCH, "target_groups", "web",
		"{\"fail_open\": null, \"algorithm\": \"round_robin\"}"));
	object = object_set_find(&fixture->transaction.set, "target_groups", "web");
	assert_string_equal(
		object->text, "{\n  \"protocol\": \"http\",\n  \"algorithm\": \"round_robin\"\n}");
	assert_false(change(fixture, CHANGE_PATCH, "target_groups", "none", "{}"));
	assert_int_equal(fixture->transaction.refusal.http_status, 404);
}

static void put_rule(struct fixture *fixture, const char *name, unsigned int priority)
{
	object_set_put(&fixture->store.set, "rules", name,
		mem_printf("{\"priority\": %u, \"target_group\": \"x\"}", priority));
}

static unsigned int priority_of(struct fixture *fixture, const char *name)
{
	const struct object *rule = object_set_find(&fixture->transaction.set, "rules", name);
	yyjson_doc *doc;
	unsigned int priority;

	assert_non_null(rule);
	assert_non_null(strstr(rule->text, "target_group"));
	doc = yyjson_read(rule->text, strlen(rule->text), 0);
	priority =
		(unsigned int)yyjson_get_uint(yyjson_obj_get(yyjson_doc_get_root(doc), "priority"));
	yyjson_doc_free(doc);
	return priority;
}

static void rules_make_way_for_one_that_moves(void **state)
{
	struct fixture *fixture = *state;

	put_rule(fixture, "web/a", 1);
	put_rule(fixture, "web/b", 2);
	put_rule(fixture, "web/c", 3);
	put_rule(fixture, "web/d", 5);
	put_rule(fixture, "other/x", 1);
	have_row(fixture, "rules", "web/f", "{\"priority\": 6, \"target_group\": \"x\"}",
		OBJECT_FROM_FILE);
	assert_true(change(fixture, CHANGE_MOVE, "rules", "web/c", "{\"priority\": 1}"));
	assert_int_equal(priority_of(fixture, "web/c"), 1);
	assert_int_equal(priority_of(fixture, "web/a"), 2);
	assert_int_equal(priority_of(fixture, "web/b"), 3);
	assert_int_equal(priority_of(fixture, "web/d"), 5);
	assert_int_equal(priority_of(fixture, "other/x"), 1);
	assert_null(object_set_find(&fixture->transaction.set, "rules", "web/f"));
	assert_true(change(fixture, CHANGE_MOVE, "rules", "web/a", "{\"priority\": 5}"));
	assert_int_equal(priority_of(fixture, "web/d"), 6);
	assert_int_equal(priority_of(fixture, "web/f"), 7); /* the file's is the API's now */
	put_rule(fixture, "web/d", 50000);
	assert_false(change(fixture, CHANGE_MOVE, "rules", "web/a", "{\"priority\": 50000}"));
	assert_string_equal(fixture->transaction.refusal.code, "no_room");
	put_rule(fixture, "web/rule-9", 9);
	assert_false(change(fixture, CHANGE_MOVE, "rules", "web/a", "{\"priority\": 9}"));
	assert_false(change(fixture, CHANGE_MOVE, "rules", "web/rule-9", "{\"priority\": 10}"));
	assert_string_equal(fixture->transaction.refusal.code, "no_name");
	assert_false(change(fixture, CHANGE_MOVE, "rules", "web/none", "{\"priority\": 10}"));
	assert_int_equal(fixture->transaction.refusal.http_status, 404);
}

static void children_go_with_what_the_api_made(void **state)
{
	struct fixture *fixture = *state;
	struct object_set *set = &fixture->store.set;

	for (int i = 0; i < 2; i++) {
		have_listener(fixture, "{}");
		object_set_put(set, "rules", "web/a", mem_strdup("{}"));
		object_set_put(set, "rules", "web/b", mem_strdup("{}"));
		object_set_put(set, "rules", "web2/b", mem_strdup("{}"));
		object_set_put(set, "targets", "web/b", mem_strdup("{}"));
		have_row(fixture, "listeners", "web", "{}", i ? OBJECT_FROM_BOTH : OBJECT_FROM_API);
		assert_true(change(fixture, CHANGE_DELETE, "listeners", "web", NULL));
		assert_int_equal(fixture->transaction.set.n, i ? 4 : 2);
	}
}

static void names_that_cannot_be_are_refused(void **state)
{
	static const char *const bad[][3] = {{"rules", "web", "is needed in front of it"},
		{"settings", "limit", "there are no settings"},
		{"rule", "web/a", "no objects of kind"}};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < array_len(bad); i++) {
		assert_false(change(fixture, CHANGE_PUT, bad[i][0], bad[i][1], "{}"));
		assert_int_equal(fixture->transaction.refusal.http_status, 404);
		assert_non_null(strstr(fixture->transaction.refusal.text.text, bad[i][2]));
	}
	assert_false(change(fixture, CHANGE_PUT, "rules", "web/a", "{\"name\": \"b\"}"));
	assert_true(change(fixture, CHANGE_PUT, "rules", "web/a", "{\"name\": \"a\"}"));
	assert_true(change(fixture, CHANGE_PUT, "settings", "limits", "{\"name\": {}}"));
	assert_non_null(strstr(
		object_set_find(&fixture->transaction.set, "settings", "limits")->text, "name"));
}

/* --- rollback */

/* A version in which "web" has this certificate. */
static void commit_version(struct fixture *fixture, const char *certificate)
{
	struct versions *versions = fixture->store.versions;
	struct version about = {.changes = (char *)"[]"};
	char *text = mem_printf("{\"certificates\": [\"%s\"]}", certificate);
	struct err err;

	have_listener(fixture, text);
	free(text);
	if (versions_prepare(versions, &about, &fixture->store.set, &err) < 0 ||
		versions_commit(versions, &err) < 0)
		fail_msg("%s", err.text);
}

static void ask_for_the_one_before(struct fixture *fixture)
{
	fixture->request = change_request_new();
	fixture->request->is_rollback = fixture->request->to_previous = true;
}

static void the_one_before_is_chosen_when_its_turn_comes(void **state)
{
	struct fixture *fixture = *state;
	const struct object *object;

	commit_version(fixture, "one");
	commit_version(fixture, "two");
	ask_for_the_one_before(fixture);
	commit_version(fixture, "three"); /* was under way */
	assert_true(make(fixture));
	assert_int_equal(fixture->transaction.rollback_to, 2);
	object = object_set_find(&fixture->transaction.set, "listeners", "web");
	assert_non_null(strstr(object->text, "two"));
}

static void before_the_first_there_is_the_file(void **state)
{
	struct fixture *fixture = *state;

	ask_for_the_one_before(fixture);
	assert_true(make(fixture));
	assert_true(fixture->transaction.is_unchanged);
	forget_request(fixture);
	commit_version(fixture, "one");
	ask_for_the_one_before(fixture);
	assert_true(make(fixture));
	assert_int_equal(fixture->transaction.rollback_to, 0);
	assert_int_equal(fixture->transaction.set.n, 0);
}

/* That it is not known does not make it the file. */
static void one_before_that_is_gone_is_refused(void **state)
{
	struct fixture *fixture = *state;

	commit_version(fixture, "one");
	commit_version(fixture, "two");
	versions_prune(fixture->store.versions, 1);
	ask_for_the_one_before(fixture);
	assert_false(make(fixture));
	assert_int_equal(fixture->transaction.refusal.http_status, 404);
	assert_non_null(strstr(fixture->transaction.refusal.text.text, "no version before 2"));
	fixture->request->to_previous = false; /* it may be asked for */
	transaction_fini(&fixture->transaction);
	assert_true(make(fixture));
	assert_int_equal(fixture->transaction.set.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_patch_of_a_listener_keeps_null, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_patch_of_the_files_object_begins_with_all_of_it, setup, teardown),
		cmocka_unit_test_setup_teardown(rules_make_way_for_one_that_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(
			children_go_with_what_the_api_made, setup, teardown),
		cmocka_unit_test_setup_teardown(names_that_cannot_be_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_one_before_is_chosen_when_its_turn_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(
			before_the_first_there_is_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(
			one_before_that_is_gone_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
