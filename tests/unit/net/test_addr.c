/* Addresses: what is read, and how it is shown again. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *text;
	const char *shown; /* NULL: refused */
} rows[] = {
	{"192.0.2.1:443", "192.0.2.1:443"},
	{"0.0.0.0:1", "0.0.0.0:1"},
	{"255.255.255.255:65535", "255.255.255.255:65535"},
	{"192.0.2.1:0", "192.0.2.1"},
	{"[2001:db8::1]:443", "[2001:db8::1]:443"},
	{"[2001:DB8:0:0::1]:443", "[2001:db8::1]:443"},
	{"[::]:80", "[::]:80"},
	{"[::]:0", "::"},
	{"[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]:80"},
	{"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	{"", NULL},
	{":", NULL},
	{":443", NULL},
	{"[", NULL},
	{"[:", NULL},
	{"[:443", NULL},
	{"[]:443", NULL},
	{"]:443", NULL},
	{"[::1:443", NULL},
	{"[::1]", NULL},
	{"[::1]443", NULL},
	{"[::1]x:443", NULL},
	{"::1:443", NULL},
	{"[192.0.2.1]:443", NULL},
	{"[fe80::1%eth0]:443", NULL},
	{"192.0.2.1", NULL},
	{"192.0.2.1:", NULL},
	{"192.0.2.1:65536", NULL},
	{"192.0.2.1:99999999999999999999", NULL},
	{"192.0.2.1:-1", NULL},
	{"192.0.2.1:+1", NULL},
	{"192.0.2.1: 1", NULL},
	{"192.0.2.1:443 ", NULL},
	{" 192.0.2.1:443", NULL},
	{"192.0.2:443", NULL},
	{"192.0.2.256:443", NULL},
	{"192.0.2.01:443", NULL},
	{"example.org:443", NULL},
	{"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1", NULL},
};

static void test_parse_and_format(void **state)
{
	char text[ADDR_TEXT_BYTES];
	union addr addr, again, untouched;
	size_t i;

	memset(&untouched, 0x5a, sizeof(untouched));
	for (i = 0; i < array_len(rows); i++) {
		addr = untouched;
		print_message("%s\n", rows[i].text);
		if (!rows[i].shown) {
			assert_int_equal(addr_parse(rows[i].text, &addr), -EINVAL);
			assert_memory_equal(&addr, &untouched, sizeof(addr));
			continue;
		}
		assert_int_equal(addr_parse(rows[i].text, &addr), 0);
		assert_string_equal(addr_format(&addr, text), rows[i].shown);
		if (!addr_port(&addr))
			continue;
		assert_int_equal(addr_parse(text, &again), 0);
		assert_true(addr_eq(&addr, &again));
		assert_int_equal(addr_len(&addr),
			text[0] == '[' ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		if (text[0] == '[')
			assert_int_equal(addr.v6.sin6_scope_id | addr.v6.sin6_flowinfo, 0);
	}
}

static union addr addr_of(const char *text)
{
	union addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static void test_eq(void **state)
{
	union addr a = addr_of("192.0.2.1:80"), b = addr_of("192.0.2.1:80");

	assert_true(addr_eq(&a, &b));
	addr_port_set(&b, 81);
	assert_int_equal(addr_port(&b), 81);
	assert_false(addr_eq(&a, &b));
	b = addr_of("192.0.2.2:80");
	assert_false(addr_eq(&a, &b));
	b = addr_of("[::ffff:192.0.2.1]:80");
	assert_false(addr_eq(&a, &b));
	addr_unmap(&b);
	assert_true(addr_eq(&a, &b));
	a = b = addr_of("[2001:db8::1]:80");
	assert_true(addr_eq(&a, &b));
	b.v6.sin6_addr.s6_addr[15] = 2;
	assert_false(addr_eq(&a, &b));
}

static void test_mapped(void **state)
{
	static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
	union addr addr = addr_of("192.0.2.1:80"), v6 = addr_of("[2001:db8::1]:80"), same = v6;
	char text[ADDR_TEXT_BYTES];
	uint8_t bytes[16];

	addr_to_mapped(&addr, bytes);
	assert_memory_equal(bytes, mapped, 16);
	addr_to_mapped(&v6, bytes);
	assert_memory_equal(bytes, &v6.v6.sin6_addr, 16);
	addr_unmap(&v6);
	assert_true(addr_eq(&v6, &same));
	assert_string_equal(addr_format_host(&v6, text), "2001:db8::1");
	assert_string_equal(addr_format_host(&addr, text), "192.0.2.1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_and_format),
		cmocka_unit_test(test_eq),
		cmocka_unit_test(test_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
