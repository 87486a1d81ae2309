/* JA4: fingerprints as they are published, built from the code points published with them. */
#include "hello_bytes.h"

#include "tls/ja4.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct hello_bytes stream;

static void expect_text(const struct hello_raw *raw, char protocol, const char *expected)
{
	static uint8_t scratch[CLIENTHELLO_SCRATCH_BYTES];
	enum clienthello_fault fault = CLIENTHELLO_OK;
	struct clienthello hello;
	char text[JA4_BYTES];

	hello_stream(raw, &stream);
	assert_int_equal(
		clienthello_parse(stream.at, stream.len, scratch, &hello, &fault), stream.len);
	ja4_compute(&hello, protocol, text);
	assert_string_equal(text, expected);
}

#define CHROME_CIPHERS    "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"
#define CHROME_SIGNATURES "0403,0804,0401,0503,0805,0501,0806,0601"
#define BOTH_ALPN         SLICE("\x02h2\x08http/1.1")
#define WINDOWS_CIPHERS                                                                            \
	"c02c,c02b,c030,c02f,c024,c023,c028,c027,c00a,c009,c014,c013,009d,009c,003d,003c,0035,"    \
	"002f,000a"
#define WINDOWS_SIGNATURES "0804,0805,0806,0401,0501,0201,0403,0503,0203,0202,0601,0603"

static const struct {
	const char *ja4;
	struct hello_raw raw;
} published[] = {
	/* Chrome: the specification's example */
	{"t13d1516h2_8daaf6152771_e5627efa2ab1",
		{CHROME_CIPHERS,
			"001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,"
			"000a,0015",
			CHROME_SIGNATURES, .alpn = BOTH_ALPN}},
	/* Chrome, without ALPN */
	{"t13d151400_8daaf6152771_de4a06bb82e3",
		{CHROME_CIPHERS,
			"0033,002b,001b,0000,0012,002d,000d,000a,0005,0023,0017,ff01,000b,0015",
			CHROME_SIGNATURES}},
	/* Firefox */
	{"t13d1715h2_5b57614c22b0_3d5424432f57",
		{"1301,1303,1302,c02b,c02f,cca9,cca8,c02c,c030,c00a,c009,c013,c014,009c,009d,002f,"
		 "0035",
			"0000,0017,ff01,000a,000b,0023,0010,0005,0022,0033,002b,000d,002d,001c,"
			"0015",
			"0403,0503,0603,0804,0805,0806,0401,0501,0601,0203,0201",
			.alpn = BOTH_ALPN}},
	/* Safari */
	{"t13d2613h2_2802a3db6c62_845d286b0d67",
		{"1301,1302,1303,c02c,c02b,c024,c023,c00a,c009,cca9,c030,c02f,c028,c027,c014,c013,"
		 "cca8,009d,009c,003d,003c,0035,002f,c008,c012,000a",
			"ff01,0000,0017,000d,0005,0012,0010,000b,0033,002d,002b,000a,0015",
			"0403,0804,0401,0503,0203,0805,0805,0501,0806,0601,0201",
			.versions = "0304,0303,0302,0301", .alpn = BOTH_ALPN}},
	/* Windows, TLS 1.2 by the version of the hello */
	{"t12d1909h2_d83cc789557e_7af1ed941c26",
		{WINDOWS_CIPHERS, "0000,0005,000a,000b,000d,0023,0010,0017,ff01",
			WINDOWS_SIGNATURES}},
	{"t12d190800_d83cc789557e_7af1ed941c26",
		{WINDOWS_CIPHERS, "0000,0005,000a,000b,000d,0023,0017,ff01", WINDOWS_SIGNATURES}},
	/* LibreSSL: code points that end in the same digits as GREASE, but are none */
	{"t12d4605h2_85626a9a5f7f_aaf95bb78ec9",
		{"c030,c02c,c028,c024,c014,c00a,009f,006b,0039,cca9,cca8,ccaa,ff85,00c4,0088,0081,"
		 "009d,003d,0035,00c0,0084,c02f,c02b,c027,c023,c013,c009,009e,0067,0033,00be,0045,"
		 "009c,003c,002f,00ba,0041,c011,c007,0005,0004,c012,c008,0016,000a,00ff",
			"0000,000b,000a,000d,0010",
			"0601,0603,efef,0501,0503,0401,0403,eeee,eded,0301,0303,0201,0203"}},
	/* 86 cipher suites, no name */
	{"t12i860500_e18388e7f3a3_a1e935682795",
		{"c030,c02c,c028,c024,c014,c00a,00a5,00a3,00a1,009f,006b,006a,0069,0068,0039,0038,"
		 "0037,0036,0088,0087,0086,0085,c032,c02e,c02a,c026,c00f,c005,009d,003d,0035,0084,"
		 "c02f,c02b,c027,c023,c013,c009,00a4,00a2,00a0,009e,0067,0040,003f,003e,0033,0032,"
		 "0031,0030,009a,0099,0098,0097,0045,0044,0043,0042,c031,c02d,c029,c025,c00e,c004,"
		 "009c,003c,002f,0096,0041,c012,c008,0016,0013,0010,000d,c00d,c003,000a,0007,c011,"
		 "c007,c00c,c002,0005,0004,00ff",
			"000b,000a,0023,000d,000f",
			"0601,0602,0603,0501,0502,0503,0401,0402,0403,0301,0302,0303,0201,0202,"
			"0203"}},
	/* TLS 1.0: nothing but a name, so the list of extensions is empty */
	{"t10d230100_6a57a6f57151_000000000000",
		{"0039,0038,0035,0016,0013,000a,0033,0032,002f,009a,0099,0096,0005,0004,0015,0012,"
		 "0009,0014,0011,0008,0006,0003,00ff",
			"0000", .legacy_version = 0x0301}},
};

static void test_published(void **state)
{
	size_t i;

	for (i = 0; i < array_len(published); i++)
		expect_text(&published[i].raw, 't', published[i].ja4);
}

static void test_grease_and_order_do_not_matter(void **state)
{
	struct hello_raw raw = published[0].raw;

	raw.has_grease = true;
	expect_text(&raw, 't', published[0].ja4);
	raw.extensions = "0000,0017,ff01,000a,000b,0023,0010,0005,000d,0012,0033,002d,002b,001b,"
			 "4469,0015";
	expect_text(&raw, 't', published[0].ja4);
	raw.ciphers = "0035,1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f";
	expect_text(&raw, 't', published[0].ja4);
	raw.signatures = "0804,0403,0401,0503,0805,0501,0806,0601"; /* here the order counts */
	expect_text(&raw, 't', "t13d1516h2_8daaf6152771_8b78003a6112");
}

static void test_parts_of_the_head(void **state)
{
	struct hello_raw raw = published[0].raw;

	expect_text(&raw, 'q', "q13d1516h2_8daaf6152771_e5627efa2ab1");
	raw.versions = "0303,0302";
	expect_text(&raw, 't', "t12d1516h2_8daaf6152771_e5627efa2ab1");
	raw.versions = "0303,7f1c"; /* the highest, although nobody knows it */
	expect_text(&raw, 't', "t00d1516h2_8daaf6152771_e5627efa2ab1");
	raw.versions = "0300";
	expect_text(&raw, 't', "ts3d1516h2_8daaf6152771_e5627efa2ab1");
	raw = published[0].raw;
	raw.extensions = "001b,0033,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015";
	expect_text(&raw, 't', "t13i151400_8daaf6152771_e5627efa2ab1");
	raw.signatures = NULL;
	raw.extensions = "001b,0033,4469,0017,002d,0005,0023,0012,002b,ff01,000b,000a,0015";
	expect_text(&raw, 't', "t13i151300_8daaf6152771_bebfbbe173b2");
	raw = (struct hello_raw){.ciphers = "0a0a", .legacy_version = 0x0302};
	expect_text(&raw, 't', "t11i000000_000000000000_000000000000");
}

/* The specification's rows. */
static void test_alpn(void **state)
{
	static const struct {
		struct slice alpn;
		const char *text;
	} rows[] = {{SLICE("\x02h2"), "h2"}, {SLICE("\x08http/1.1"), "h1"}, {SLICE("\x01x"), "xx"},
		{SLICE("\1\xab"), "ab"}, {SLICE("\1 "), "20"}, {SLICE("\2\xab\xcd"), "ad"},
		{SLICE("\2 a"), "21"}, {SLICE("\2\x30\xab"), "3b"}, {SLICE("\2a "), "60"},
		{SLICE("\4\x30\x31\xab\xcd"), "3d"}, {SLICE("\4\x30\xab\xcd\x31"), "01"},
		{SLICE("\2\x7a\x7a\2h2"), "zz"}, {SLICE("\2\x0a\x0a\2h2"), "0a"}};
	struct hello_raw raw = published[0].raw;
	char expected[JA4_BYTES];
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		raw.alpn = rows[i].alpn;
		snprintf(expected, sizeof(expected), "t13d1516%s_8daaf6152771_e5627efa2ab1",
			rows[i].text);
		expect_text(&raw, 't', expected);
	}
}

/* "1000,1007,...": `n` code points, or the same backwards. */
static char *codes(size_t n, bool is_backwards)
{
	char *text = malloc(5 * n);
	size_t i;

	assert_non_null(text);
	for (i = 0; i < n; i++) {
		snprintf(text + 5 * i, 5, "%04zx", 0x1000 + 7 * (is_backwards ? n - 1 - i : i));
		text[5 * i + 4] = i + 1 < n ? ',' : '\0';
	}
	return text;
}

/* More than 99 of a kind are counted as 99, and all of them hashed. */
static void test_many(void **state)
{
	char *hundred = codes(100, false), *up = codes(2000, false), *down = codes(2000, true);

	expect_text(&(struct hello_raw){.ciphers = hundred}, 't',
		"t12i990000_dc401f72c9fb_000000000000");

	expect_text(
		&(struct hello_raw){.ciphers = up}, 't', "t12i990000_515ff86f4fc8_000000000000");
	expect_text(
		&(struct hello_raw){.ciphers = down}, 't', "t12i990000_515ff86f4fc8_000000000000");
	expect_text(&(struct hello_raw){.ciphers = "1301", .extensions = down}, 't',
		"t12i019900_0f2cb44170f4_515ff86f4fc8");
	free(hundred);
	free(up);
	free(down);
}

static void *first_call(void *expected)
{
	expect_text(&published[0].raw, 't', expected);
	return NULL;
}

/* A thread's digest context goes with the thread (the leak checker of a sanitized build tells). */
static void test_threads(void **state)
{
	pthread_t thread;
	int i;

	for (i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&thread, NULL, first_call,
					 (void *)(uintptr_t)published[0].ja4),
			0);
		assert_int_equal(pthread_join(thread, NULL), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_grease_and_order_do_not_matter),
		cmocka_unit_test(test_parts_of_the_head),
		cmocka_unit_test(test_alpn),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
