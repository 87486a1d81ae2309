/* Who may do what through the admin API over TCP: rows of certificates and of tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/admin_access.h"
#include "core/base64.h"
#include "core/mem.h"
#include "tls/cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char reader_token[] = "a-token-of-a-reader", boss_token[] = "a-token-of-the-boss";

/* A certificate of the server, as `openssl req` makes one. */
static struct cert *make_cert(void)
{
	char folder[] = "/tmp/sluice-test-access-XXXXXX", cert[64], key[64], command[512];
	struct cert_spec spec = {.name = "lb", .cert_path = cert, .key_path = key};
	struct cert *made;
	struct err err;

	assert_non_null(mkdtemp(folder));
	snprintf(cert, sizeof(cert), "%s/a.crt", folder);
	snprintf(key, sizeof(key), "%s/a.key", folder);
	snprintf(command, sizeof(command),
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
		"-subj /CN=lb -keyout %s -out %s 2>/dev/null",
		key, cert);
	assert_int_equal(system(command), 0);
	if (cert_load(&spec, &made, &err) < 0)
		fail_msg("%s", err.text);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	return made;
}

static int setup(void **state)
{
	struct admin_token_spec tokens[] = {{.role = ADMIN_ROLE_READ, .name = "reader"},
		{.role = ADMIN_ROLE_ADMIN, .name = "boss"}};
	struct cert *cert = make_cert();
	struct admin_access_spec spec = {
		.cert = cert, .tokens = tokens, .n_tokens = array_len(tokens), .n_workers = 1};
	struct admin_access *access;
	struct err err;

	digest_hex(reader_token, strlen(reader_token), tokens[0].sha256);
	digest_hex(boss_token, strlen(boss_token), tokens[1].sha256);
	if (admin_access_new(&spec, &access, &err) < 0)
		fail_msg("%s", err.text);
	cert_put(cert);
	*state = access;
	return 0;
}

static int teardown(void **state)
{
	admin_access_put(*state);
	return 0;
}

static struct admin_known judge(const struct admin_access *access, const char *header)
{
	struct admin_known known;

	admin_access_judge_header(access, slice_of(header), &known);
	return known;
}

static void assert_known(struct admin_known known, enum admin_role role, const char *name)
{
	assert_int_equal(known.role, role);
	assert_string_equal(known.name, name);
}

static void test_bearer(void **state)
{
	assert_known(judge(*state, "Bearer a-token-of-a-reader"), ADMIN_ROLE_READ, "reader");
	assert_known(judge(*state, "bEARER   a-token-of-the-boss "), ADMIN_ROLE_ADMIN, "boss");
	assert_known(judge(*state, "Bearer a-token-of-a-reader2"), ADMIN_ROLE_NONE, "");
	assert_known(judge(*state, "Bearer a-token-of-a-reade"), ADMIN_ROLE_NONE, "");
	assert_known(judge(*state, "Bearera-token-of-a-reader"), ADMIN_ROLE_NONE, "");
	assert_known(judge(*state, "a-token-of-a-reader"), ADMIN_ROLE_NONE, "");
	assert_known(judge(*state, "Bearer "), ADMIN_ROLE_NONE, "");
	assert_known(judge(*state, ""), ADMIN_ROLE_NONE, "");
}

static void test_basic(void **state)
{
	char user[] = "who:ever:a-token-of-a-reader", good[] = ":a-token-of-a-reader",
	     text[128] = "Basic ";

	base64_encode((const uint8_t *)good, strlen(good), text + 6);
	assert_known(judge(*state, text), ADMIN_ROLE_READ, "reader");
	/* The password is what follows the first colon. */
	base64_encode((const uint8_t *)user, strlen(user), text + 6);
	assert_known(judge(*state, text), ADMIN_ROLE_NONE, "");
	base64_encode((const uint8_t *)reader_token, strlen(reader_token), text + 6);
	assert_known(judge(*state, text), ADMIN_ROLE_NONE, "");
	assert_known(judge(*state, "Basic !!!!"), ADMIN_ROLE_NONE, "");
}

/* Whatever is sent, nothing but a role of a token comes of it. */
static void test_any_length(void **state)
{
	char header[8192];
	size_t len;

	for (len = 1; len < sizeof(header) - 8; len += len / 3 + 1) {
		snprintf(header, sizeof(header), "Bearer %0*d", (int)len, 0);
		assert_known(judge(*state, header), ADMIN_ROLE_NONE, "");
		snprintf(header, sizeof(header), "Basic %0*d", (int)len, 0);
		assert_known(judge(*state, header), ADMIN_ROLE_NONE, "");
	}
}

/* A token is judged again by its digest; one that was taken away has no role any more. */
static void test_again(void **state)
{
	struct admin_known known = judge(*state, "Bearer a-token-of-the-boss");

	known.role = ADMIN_ROLE_NONE;
	admin_access_judge_again(*state, &known);
	assert_known(known, ADMIN_ROLE_ADMIN, "boss");
	known.token_sha256[63] ^= 1;
	admin_access_judge_again(*state, &known);
	assert_known(known, ADMIN_ROLE_NONE, "");
}

static void test_no_certificate(void **state)
{
	struct admin_known known = {.role = ADMIN_ROLE_ADMIN};

	admin_access_judge_cert(*state, NULL, &known);
	assert_known(known, ADMIN_ROLE_NONE, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bearer),
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_any_length),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_no_certificate),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
