/* The PROXY protocol, both versions: what is accepted, refused, asked for, and written. */
#include "net/proxyproto.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define ADDRS4                                                                                     \
	"\xc0\x00\x02\x01\xcb\x00\x71\x07\xdc\x04\x01\xbb" /* 192.0.2.1:56324 203.0.113.7:443 */
#define ZERO8 "\0\0\0\0\0\0\0\0"
#define ADDRS6                                                                                     \
	"\x20\x01\x0d\xb8" ZERO8 "\0\0\0\1"                                                        \
	"\x20\x01\x0d\xb8" ZERO8 "\0\0\0\2"                                                        \
	"\x30\x39\x01\xbb"
#define TEXT4          "192.0.2.1:56324", "203.0.113.7:443"
#define TEXT6          "[2001:db8::1]:12345", "[2001:db8::2]:443"
#define BYTES(literal) (literal), sizeof(literal) - 1
#define ALL(literal)   BYTES(literal), sizeof(literal) - 1

/* The bytes in memory of exactly their length: reading beyond is seen under AddressSanitizer. */
static int parse(const void *bytes, size_t len, struct proxyproto *ret_header)
{
	void *copy = malloc(len ? len : 1);
	struct err err = {""};
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	r = proxyproto_parse(copy, len, ret_header, &err);
	free(copy);
	assert_int_equal(r == -EPROTO, err.text[0] != '\0');
	return r;
}

struct accepted {
	const char *bytes;
	size_t len, header_len; /* more may follow the header */
	bool is_local;
	const char *src, *dst; /* NULL: no addresses */
};

static const struct accepted accepted[] = {
	{ALL("PROXY TCP4 192.0.2.1 203.0.113.7 56324 443\r\n"), false, TEXT4},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.7 56324 443\r\nGET / HTTP/1.1\r\n"), 44, false,
		TEXT4},
	{ALL("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"), false, "0.0.0.0",
		"255.255.255.255:65535"},
	{ALL("PROXY TCP6 2001:db8::1 2001:DB8:0:0:0:0:0:2 12345 443\r\n"), false, TEXT6},
	{ALL("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), false, "[::ffff:192.0.2.1]:1", "[::1]:2"},
	{ALL("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		false, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	{ALL("PROXY UNKNOWN\r\n"), false, NULL, NULL},
	{BYTES("PROXY UNKNOWN\r\n\r\n"), 15, false, NULL, NULL},
	/* the longest line of the specification: 107 bytes */
	{ALL("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		false, NULL, NULL},
	{ALL(SIG "\x21\x11\x00\x0c" ADDRS4), false, TEXT4},
	{BYTES(SIG "\x21\x11\x00\x0c" ADDRS4 "\x16\x03\x01"), 28, false, TEXT4},
	{ALL(SIG "\x21\x12\x00\x0c" ADDRS4), false, TEXT4}, /* datagrams */
	{ALL(SIG "\x21\x21\x00\x24" ADDRS6), false, TEXT6},
	{ALL(SIG "\x21\x11\x00\x13" ADDRS4 "\x05\x00\x04uniq"), false, TEXT4},
	{ALL(SIG "\x21\x11\x00\x12" ADDRS4 "\x04\x00\x00\xee\x00\x00"), false, TEXT4},
	{ALL(SIG "\x21\x00\x00\x00"), false, NULL, NULL},
	{ALL(SIG "\x21\x00\x00\x05\x04\x00\x02xx"), false, NULL, NULL},
	{ALL(SIG "\x20\x00\x00\x00"), true, NULL, NULL},
	/* LOCAL: family and the rest are ignored, whatever they say */
	{ALL(SIG "\x20\x11\x00\x0c" ADDRS4), true, NULL, NULL},
	{ALL(SIG "\x20\xff\x00\x03\x01\x02\x03"), true, NULL, NULL},
};

static void check_addrs(const struct proxyproto *header, const char *src, const char *dst)
{
	char text[ADDR_TEXT_BYTES];

	assert_int_equal(header->has_addrs, src != NULL);
	if (!src)
		return;
	assert_string_equal(addr_format(&header->src, text), src);
	assert_string_equal(addr_format(&header->dst, text), dst);
}

static void test_accepted(void **state)
{
	size_t i;

	for (i = 0; i < array_len(accepted); i++) {
		const struct accepted *row = &accepted[i];
		struct proxyproto header;

		print_message("row %zu\n", i);
		assert_int_equal(parse(row->bytes, row->len, &header), row->header_len);
		assert_int_equal(header.is_local, row->is_local);
		assert_int_equal(header.version, row->bytes[0] == 'P' ? 1 : 2);
		check_addrs(&header, row->src, row->dst);
	}
}

/* Every shorter beginning of a header asks for more and leaves the result alone. */
static void test_every_split(void **state)
{
	struct proxyproto untouched, header;
	size_t i, len;

	memset(&untouched, 0x5a, sizeof(untouched));
	for (i = 0; i < array_len(accepted); i++)
		for (len = 0; len < accepted[i].len; len++) {
			header = untouched;
			if (len >= accepted[i].header_len) {
				assert_int_equal(parse(accepted[i].bytes, len, &header),
					accepted[i].header_len);
				continue;
			}
			assert_int_equal(parse(accepted[i].bytes, len, &header), -EAGAIN);
			assert_memory_equal(&header, &untouched, sizeof(header));
		}
}

struct refused {
	const char *bytes;
	size_t len;
	size_t decided_at; /* the verdict comes with this many bytes, not one later */
	int verdict;
};

static const struct refused refused[] = {
	/* not a header: decided with the first byte that differs */
	{BYTES("GET / HTTP/1.1\r\n"), 1, -ENOMSG},
	{BYTES("POST / HTTP/1.1\r\n"), 2, -ENOMSG},
	{BYTES("PRI * HTTP/2.0\r\n"), 3, -ENOMSG},
	{BYTES("\x16\x03\x01\x02\x00"), 1, -ENOMSG},
	{BYTES("\r\nGET / HTTP/1.1\r\n"), 3, -ENOMSG},
	{BYTES("\r\n\r\nGET / HTTP/1.1\r\n"), 5, -ENOMSG},
	{BYTES("PROXYTCP4 1.1.1.1"), 6, -ENOMSG},
	{BYTES("PROXX"), 5, -ENOMSG},
	{BYTES("proxy TCP4"), 1, -ENOMSG},
	{BYTES("\r\n\r\n\0\r\nQUIX"), 11, -ENOMSG},
	/* version 1 */
	{BYTES("PROXY \r\n"), 8, -EPROTO},
	{BYTES("PROXY TCP4\r\n"), 12, -EPROTO},
	{BYTES("PROXY TCP4 \r\n"), 13, -EPROTO},
	{BYTES("PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n"), 36, -EPROTO},
	{BYTES("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"), 36, -EPROTO},
	{BYTES("PROXY UNKNOWNX\r\n"), 16, -EPROTO},
	{BYTES("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"), 37, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"), 37, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n"), 38, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"), 34, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"), 37, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n"), 40, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 100000\r\n"), 41, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n"), 37, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 +2\r\n"), 37, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n"), 37, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n"), 34, -EPROTO},
	{BYTES("PROXY TCP4 ::1 ::2 1 2\r\n"), 24, -EPROTO},
	{BYTES("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"), 36, -EPROTO},
	{BYTES("PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n"), 33, -EPROTO},
	{BYTES("PROXY TCP4\t192.0.2.1"), 11, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"), 35, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX"), 36, -EPROTO},
	{BYTES("PROXY TCP4 192.0.2.1\0"), 21, -EPROTO},
	{BYTES("PROXY TCP4 \xff"), 12, -EPROTO},
	/* 108 bytes with the end of line */
	{BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 655350\r\n"),
		107, -EPROTO},
	/* version 2 */
	{BYTES(SIG "\x11\x11\x00\x0c" ADDRS4), 13, -EPROTO},
	{BYTES(SIG "\x31\x11\x00\x0c" ADDRS4), 13, -EPROTO},
	{BYTES(SIG "\x22\x11\x00\x0c" ADDRS4), 13, -EPROTO},
	{BYTES(SIG "\x21\x41\x00\x0c" ADDRS4), 16, -EPROTO},
	{BYTES(SIG "\x21\x13\x00\x0c" ADDRS4), 16, -EPROTO},
	{BYTES(SIG "\x21\x11\x00\x0b" ADDRS4), 16, -EPROTO},
	{BYTES(SIG "\x21\x21\x00\x23" ADDRS6), 16, -EPROTO},
	{BYTES(SIG "\x21\x31\x00\xd7"), 16, -EPROTO},
	{BYTES(SIG "\x21\x11\x0f\xf1" ADDRS4), 16, -EPROTO}, /* 4097 bytes */
	{BYTES(SIG "\x20\x00\xff\xff"), 16, -EPROTO},
	{BYTES(SIG "\x21\x11\x00\x0d" ADDRS4 "\x04"), 29, -EPROTO},
	{BYTES(SIG "\x21\x11\x00\x0e" ADDRS4 "\x04\x00"), 30, -EPROTO},
	{BYTES(SIG "\x21\x11\x00\x0f" ADDRS4 "\x04\x00\x01"), 31, -EPROTO},
	{BYTES(SIG "\x21\x11\x00\x10" ADDRS4 "\x04\xff\xff"
		   "x"),
		32, -EPROTO},
	{BYTES(SIG "\x21\x11\x00\x12" ADDRS4 "\x03\x00\x03\x00\x00\x00"), 34, -EPROTO},
	{BYTES(SIG "\x21\x11\x00\x13" ADDRS4 "\x03\x00\x04\x00\x00\x00\x00"), 35, -EPROTO},
};

static void test_refused_as_early_as_can_be(void **state)
{
	size_t i, len;

	for (i = 0; i < array_len(refused); i++) {
		const struct refused *row = &refused[i];
		struct proxyproto header;

		print_message("row %zu\n", i);
		for (len = 0; len <= row->len; len++)
			assert_int_equal(parse(row->bytes, len, &header),
				len < row->decided_at ? -EAGAIN : row->verdict);
	}
}

static void test_unix_addresses_are_skipped(void **state)
{
	uint8_t bytes[16 + 216] = SIG "\x21\x31\x00\xd8";
	struct proxyproto header;

	assert_int_equal(parse(bytes, sizeof(bytes), &header), sizeof(bytes));
	assert_false(header.has_addrs);
	assert_false(header.is_local);
}

static struct proxyproto header_of(const char *src, const char *dst)
{
	struct proxyproto header = {.has_addrs = true};

	assert_int_equal(addr_parse(src, &header.src), 0);
	assert_int_equal(addr_parse(dst, &header.dst), 0);
	return header;
}

static void expect_built(int len, const uint8_t *bytes, const char *want, size_t want_len)
{
	assert_int_equal(len, want_len);
	assert_memory_equal(bytes, want, want_len);
}

static void test_build_v1(void **state)
{
	uint8_t bytes[PROXYPROTO_V1_BYTES_MAX];
	struct proxyproto header = header_of(TEXT4), none = {0};

	expect_built(proxyproto_build_v1(&header, bytes, sizeof(bytes)), bytes,
		BYTES("PROXY TCP4 192.0.2.1 203.0.113.7 56324 443\r\n"));
	assert_int_equal(proxyproto_build_v1(&header, bytes, 44), 44);
	assert_int_equal(proxyproto_build_v1(&header, bytes, 43), -ENOBUFS);
	header = header_of(TEXT6);
	expect_built(proxyproto_build_v1(&header, bytes, sizeof(bytes)), bytes,
		BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 12345 443\r\n"));
	header = header_of("192.0.2.1:1", "[2001:db8::2]:2");
	expect_built(proxyproto_build_v1(&header, bytes, sizeof(bytes)), bytes,
		BYTES("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n"));
	expect_built(proxyproto_build_v1(&none, bytes, sizeof(bytes)), bytes,
		BYTES("PROXY UNKNOWN\r\n"));
	header.is_local = true;
	expect_built(proxyproto_build_v1(&header, bytes, sizeof(bytes)), bytes,
		BYTES("PROXY UNKNOWN\r\n"));
}

static void test_build_v2_addresses(void **state)
{
	uint8_t bytes[PROXYPROTO_BYTES_MAX];
	struct proxyproto header = header_of(TEXT4), none = {0};

	expect_built(proxyproto_build_v2(&header, NULL, bytes, sizeof(bytes)), bytes,
		BYTES(SIG "\x21\x11\x00\x0c" ADDRS4));
	header = header_of(TEXT6);
	expect_built(proxyproto_build_v2(&header, NULL, bytes, sizeof(bytes)), bytes,
		BYTES(SIG "\x21\x21\x00\x24" ADDRS6));
	expect_built(proxyproto_build_v2(&none, NULL, bytes, sizeof(bytes)), bytes,
		BYTES(SIG "\x21\x00\x00\x00"));
	header.is_local = true;
	expect_built(proxyproto_build_v2(&header, NULL, bytes, sizeof(bytes)), bytes,
		BYTES(SIG "\x20\x00\x00\x00"));
}

static const struct proxyproto_tlvs full = {
	.alpn = SLICE("h2"),
	.authority = SLICE("www.example.org"),
	.has_ssl = true,
	.ssl_client = PROXYPROTO_CLIENT_SSL | PROXYPROTO_CLIENT_CERT_CONN,
	.ssl_verify = 1,
	.ssl_version = SLICE("TLSv1.3"),
	.ssl_cipher = SLICE("TLS_AES_128_GCM_SHA256"),
	.ssl_cn = SLICE("client"),
};

static void test_build_v2_values(void **state)
{
	uint8_t bytes[PROXYPROTO_BYTES_MAX];
	struct proxyproto header = header_of(TEXT4);

	expect_built(proxyproto_build_v2(&header, &full, bytes, sizeof(bytes)), bytes,
		BYTES(SIG "\x21\x11\x00\x57" ADDRS4 "\x01\x00\x02h2"
			  "\x02\x00\x0fwww.example.org"
			  "\x20\x00\x31\x03\x00\x00\x00\x01"
			  "\x21\x00\x07TLSv1.3"
			  "\x22\x00\x06"
			  "client"
			  "\x23\x00\x16TLS_AES_128_GCM_SHA256"));
}

/* The checksum was computed by another implementation (bitwise, reflected 0x1EDC6F41). */
static void test_checksum(void **state)
{
	static const struct proxyproto_tlvs tlvs = {.crc32c = true};
	uint8_t bytes[PROXYPROTO_BYTES_MAX];
	struct proxyproto header = header_of(TEXT4);
	int len, i;

	len = proxyproto_build_v2(&header, &tlvs, bytes, sizeof(bytes));
	expect_built(len, bytes,
		BYTES(SIG "\x21\x11\x00\x13" ADDRS4 "\x03\x00\x04"
			  "\xe0\xbd\x2d\xd1"));
	assert_int_equal(parse(bytes, (size_t)len, &header), len);
	/* one bit wrong in an address, a port or the checksum itself */
	for (i = 16; i < len; i++) {
		if (i >= 28 && i < 31)
			continue;
		bytes[i] ^= 0x10;
		assert_int_equal(parse(bytes, (size_t)len, &header), -EPROTO);
		bytes[i] ^= 0x10;
	}
}

/* Too little room, whatever the size, is -ENOBUFS; nothing is written beyond it. */
static void test_no_room(void **state)
{
	uint8_t bytes[PROXYPROTO_BYTES_MAX], *exact;
	struct proxyproto header = header_of(TEXT6);
	struct proxyproto_tlvs tlvs = full;
	int len, size;

	tlvs.crc32c = true;
	len = proxyproto_build_v2(&header, &tlvs, bytes, sizeof(bytes));
	assert_true(len > 0);
	for (size = 0; size <= len; size++) {
		exact = malloc(size ? (size_t)size : 1);
		assert_non_null(exact);
		assert_int_equal(proxyproto_build_v2(&header, &tlvs, exact, (size_t)size),
			size < len ? -ENOBUFS : len);
		free(exact);
	}
}

static void test_fields_too_long(void **state)
{
	static const char text[PROXYPROTO_BYTES_MAX];
	uint8_t bytes[2 * PROXYPROTO_BYTES_MAX];
	struct proxyproto header = header_of(TEXT4);
	struct proxyproto_tlvs tlvs = {.authority = {text, 255}};

	assert_int_equal(proxyproto_build_v2(&header, &tlvs, bytes, sizeof(bytes)), 28 + 3 + 255);
	tlvs.authority.len = 256;
	assert_int_equal(proxyproto_build_v2(&header, &tlvs, bytes, sizeof(bytes)), -ENOBUFS);
	/* never a header that a receiver with this limit would refuse */
	tlvs = (struct proxyproto_tlvs){.has_ssl = true, .ssl_cn = {text, sizeof(text)}};
	assert_int_equal(proxyproto_build_v2(&header, &tlvs, bytes, sizeof(bytes)), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_refused_as_early_as_can_be),
		cmocka_unit_test(test_unix_addresses_are_skipped),
		cmocka_unit_test(test_build_v1),
		cmocka_unit_test(test_build_v2_addresses),
		cmocka_unit_test(test_build_v2_values),
		cmocka_unit_test(test_checksum),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_fields_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
