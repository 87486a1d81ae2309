/* Lines of the access log: whole, empty, hostile, long. */
#include "proxy/accesslog_line.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static char bytes[ACCESSLOG_LINE_BYTES];
static union addr client;
static struct accesslog_ends ends;
static struct accesslog_facts facts;

static void set_client(const char *text)
{
	memset(&client, 0, sizeof(client));
	client.any.sa_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	assert_int_equal(inet_pton(client.any.sa_family, text,
				 client.any.sa_family == AF_INET6 ? (void *)&client.v6.sin6_addr
								  : (void *)&client.v4.sin_addr),
		1);
	addr_port_set(&client, 40000);
}

static int setup(void **state)
{
	set_client("192.0.2.7");
	ends = (struct accesslog_ends){
		.type = "h2",
		.listener = "web",
		.conn_id = 0x1a,
		.client = &client,
		.listener_port = 443,
		.tls_cipher = "TLS_AES_128_GCM_SHA256",
		.tls_protocol = "TLSv1.3",
		.server_name = "www.example.com",
		.certificate = "www",
		.ja4 = "t13d",
		.is_tls = true,
		.is_resumed = true,
	};
	facts = (struct accesslog_facts){
		.ended_unix_us = UINT64_C(1795322077500000),
		.began_unix_us = UINT64_C(1795322077000042),
		.duration_us = 499958,
		.request_us = 42,
		.target_us = 1500000,
		.response_us = 7,
		.has_request = true,
		.method = SLICE("GET"),
		.scheme = SLICE("https"),
		.authority = SLICE("www.example.com"),
		.target = SLICE("/a?b=c"),
		.version = "HTTP/2.0",
		.user_agent = SLICE("curl/8"),
		.trace_id = SLICE("Root=1-2-3"),
		.request_id = SLICE("id-1"),
		.status = 200,
		.target_status = 201,
		.bytes_in = 123,
		.bytes_out = 4567,
		.target_address = "10.0.0.1:8080",
		.target_group = "app",
		.tries = 2,
		.rule = "first",
		.priority = 10,
		.action = "forward",
		.told_host = SLICE("in.test"),
		.told_target = SLICE("/b"),
		.rewrite = "TransformSuccess",
		.class = "",
		.class_reason = "",
		.reason = "",
	};
	return 0;
}

static void set_empty(void)
{
	ends = (struct accesslog_ends){
		.type = "http",
		.listener = "web",
		.client = &client,
		.listener_port = 80,
		.tls_cipher = "",
		.tls_protocol = "",
		.server_name = "",
		.certificate = "",
		.ja4 = "",
	};
	facts = (struct accesslog_facts){
		.ended_unix_us = UINT64_C(1795322077500000),
		.began_unix_us = UINT64_C(1795322077500000),
		.request_us = -1,
		.target_us = -1,
		.response_us = -1,
		.version = "",
		.status = 400,
		.target_address = "",
		.target_group = "",
		.rule = "",
		.priority = -1,
		.action = "",
		.rewrite = "",
		.class = "severe",
		.class_reason = "bad_host",
		.reason = "bad_request",
	};
}

static void make(enum accesslog_format format)
{
	struct line line = {.bytes = bytes, .size = sizeof(bytes)};
	struct accesslog_common *common = accesslog_common_new(&ends, format);

	assert_non_null(common);
	facts.common = common;
	accesslog_put_line(&line, &facts);
	free(common);
	assert_int_equal(bytes[line.len - 1], '\n');
	assert_ptr_equal(memchr(bytes, '\n', line.len), bytes + line.len - 1);
	bytes[--line.len] = '\0';
}

static void expect(enum accesslog_format format, const char *text)
{
	make(format);
	assert_string_equal(bytes, text);
}

static void json(void **state)
{
	expect(ACCESSLOG_JSON,
		"{\"time\":\"2026-11-22T04:34:37.500000Z\",\"type\":\"h2\",\"listener\":\"web\","
		"\"conn_trace_id\":\"TID_000000000000001a\",\"client_ip\":\"192.0.2.7\","
		"\"client_port\":40000,\"listener_port\":443,\"request_verb\":\"GET\","
		"\"scheme\":\"https\",\"host\":\"www.example.com\",\"request_uri\":\"/a?b=c\","
		"\"request_proto\":\"HTTP/2.0\",\"user_agent\":\"curl/8\","
		"\"trace_id\":\"Root=1-2-3\",\"request_id\":\"id-1\",\"elb_status_code\":200,\"target_status_code\":201,"
		"\"received_bytes\":123,\"sent_bytes\":4567,"
		"\"request_creation_time\":\"2026-11-22T04:34:37.000042Z\","
		"\"request_processing_time\":0.000042,\"target_processing_time\":1.500000,"
		"\"response_processing_time\":0.000007,\"duration\":0.499958,\"rule\":\"first\","
		"\"matched_rule_priority\":10,\"actions_executed\":\"forward\","
		"\"target_group\":\"app\",\"target\":\"10.0.0.1:8080\","
		"\"tries\":2,"
		"\"transformed_host\":\"in.test\",\"transformed_uri\":\"/b\","
		"\"request_transform_status\":\"TransformSuccess\",\"ssl_protocol\":\"TLSv1.3\","
		"\"ssl_cipher\":\"TLS_AES_128_GCM_SHA256\",\"resumed\":true,"
		"\"domain_name\":\"www.example.com\",\"chosen_cert\":\"www\",\"ja4\":\"t13d\"}");
}

static void alb(void **state)
{
	expect(ACCESSLOG_ALB,
		"h2 2026-11-22T04:34:37.500000Z web 192.0.2.7:40000 10.0.0.1:8080 0.000042 "
		"1.500000 0.000007 200 201 123 4567 "
		"\"GET https://www.example.com:443/a?b=c HTTP/2.0\" \"curl/8\" "
		"TLS_AES_128_GCM_SHA256 TLSv1.3 app \"Root=1-2-3\" \"www.example.com\" \"www\" 10 "
		"2026-11-22T04:34:37.000042Z \"forward\" \"-\" \"-\" \"10.0.0.1:8080\" \"201\" "
		"\"-\" \"-\" TID_000000000000001a \"in.test\" \"/b\" \"TransformSuccess\"");
}

static void ports_and_addresses_of_version_6(void **state)
{
	set_client("2001:db8::1");
	facts.authority = SLICE("[::1]");
	make(ACCESSLOG_ALB);
	assert_non_null(strstr(bytes, " web [2001:db8::1]:40000 "));
	assert_non_null(strstr(bytes, "GET https://[::1]:443/a?b=c "));
	facts.authority = SLICE("[::1]:8443");
	make(ACCESSLOG_ALB);
	assert_non_null(strstr(bytes, "GET https://[::1]:8443/a?b=c "));
	make(ACCESSLOG_JSON);
	assert_non_null(strstr(bytes, "\"client_ip\":\"2001:db8::1\""));
}

static void what_there_is_none_of(void **state)
{
	set_empty();
	expect(ACCESSLOG_ALB,
		"http 2026-11-22T04:34:37.500000Z web 192.0.2.7:40000 - -1 -1 -1 400 - 0 0 "
		"\"- - -\" \"-\" - - - \"-\" \"-\" \"-\" -1 2026-11-22T04:34:37.500000Z \"-\" "
		"\"-\" \"bad_request\" \"-\" \"-\" \"Severe\" \"bad_host\" TID_0000000000000000 "
		"\"-\" \"-\" \"-\"");
	make(ACCESSLOG_JSON);
	expect(ACCESSLOG_JSON,
		"{\"time\":\"2026-11-22T04:34:37.500000Z\",\"type\":\"http\",\"listener\":\"web\","
		"\"conn_trace_id\":\"TID_0000000000000000\",\"client_ip\":\"192.0.2.7\","
		"\"client_port\":40000,\"listener_port\":80,\"elb_status_code\":400,"
		"\"received_bytes\":0,\"sent_bytes\":0,"
		"\"request_creation_time\":\"2026-11-22T04:34:37.500000Z\",\"duration\":0.000000,"
		"\"tries\":0,\"error_reason\":\"bad_request\",\"classification\":\"severe\","
		"\"classification_reason\":\"bad_host\"}");
}

/* Fields as a program splits them: at spaces that are not within quotes. */
static uint32_t count_fields(void)
{
	bool is_quoted = false;
	uint32_t n = 1;
	const char *c;

	for (c = bytes; *c; c++) {
		is_quoted ^= *c == '"';
		n += *c == ' ' && !is_quoted;
	}
	assert_false(is_quoted);
	return n;
}

/* Members, by the commas that are not within strings. */
static uint32_t count_members(void)
{
	bool is_quoted = false;
	uint32_t n = 1;
	const char *c;

	for (c = bytes; *c; c++) {
		assert_true(*c >= 0x20 && *c < 0x7f);
		if (is_quoted && *c == '\\')
			c++;
		else if (*c == '"')
			is_quoted = !is_quoted;
		else
			n += *c == ',' && !is_quoted;
	}
	assert_false(is_quoted);
	assert_int_equal(c[-1], '}');
	return n;
}

static void check_both(uint32_t n_members)
{
	make(ACCESSLOG_ALB);
	assert_int_equal(count_fields(), 33);
	make(ACCESSLOG_JSON);
	assert_int_equal(count_members(), n_members);
}

/* Whatever bytes there are in whatever a client can choose. */
static void nothing_forges_a_line_or_a_field(void **state)
{
	static char all[512];
	struct slice text = {all, sizeof(all)};
	size_t i;

	for (i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	check_both(39);
	facts.method = facts.authority = facts.target = facts.user_agent = facts.trace_id =
		facts.request_id = facts.redirect = facts.told_host = facts.told_target = text;
	ends.server_name = "\" \"\n\\";
	check_both(40);
	facts.target = SLICE("/\" 200 \"");
	make(ACCESSLOG_ALB);
	assert_non_null(strstr(bytes, "/\\x22 200 \\x22 HTTP/2.0\""));
}

static void the_longest_line_is_whole(void **state)
{
	static char evil[2 * ACCESSLOG_TARGET_BYTES_MAX];
	struct slice text = {evil, sizeof(evil)};

	memset(evil, 1, sizeof(evil) - 1);
	facts.method = facts.scheme = facts.authority = facts.target = facts.user_agent =
		facts.trace_id = facts.request_id = facts.redirect = facts.told_host =
			facts.told_target = text;
	ends.type = "https";
	facts.version = "HTTP/1.1";
	ends.listener = ends.tls_cipher = ends.tls_protocol = ends.server_name = ends.certificate =
		ends.ja4 = evil;
	facts.target_address = facts.target_group = facts.rule = facts.action = facts.class_reason =
		facts.reason = facts.rewrite = evil;
	facts.class = "ambiguous";
	facts.ended_unix_us = facts.began_unix_us = UINT64_C(253402300799999999);
	facts.duration_us = UINT64_MAX;
	facts.request_us = facts.target_us = facts.response_us = INT64_MAX;
	facts.bytes_in = facts.bytes_out = UINT64_MAX;
	ends.conn_id = UINT64_MAX;
	facts.tries = UINT32_MAX;
	facts.priority = INT32_MAX;
	facts.status = facts.target_status = UINT16_MAX;
	check_both(43);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(json, setup),
		cmocka_unit_test_setup(alb, setup),
		cmocka_unit_test_setup(ports_and_addresses_of_version_6, setup),
		cmocka_unit_test_setup(what_there_is_none_of, setup),
		cmocka_unit_test_setup(nothing_forges_a_line_or_a_field, setup),
		cmocka_unit_test_setup(the_longest_line_is_whole, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
