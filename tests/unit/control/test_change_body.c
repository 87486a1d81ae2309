/* Bodies of requests for changes: what they say, and that no memory with a key in it is given back. */
/* Before admin_case.h, whose `server` their arguments would hide. */
#include "control/transaction.h"

#include "admin_case.h"

#include <malloc.h>

#define KEY "-----BEGIN PRIVATE KEY----- nobody else may read this"

/* --- memory that is given back; sanitizers have their own */

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { IS_WATCHED = 0 };
#else
enum { IS_WATCHED = 1 };

extern void __libc_free(void *memory);
extern void *__libc_realloc(void *memory, size_t size);
#endif

static atomic_bool is_watching;
static atomic_int n_leaks;

#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
static void look_at(void *memory)
{
	if (memory && atomic_load(&is_watching) &&
		memmem(memory, malloc_usable_size(memory), KEY, sizeof(KEY) - 1))
		atomic_fetch_add(&n_leaks, 1);
}

void free(void *memory)
{
	look_at(memory);
	__libc_free(memory);
}

/* It may move, and leave a copy. */
void *realloc(void *memory, size_t size)
{
	look_at(memory);
	return __libc_realloc(memory, size);
}
#endif

static void watch_begin(void)
{
	atomic_store(&n_leaks, 0);
	atomic_store(&is_watching, true);
}

static void watch_end(void)
{
	atomic_store(&is_watching, false);
	assert_int_equal(atomic_load(&n_leaks), 0);
}

/* What is tested here would be seen. */
static void test_watch_sees(void **state)
{
	char *copy = strdup(KEY);

	watch_begin();
	free(copy);
	assert_int_equal(atomic_load(&n_leaks), IS_WATCHED);
	atomic_store(&is_watching, false);
}

/* --- bodies */

static struct change_request *request_of(const char *body, change_reader *read)
{
	struct change_request *request = change_request_new();

	change_request_add(request, CHANGE_PUT, "certificates", "shop");
	request->received_bytes = strlen(body) + 10;
	request->received = mem_zalloc(request->received_bytes);
	memcpy(request->received + 5, body, strlen(body)); /* behind a head */
	request->unread = (struct slice){request->received + 5, strlen(body)};
	request->read = read;
	return request;
}

static void test_certificate(void **state)
{
	static const char body[] =
		"{\"certificate\": \"CERT\", \"chain\": \"CHAIN\", \"key\": \"" KEY
		"\", \"password\": \"pw\"}";
	struct change_refusal refusal = {0};
	struct change_request *request;
	yyjson_val *settings;
	const char *key;

	request = request_of(body, change_read_certificate);
	watch_begin();
	assert_int_equal(change_request_bytes(request), sizeof(body) + 9);
	assert_true(change_request_read(request, &refusal));
	assert_null(request->received);
	settings = request->changes[0].settings;
	key = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(settings, "key"), "content"));
	assert_string_equal(key, KEY);
	assert_string_equal(
		yyjson_get_str(yyjson_obj_get(yyjson_obj_get(settings, "cert"), "content")),
		"CERT\nCHAIN");
	assert_string_equal(yyjson_get_str(yyjson_obj_get(
				    yyjson_obj_get(settings, "key_password_file"), "content")),
		"pw");
	change_request_free(request);
	watch_end();
}

static void test_pkcs12(void **state)
{
	struct change_request *request = request_of(
		"{\"pkcs12\": \"" KEY "\", \"password\": \"pw\"}", change_read_certificate);
	struct change_refusal refusal = {0};
	yyjson_val *settings;

	watch_begin();
	assert_true(change_request_read(request, &refusal));
	settings = request->changes[0].settings;
	assert_string_equal(
		yyjson_get_str(yyjson_obj_get(yyjson_obj_get(settings, "pkcs12"), "base64")), KEY);
	assert_int_equal(yyjson_obj_size(settings), 2); /* and the password */
	change_request_free(request);
	watch_end();
}

/* A request that is thrown away before anybody has read it. */
static void test_unread(void **state)
{
	struct change_request *request =
		request_of("{\"key\": \"" KEY "\"}", change_read_certificate);

	watch_begin();
	change_request_free(request);
	watch_end();
}

static void test_refused(void **state)
{
	static const struct {
		change_reader *read;
		const char *body, *text;
	} rows[] = {
		{change_read_settings, "", "the body is no JSON: byte 0"},
		{change_read_settings, "{\"a\": }", "the body is no JSON: byte 6"},
		{change_read_settings, "[1]", "the body is a JSON object"},
		{change_read_certificate, "{\"key\": \"" KEY "\"}", "the body is {\"certificate\""},
		{change_read_certificate, "{\"key\": 7, \"certificate\": \"a\"}",
			"the body is {\"certificate\""},
		{change_read_certificate,
			"{\"key\": \"" KEY "\", \"certificate\": \"a\", \"x\": 1}",
			"the body is {\"certificate\""},
		{change_read_certificate, "{\"pkcs12\": \"" KEY "\", \"key\": \"a\"}",
			"the body is {\"certificate\""},
		{change_read_names, "{}", "the body is {\"add\""},
		{change_read_names, "{\"add\": \"a\"}", "the body is {\"add\""},
		{change_read_names, "{\"remove\": [7]}", "the body is {\"add\""},
		{change_read_several, "{\"changes\": []}", "the body is {\"changes\""},
		{change_read_several, "{\"changes\": [{\"op\": \"get\", \"kind\": \"a\"}]}",
			"the body is {\"changes\""},
	};

	for (size_t i = 0; i < array_len(rows); i++) {
		struct change_request *request = request_of(rows[i].body, rows[i].read);
		struct change_refusal refusal = {0};

		watch_begin();
		assert_false(change_request_read(request, &refusal));
		change_request_free(request);
		watch_end();
		assert_int_equal(refusal.http_status, 400);
		assert_string_equal(refusal.code, "bad_request");
		if (strncmp(refusal.text.text, rows[i].text, strlen(rows[i].text)) != 0)
			fail_msg("%s: %s", rows[i].body, refusal.text.text);
	}
}

static void test_several(void **state)
{
	static const char body[] =
		"{\"changes\": [{\"op\": \"delete\", \"kind\": \"k\", \"name\": \"a\"},"
		"{\"op\": \"patch\", \"kind\": \"k\", \"name\": \"b\", \"settings\": {\"x\": 1},"
		" \"if_match\": \"v1\"}]}";
	struct change_request *request = request_of(body, change_read_several);
	struct change_refusal refusal = {0};

	request->n = 0;
	free(request->changes[0].kind);
	free(request->changes[0].name);
	assert_true(change_request_read(request, &refusal));
	assert_int_equal(request->n, 2);
	assert_int_equal(request->changes[0].op, CHANGE_DELETE);
	assert_string_equal(request->changes[1].name, "b");
	assert_string_equal(request->changes[1].if_match, "v1");
	assert_true(yyjson_is_obj(request->changes[1].settings));
	change_request_free(request);
}

/* --- what the connection had */

static int fake_status(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	yyjson_mut_obj_add_str(doc, root, "version", "1.2.3");
	return 0;
}

static void fake_change(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	admin_reply_text(reply, "text/plain", "done\n", 5);
}

static const struct admin_source source = {.status = fake_status, .lists_change = fake_change};

static int start(void **state)
{
	server_start(&source, 0, NULL);
	return 0;
}

static void say_head(int fd, const char *method, size_t len)
{
	char head[128];

	snprintf(head, sizeof(head),
		"%s /v1/deny HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", method, len);
	say(fd, head);
}

/* The key comes first, and the room for it grows with what follows. */
static void say_body(int fd, size_t len)
{
	char *body = mem_alloc(len);

	memset(body, 'x', len);
	memcpy(body, KEY, sizeof(KEY) - 1);
	assert_int_equal(send(fd, body, len, MSG_NOSIGNAL), (ssize_t)len);
	explicit_bzero(body, len);
	free(body);
}

static void wait_until_closed(void)
{
	assert_has(ask(GET_CLOSE("/v1/status")), "1.2.3");
}

static void test_request(void **state)
{
	int fd = dial();

	watch_begin();
	for (int i = 0; i < 2; i++) {
		say_head(fd, "POST", 30000);
		say_body(fd, 30000);
		assert_has(hear(fd, "done"), "200 OK");
	}
	close(fd);
	wait_until_closed();
	watch_end();
}

static void test_client_leaves_halfway(void **state)
{
	int fd = dial();

	watch_begin();
	say_head(fd, "POST", 30000);
	say_body(fd, 20000);
	close(fd);
	wait_until_closed();
	watch_end();
}

static void test_request_refused(void **state)
{
	int fd = dial();

	watch_begin();
	say_head(fd, "PATCH", 6000);
	say_body(fd, 6000);
	assert_has(hear(fd, "}\n}\n"), "405");
	close(fd);
	wait_until_closed();
	watch_end();
}

int main(void)
{
#define SERVED(test) cmocka_unit_test_setup_teardown(test, start, stop)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_watch_sees),
		cmocka_unit_test(test_certificate),
		cmocka_unit_test(test_pkcs12),
		cmocka_unit_test(test_unread),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_several),
		SERVED(test_request),
		SERVED(test_client_leaves_halfway),
		SERVED(test_request_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
