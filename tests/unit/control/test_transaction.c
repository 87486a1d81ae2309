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
			the_one_before_is_chosen_when_its_turn_comes, setup, teardown),
		cmocka_unit_test_setup_teardown(
			before_the_first_there_is_the_file, setup, teardown),
		cmocka_unit_test_setup_teardown(
			one_before_that_is_gone_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
