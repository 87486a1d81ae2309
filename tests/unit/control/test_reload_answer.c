/* What whoever asked for a reload or a change is told, over a real unix socket, where a part of it
 * went wrong. */
#include "control/daemon.h"
#include "control/reload_parts.h"

#include "admin_case.h"

static struct build in_force = {.generation = 7};
static struct daemon *running;

/* All is in force, and the lists could not be made. */
static void end_without_lists(struct admin_reply *reply, struct change_request *request)
{
	struct reload reload = {
		.daemon = running,
		.reply = reply,
		.request = request,
		.lists_code = -ENOMEM,
		.lists_text = (char *)"no room for a map",
		.transaction.about.changes = (char *)"[]",
	};

	config_errors_init(&reload.errors);
	reload_tell_done(&reload);
	config_errors_fini(&reload.errors);
}

static void fake_reload(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	end_without_lists(reply, NULL);
}

static void fake_change(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct change_request request = {.n = 0};

	end_without_lists(reply, &request);
}

static const struct admin_source source = {.reload = fake_reload, .objects_change = fake_change};

static int start(void **state)
{
	running = aligned_alloc(CACHE_LINE, sizeof(*running));
	memset(running, 0, sizeof(*running));
	running->config_path = "/etc/sluice/t.yaml";
	running->build = &in_force;
	running->objects.head = 3;
	server_start(&source, 0, NULL);
	return 0;
}

static int stop_and_free(void **state)
{
	stop(state);
	free(running);
	return 0;
}

static void assert_in_force(const char *reply)
{
	assert_begins(reply, "HTTP/1.1 500 ");
	assert_has(reply, "\"code\": \"lists_not_changed\"");
	assert_has(reply, "everything is in force but the deny and allow lists");
	assert_has(reply, "no room for a map");
	assert_has(reply, "\"generation\": 7");
	assert_null(strstr(reply, "nothing was changed"));
}

static void a_change_is_in_force_without_the_lists(void **state)
{
	const char *reply = ask(POST_CLOSE("/v1/objects"));

	assert_in_force(reply);
	assert_has(reply, "\"version\": 3");
	assert_has(reply, "ETag: \"v3\"");
	assert_int_equal(running->last_reload.at_unix_s, 0);
}

static void a_reload_is_in_force_without_the_lists(void **state)
{
	assert_in_force(ask(POST_CLOSE("/v1/reload")));
	assert_true(running->last_reload.at_unix_s > 0);
	assert_false(running->last_reload.refused);
	assert_has(running->last_reload.error, "no room for a map");
}

/* A signal asked: there is only what the status shows. */
static void nobody_waits_for_the_answer(void **state)
{
	end_without_lists(NULL, NULL);
	assert_false(running->last_reload.refused);
	assert_has(running->last_reload.error, "no room for a map");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_change_is_in_force_without_the_lists, start, stop_and_free),
		cmocka_unit_test_setup_teardown(
			a_reload_is_in_force_without_the_lists, start, stop_and_free),
		cmocka_unit_test_setup_teardown(nobody_waits_for_the_answer, start, stop_and_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
