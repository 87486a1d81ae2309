/* Names that clients must not send, in every spelling that a server may take for them. */
#include "proxy/tls_headers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct slice removed[] = {SLICE("X-Amzn-Subject"), SLICE("X-Chain")};
static const struct tls_headers how = {.removed = removed, .n_removed = 2};

static void every_spelling(void **state)
{
	static const char *const forged[] = {"X-Amzn-Subject", "x-amzn-subject", "X_Amzn_Subject",
		"X.Amzn.Subject", "X!Amzn~Subject", "X-AMZN_SUBJECT", "x-chain"};
	static const char *const other[] = {"X-Amzn-Subjec", "X-Amzn-Subjects", "XAmznSubject",
		"X--Amzn-Subject", "Y-Chain", "X-Cha1n", ""};
	size_t i;

	for (i = 0; i < array_len(forged); i++)
		assert_true(tls_headers_is_removed(&how, slice_of(forged[i])));
	for (i = 0; i < array_len(other); i++)
		assert_false(tls_headers_is_removed(&how, slice_of(other[i])));
}

static void they_are_taken_out(void **state)
{
	struct http_header items[] = {
		{.name = SLICE("X_Chain"), .value = SLICE("1")},
		{.name = SLICE("X-Other"), .value = SLICE("2")},
		{.name = SLICE("x-amzn-subject"), .value = SLICE("3")},
	};
	struct http_headers headers;

	http_headers_lend(&headers, items, array_len(items));
	headers.len = array_len(items);
	tls_headers_remove(&how, &headers);
	assert_true(items[0].flags & HTTP_HEADER_DROPPED);
	assert_false(items[1].flags & HTTP_HEADER_DROPPED);
	assert_true(items[2].flags & HTTP_HEADER_DROPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling),
		cmocka_unit_test(they_are_taken_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
