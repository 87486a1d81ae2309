/*
 * The strict ClientHello parser: what real clients send is accepted however it is cut, what is
 * malformed is refused at the first byte that tells, with one reason that never changes.
 */
#include "hello_bytes.h"

#include "tls/clienthello.h"
#include <errno.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static uint8_t scratch[CLIENTHELLO_SCRATCH_BYTES];
static struct hello_bytes message, stream;

/* The bytes in memory of exactly their length: reading beyond is seen under AddressSanitizer. */
static int parse_copy(const void *bytes, size_t len, enum clienthello_fault *ret_fault)
{
	void *copy = malloc(len ? len : 1);
	struct clienthello hello;
	int r;

	assert_non_null(copy);
	if (len)
		memcpy(copy, bytes, len);
	*ret_fault = CLIENTHELLO_OK;
	r = clienthello_parse(copy, len, scratch, &hello, ret_fault);
	free(copy);
	assert_int_equal(r == -EPROTO, *ret_fault != CLIENTHELLO_OK);
	return r;
}

/* Refused once `first` bytes are there, not before, and for the same reason ever after. */
static void expect_fault(
	const void *bytes, size_t len, enum clienthello_fault expected, size_t first)
{
	enum clienthello_fault fault;
	size_t i;

	assert_in_range(first, 1, len);
	for (i = 0; i <= len; i += i > first + 100 ? 97 : 1) {
		assert_int_equal(parse_copy(bytes, i, &fault), i < first ? -EAGAIN : -EPROTO);
		assert_string_equal(clienthello_fault_name(fault),
			i < first ? "ok" : clienthello_fault_name(expected));
	}
	assert_int_equal(parse_copy(bytes, len, &fault), -EPROTO);
	assert_int_equal(fault, expected);
}

static void assert_slice(struct slice slice, struct slice expected)
{
	assert_int_equal(slice.len, expected.len);
	assert_true(slice_eq(slice, expected));
}

static void assert_same(const struct clienthello *a, const struct clienthello *b)
{
	assert_slice(a->server_name, b->server_name);
	assert_slice(a->alpn, b->alpn);
	assert_slice(a->versions, b->versions);
	assert_slice(a->ciphers, b->ciphers);
	assert_slice(a->groups, b->groups);
	assert_slice(a->key_shares, b->key_shares);
	assert_slice(a->signature_algorithms, b->signature_algorithms);
	assert_slice(a->signature_algorithms_cert, b->signature_algorithms_cert);
	assert_slice(a->extensions, b->extensions);
	assert_slice(a->session_id, b->session_id);
	assert_slice(a->random, b->random);
	assert_int_equal(a->legacy_version, b->legacy_version);
	assert_int_equal(a->version_max, b->version_max);
	assert_int_equal(a->has_psk, b->has_psk);
	assert_int_equal(a->has_early_data, b->has_early_data);
	assert_int_equal(a->has_ech, b->has_ech);
	assert_int_equal(a->n_extensions, b->n_extensions);
	assert_int_equal(a->message_len, b->message_len);
}

static void parse_sound(const struct hello_bytes *bytes, struct clienthello *ret_hello)
{
	enum clienthello_fault fault = CLIENTHELLO_OK;

	assert_int_equal(
		clienthello_parse(bytes->at, bytes->len, scratch, ret_hello, &fault), bytes->len);
}

/* A whole stream of one record, cut everywhere. */
static void expect_sound_in_pieces(const struct hello_bytes *bytes)
{
	enum clienthello_fault fault;
	size_t i;

	for (i = 0; i < bytes->len; i++)
		assert_int_equal(parse_copy(bytes->at, i, &fault), -EAGAIN);
	assert_int_equal(parse_copy(bytes->at, bytes->len, &fault), bytes->len);
}

/* The same message in records of every awkward length says the same. */
static void expect_sound_in_records(const struct hello_bytes *bytes)
{
	static const size_t lengths[] = {1, 2, 3, 4, 5, 43, 100, 511};
	static struct hello_bytes split;
	struct clienthello whole, hello;
	size_t i;

	parse_sound(bytes, &whole);
	message.len = 0;
	hello_put(&message, bytes->at + 5, bytes->len - 5);
	for (i = 0; i < array_len(lengths); i++) {
		hello_records(&message, lengths[i], &split);
		expect_sound_in_pieces(&split);
		parse_sound(&split, &hello);
		assert_same(&hello, &whole);
		assert_int_equal(hello.records, (message.len + lengths[i] - 1) / lengths[i]);
		if (hello.records > 1)
			assert_ptr_equal(hello.random.ptr, scratch + 6);
	}
}

static void parse_everywhere(const struct hello_bytes *bytes, struct clienthello *ret_hello)
{
	expect_sound_in_pieces(bytes);
	expect_sound_in_records(bytes);
	parse_sound(bytes, ret_hello);
	assert_int_equal(ret_hello->records, 1);
	assert_ptr_equal(ret_hello->random.ptr, bytes->at + 11); /* nothing was copied */
}

/* --- what OpenSSL sends as a client */

struct client {
	const char *groups, *name, *alpn, *ciphers;
	int version_min, version_max;
	SSL_psk_use_session_cb_func psk;
	bool has_early_data;
};

static void openssl_flight(const struct client *client, struct hello_bytes *ret_bytes)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
	SSL *ssl = SSL_new(ctx);
	size_t written;
	char *bytes;
	long n;

	assert_non_null(ssl);
	SSL_set_bio(ssl, in, out);
	SSL_set_connect_state(ssl);
	assert_true(SSL_set_min_proto_version(ssl, client->version_min));
	assert_true(SSL_set_max_proto_version(ssl, client->version_max));
	if (client->groups)
		assert_true(SSL_set1_groups_list(ssl, client->groups));
	if (client->ciphers)
		assert_true(SSL_set_cipher_list(ssl, client->ciphers));
	if (client->name)
		assert_true(SSL_set_tlsext_host_name(ssl, client->name));
	if (client->alpn)
		assert_int_equal(SSL_set_alpn_protos(ssl, (const uint8_t *)client->alpn,
					 (unsigned int)strlen(client->alpn)),
			0);
	SSL_set_psk_use_session_callback(ssl, client->psk);
	if (client->has_early_data)
		SSL_write_early_data(ssl, "early", 5, &written);
	else
		SSL_do_handshake(ssl);
	n = BIO_get_mem_data(out, &bytes);
	ret_bytes->len = 0;
	hello_put(ret_bytes, bytes, (size_t)n);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

static void test_openssl_tls13(void **state)
{
	struct clienthello hello;

	openssl_flight(&(struct client){"X25519", "WWW.test", "\x02h2\x08http/1.1",
			       .version_min = TLS1_2_VERSION},
		&stream);
	parse_everywhere(&stream, &hello);
	assert_slice(hello.server_name, SLICE("WWW.test"));
	assert_slice(hello.alpn, SLICE("\x02h2\x08http/1.1"));
	assert_slice(hello.groups, SLICE("\0\x1d"));
	assert_slice(hello.versions, SLICE("\3\4\3\3"));
	assert_int_equal(hello.legacy_version, 0x0303);
	assert_int_equal(hello.version_max, 0x0304);
	assert_int_equal(hello.session_id.len, 32);
	assert_int_equal(hello.key_shares.len, 2 + 2 + 32);
	assert_int_equal(hello.message_len, stream.len - 5);
	assert_false(hello.has_psk || hello.has_early_data || hello.has_ech);
	assert_true(clienthello_offers_alpn(&hello, SLICE("h2")));
	assert_true(clienthello_offers_alpn(&hello, SLICE("http/1.1")));
	assert_false(clienthello_offers_alpn(&hello, SLICE("http/1.0")));
	assert_false(clienthello_offers_alpn(&hello, SLICE("http")));
	assert_false(clienthello_offers_alpn(&hello, SLICE("")));
	assert_true(clienthello_offers_version(&hello, 0x0304));
	assert_true(clienthello_offers_version(&hello, 0x0303));
	assert_false(clienthello_offers_version(&hello, 0x0302));
}

static void test_openssl_post_quantum(void **state)
{
	struct clienthello hello;

	openssl_flight(&(struct client){"X25519MLKEM768:X25519", "www.test",
			       .version_min = TLS1_3_VERSION},
		&stream);
	assert_true(stream.len > 1400); /* two segments on the wire */
	parse_everywhere(&stream, &hello);
	assert_slice(hello.groups, SLICE("\x11\xec\0\x1d"));
	assert_int_equal(hello.version_max, 0x0304);
	assert_false(clienthello_offers_version(&hello, 0x0303));
	assert_true(hello.key_shares.len > 1216);
	assert_slice(hello.alpn, SLICE(""));
}

static void test_openssl_tls12(void **state)
{
	struct clienthello hello;

	openssl_flight(&(struct client){.version_max = TLS1_2_VERSION}, &stream);
	parse_everywhere(&stream, &hello);
	assert_slice(hello.server_name, SLICE(""));
	assert_slice(hello.versions, SLICE(""));
	assert_int_equal(hello.version_max, 0x0303);
	assert_true(clienthello_offers_version(&hello, 0x0302));
	assert_false(clienthello_offers_version(&hello, 0x0304));
	assert_true(hello.signature_algorithms.len > 8);
}

static int offer_session(SSL *ssl, const EVP_MD *md, const uint8_t **ret_id, size_t *ret_len,
	SSL_SESSION **ret_session)
{
	static const uint8_t secret[32] = {1};
	SSL_SESSION *session = SSL_SESSION_new();

	assert_non_null(session);
	assert_true(SSL_SESSION_set1_master_key(session, secret, sizeof(secret)));
	assert_true(
		SSL_SESSION_set_cipher(session, SSL_CIPHER_find(ssl, (const uint8_t *)"\x13\x01")));
	assert_true(SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION));
	assert_true(SSL_SESSION_set_max_early_data(session, 100));
	*ret_id = (const uint8_t *)"session";
	*ret_len = 7;
	*ret_session = session;
	return 1;
}

static void test_openssl_resumption(void **state)
{
	struct clienthello hello;

	openssl_flight(&(struct client){"X25519", "www.test", .psk = offer_session}, &stream);
	parse_everywhere(&stream, &hello);
	assert_true(hello.has_psk);
	assert_false(hello.has_early_data);
}

/* What follows the hello is early data, and no business of the parser. */
static void test_openssl_early_data(void **state)
{
	enum clienthello_fault fault;
	struct clienthello hello;
	int r;

	openssl_flight(&(struct client){"X25519", "www.test", .psk = offer_session,
			       .has_early_data = true},
		&stream);
	r = clienthello_parse(stream.at, stream.len, scratch, &hello, &fault);
	assert_int_equal(r, 5 + (stream.at[3] << 8 | stream.at[4]));
	assert_in_range(r, 200, stream.len - 5 - 5);
	assert_true(hello.has_psk);
	assert_true(hello.has_early_data);
	assert_int_equal(hello.message_len, r - 5);
}

/* --- clients that are not at hand */

#define CHROME_EXTENSIONS                                                                          \
	"001b,0000,0033,0010,44cd,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,fe0d,0029"

static void test_grease_everywhere(void **state)
{
	struct hello_raw raw = {.extensions = CHROME_EXTENSIONS,
		.has_grease = true,
		.session_id_len = 32,
		.alpn = SLICE("\2\x0a\x0a\x02h2"),
		.own_type = 0xfe0d,
		.own_body = SLICE("\0\0\1\0\1\x2b\0\4abcd\0\4efgh")};
	struct clienthello hello;

	hello_stream(&raw, &stream);
	parse_everywhere(&stream, &hello);
	assert_slice(hello.server_name, SLICE("www.test"));
	assert_slice(hello.versions, SLICE("\x6a\x6a\3\4\3\3"));
	assert_int_equal(hello.version_max, 0x0304);
	assert_int_equal(hello.n_extensions, 19);
	assert_true(hello.has_ech && hello.has_psk);
	assert_true(clienthello_offers_alpn(&hello, SLICE("h2")));
}

/* RFC 2246: a hello may end after the compression methods; old clients also offer DEFLATE. */
static void test_without_extensions(void **state)
{
	static const char body[] = "\x16\3\0\0\x32\1\0\0\x2e\3\1"
				   "0123456789abcdef0123456789abcdef\0\0\6\0\5\0\x0a\0\xff\2\1\0";
	struct clienthello hello;

	stream.len = 0;
	hello_put(&stream, body, sizeof(body) - 1);
	parse_everywhere(&stream, &hello);
	assert_slice(hello.random, SLICE("0123456789abcdef0123456789abcdef"));
	assert_slice(hello.ciphers, SLICE("\0\5\0\x0a\0\xff"));
	assert_slice(hello.extensions, SLICE(""));
	assert_int_equal(hello.version_max, 0x0301);
	hello_stream(&(struct hello_raw){.extensions = "", .legacy_version = 0x0300}, &stream);
	parse_everywhere(&stream, &hello);
	assert_int_equal(hello.version_max, 0x0300);
	assert_int_equal(hello.n_extensions, 0);
}

static void test_versions(void **state)
{
	struct hello_raw raw = {.legacy_version = 0x03ff, .extensions = "0000"};
	struct clienthello hello;

	hello_stream(&raw, &stream);
	parse_sound(&stream, &hello);
	assert_int_equal(hello.version_max, 0x0303); /* 1.3 needs supported_versions */
	assert_true(clienthello_offers_version(&hello, 0x0300));
	assert_false(clienthello_offers_version(&hello, 0x02ff));
	raw.extensions = "002b";
	raw.versions = "0302,0301";
	hello_stream(&raw, &stream);
	parse_sound(&stream, &hello);
	assert_int_equal(hello.version_max, 0x0302);
	raw.versions = "7f1c,fefd";
	hello_stream(&raw, &stream);
	parse_sound(&stream, &hello);
	assert_int_equal(hello.version_max, 0);
}

/* Many unknown extensions are no fault, and every one of them is known again. */
static void test_many_extensions(void **state)
{
	enum { COUNT = 4000 };
	struct hello_raw raw = {.extensions = ""};
	enum clienthello_fault fault;
	struct clienthello hello;
	size_t i, block;

	hello_message(&raw, &message);
	message.len -= 2;
	block = hello_open(&message, 2);
	for (i = 0; i < COUNT; i++)
		hello_put_number(&message, (0x100 + i) << 16, 4);
	hello_close(&message, block, 2);
	hello_close(&message, 4, 3);
	hello_records(&message, 16384, &stream);
	parse_sound(&stream, &hello);
	assert_int_equal(hello.n_extensions, COUNT);
	for (i = 1; i < COUNT; i += i < 40 ? 1 : 501) {
		hello_records(&message, 16384, &stream);
		memcpy(stream.at + 5 + block + 4 * i, stream.at + 5 + block + 2 * i / 4 * 4, 2);
		assert_int_equal(parse_copy(stream.at, stream.len, &fault), -EPROTO);
		assert_int_equal(fault, CLIENTHELLO_duplicate_extension);
	}
}

/* The longest that is allowed, even in records of one byte; one byte more is seen at its length. */
static void test_longest(void **state)
{
	struct hello_raw raw = {.extensions = "0000,0015"};
	struct clienthello hello;

	hello_message(&raw, &message);
	raw.padding_len = TLS_CLIENT_HELLO_BYTES_MAX - message.len;
	hello_message(&raw, &message);
	hello_records(&message, 16384, &stream);
	parse_sound(&stream, &hello);
	assert_int_equal(hello.message_len, 16384);
	hello_records(&message, 1, &stream);
	assert_int_equal(stream.len, CLIENTHELLO_STREAM_BYTES_MAX);
	parse_sound(&stream, &hello);
	assert_int_equal(hello.records, 16384);
	assert_slice(hello.server_name, SLICE("www.test"));
	raw.padding_len++;
	hello_message(&raw, &message);
	hello_records(&message, 16384, &stream);
	expect_fault(stream.at, stream.len, CLIENTHELLO_too_long, 9);
	hello_records(&message, 1, &stream);
	expect_fault(stream.at, stream.len, CLIENTHELLO_too_long, 24);
}

/* --- what is refused */

#define H(literal, fault, first) {literal, sizeof(literal) - 1, CLIENTHELLO_##fault, first}

static void test_openings(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum clienthello_fault fault;
		size_t first;
	} rows[] = {
		H("GET / HTTP/1.1\r\n", plain_http, 4),
		H("CONNECT www.test:443 HTTP/1.1\r\n", plain_http, 8),
		H("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", plain_http, 4),
		H("OPTIONS * HTTP/1.1\r\n", plain_http, 8),
		H("POST / HTTP/1.1\r\n", plain_http, 5),
		H("PUSH", not_tls, 3),
		H("SSH-2.0-OpenSSH", not_tls, 1),
		H("get / HTTP/1.1", not_tls, 1),
		H("\0\0\0\0", not_tls, 1),
		H("\r\n\r\n\0\r\nQUIT\n", not_tls, 1),
		H("\x80\x2e\1\0\2\0\x15\0\0\0\x10", sslv2, 3),
		H("\x80\x2e\1\3\1\0\x15\0\0\0\x10", sslv2, 3),
		H("\x80\x2e\1\2\1\0\x15\0\0\0\x10", sslv2, 3),
		H("\x80\x2e\2\0\2", not_tls, 3),
		H("\x15\3\1\0\2\1\0", not_tls, 1),
		H("\x17\3\3\0\2ab", not_tls, 1),
		H("\x16\2\0\0\5\1", record_version, 2),
		H("\x16\xfe\xfd\0\0", record_version, 2), /* DTLS */
		H("\x16\3\5\0\5\1", record_version, 3),
		H("\x16\3\1\0\0\x16\3\1", empty_record, 5),
		H("\x16\3\1\x40\1\1\0\0", record_length, 5),
		H("\x16\3\1\xff\xff\1\0\0", record_length, 5),
		H("\x16\3\1\1\0\2\0\0", handshake_type, 6),
		H("\x16\3\1\1\0\0\0\0\0", handshake_type, 6), /* HelloRequest */
		H("\x16\3\1\1\0\1\1\0\0", too_long, 9),
		H("\x16\3\1\x40\0\1\0\x3f\xfd", too_long, 9),
		H("\x16\3\1\x40\0\1\0\0\x28", hello_length, 9),
		H("\x16\3\1\1\0\1\0\0\xfb", trailing_data, 9),
		/* in several records */
		H("\x16\3\1\0\1\1\x17\3\3\0\1a", record_type, 7),
		H("\x16\3\1\0\1\1\x16\2\3\0\1\0", record_version, 8),
		H("\x16\3\1\0\1\1\x16\3\3\0\0\x16", empty_record, 11),
		H("\x16\3\1\0\1\1\x16\3\3\x40\1\0", record_length, 11),
		H("\x16\3\1\0\1\2\x16\3\3\0\1\0", handshake_type, 6),
		H("\x16\3\1\0\1\1\x16\3\3\0\4\0\0\x28\0", hello_length, 14),
		H("\x16\3\1\0\3\1\0\0\x16\3\3\1\0\x29\3", trailing_data, 14),
		H("\x16\3\1\0\6\1\0\0\x29\3\3\x16\3\3\0\x28\0", trailing_data, 16),
		/* a fault of the hello stands before one of the record that follows */
		H("\x16\3\1\0\6\1\0\0\x29\2\3\x17\3\3\0\1", legacy_version, 11),
	};
	size_t i;

	for (i = 0; i < array_len(rows); i++)
		expect_fault(rows[i].bytes, rows[i].len, rows[i].fault, rows[i].first);
}

/* The message of test_fields: offsets in the stream of one record. */
enum {
	AT_VERSION = 9,
	AT_SESSION_ID = 43,
	AT_CIPHERS = 44,
	AT_COMPRESSION = 50,
	AT_BLOCK = 52,
	AT_FIRST = 54,
};

#define B31 "0123456789abcdef0123456789abcde"
#define B32 "0123456789abcdef0123456789abcdef"

static void test_fields(void **state)
{
	static const struct {
		uint8_t at, value;
		enum clienthello_fault fault;
		uint8_t first;
	} rows[] = {
		{AT_VERSION, 2, CLIENTHELLO_legacy_version, AT_VERSION + 2},
		{AT_VERSION, 0xfe, CLIENTHELLO_legacy_version, AT_VERSION + 2},
		{AT_SESSION_ID, 33, CLIENTHELLO_session_id, AT_SESSION_ID + 1},
		{AT_CIPHERS + 1, 0, CLIENTHELLO_ciphers, AT_CIPHERS + 2},
		{AT_CIPHERS + 1, 3, CLIENTHELLO_ciphers, AT_CIPHERS + 2},
		{AT_CIPHERS + 1, 200, CLIENTHELLO_ciphers, AT_CIPHERS + 2},
		{AT_COMPRESSION, 0, CLIENTHELLO_compression, AT_COMPRESSION + 1},
		{AT_COMPRESSION, 200, CLIENTHELLO_compression, AT_COMPRESSION + 1},
		{AT_COMPRESSION + 1, 1, CLIENTHELLO_compression, AT_COMPRESSION + 2},
		{AT_BLOCK, 1, CLIENTHELLO_extensions_length, AT_BLOCK + 2},
		{AT_BLOCK + 1, 0, CLIENTHELLO_extensions_length, AT_BLOCK + 2},
		{AT_FIRST + 3, 200, CLIENTHELLO_extensions_length, AT_FIRST + 4},
		{AT_FIRST + 3, 65, CLIENTHELLO_extensions_length, AT_FIRST + 4},
		{AT_FIRST + 3, 63, CLIENTHELLO_extensions_length, AT_FIRST + 67},
	};
	struct hello_raw raw = {.extensions = "0007", .own_type = 7, .own_body = SLICE(B32 B32)};
	struct clienthello hello;
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		hello_stream(&raw, &stream);
		parse_sound(&stream, &hello);
		stream.at[rows[i].at] = rows[i].value;
		expect_fault(stream.at, stream.len, rows[i].fault, rows[i].first);
	}
	raw.extensions = NULL; /* one byte is no block */
	hello_message(&raw, &message);
	hello_put_number(&message, 0, 1);
	hello_close(&message, 4, 3);
	hello_records(&message, 16384, &stream);
	expect_fault(stream.at, stream.len, CLIENTHELLO_extensions_length, AT_BLOCK);
	stream.at[AT_SESSION_ID] = 20; /* longer than the message */
	expect_fault(stream.at, stream.len, CLIENTHELLO_session_id, AT_SESSION_ID + 1);
}

/* RFC 8446 4.1.2: with TLS 1.3 the null method alone. */
static void test_compression_in_tls13(void **state)
{
	struct hello_raw raw = {.extensions = "002b"};
	struct clienthello hello;

	hello_message(&raw, &message);
	memmove(message.at + AT_COMPRESSION - 3, message.at + AT_COMPRESSION - 4,
		message.len - (AT_COMPRESSION - 4));
	memcpy(message.at + AT_COMPRESSION - 5, "\2\1\0", 3);
	message.len++;
	hello_close(&message, 4, 3);
	hello_records(&message, 16384, &stream);
	expect_fault(stream.at, stream.len, CLIENTHELLO_compression, stream.len);
	stream.at[stream.len - 3] = 1; /* {0301, 0303}: TLS 1.2 */
	parse_sound(&stream, &hello);
}

struct body_row {
	uint16_t type;
	struct slice body;
	enum clienthello_fault fault; /* CLIENTHELLO_OK: accepted */
};

#define IDENTITY "\0\1a\0\0\0\0"

static const struct body_row bodies[] = {
	{0, SLICE("\0\4\0\0\1a"), CLIENTHELLO_OK},
	{0, SLICE(""), CLIENTHELLO_sni_malformed},
	{0, SLICE("\0\0"), CLIENTHELLO_sni_malformed},
	{0, SLICE("\0\3\0\0\0"), CLIENTHELLO_sni_malformed},
	{0, SLICE("\0\4\1\0\1a"), CLIENTHELLO_sni_malformed},
	{0, SLICE("\0\5\0\0\1a"), CLIENTHELLO_sni_malformed},
	{0, SLICE("\0\4\0\0\1a\0"), CLIENTHELLO_sni_malformed},
	{0, SLICE("\0\4\0\0\2a"), CLIENTHELLO_sni_malformed},
	{0, SLICE("\0\5\0\0\1ab"), CLIENTHELLO_sni_malformed},
	{0, SLICE("\0\x08\0\0\1a\0\0\1b"), CLIENTHELLO_sni_malformed},
	{10, SLICE("\0\2\0\x1d"), CLIENTHELLO_OK},
	{10, SLICE("\0\0"), CLIENTHELLO_groups_malformed},
	{10, SLICE("\0\1\0"), CLIENTHELLO_groups_malformed},
	{10, SLICE("\0\2\0\x1d\0"), CLIENTHELLO_groups_malformed},
	{10, SLICE("\2\0\x1d"), CLIENTHELLO_groups_malformed},
	{13, SLICE("\0\2\4\3"), CLIENTHELLO_OK},
	{13, SLICE("\0\3\4\3\5"), CLIENTHELLO_signatures_malformed},
	{13, SLICE("\0\4\4\3"), CLIENTHELLO_signatures_malformed},
	{50, SLICE(""), CLIENTHELLO_signatures_malformed},
	{16, SLICE("\0\3\x02h2"), CLIENTHELLO_OK},
	{16, SLICE(""), CLIENTHELLO_alpn_malformed},
	{16, SLICE("\0\0"), CLIENTHELLO_alpn_malformed},
	{16, SLICE("\0\1\0"), CLIENTHELLO_alpn_malformed},
	{16, SLICE("\0\4\x02h2\0"), CLIENTHELLO_alpn_malformed},
	{16, SLICE("\0\4\x02h2\1"), CLIENTHELLO_alpn_malformed},
	{16, SLICE("\0\3\x03h2"), CLIENTHELLO_alpn_malformed},
	{16, SLICE("\0\2\x02h2"), CLIENTHELLO_alpn_malformed},
	{16, SLICE("\x02h2"), CLIENTHELLO_alpn_malformed},
	{43, SLICE("\2\3\4"), CLIENTHELLO_OK},
	{43, SLICE("\0"), CLIENTHELLO_versions_malformed},
	{43, SLICE("\3\3\4\3"), CLIENTHELLO_versions_malformed},
	{43, SLICE("\2\3\4\0"), CLIENTHELLO_versions_malformed},
	{43, SLICE("\3\4"), CLIENTHELLO_versions_malformed}, /* as a server sends it */
	{51, SLICE("\0\0"), CLIENTHELLO_OK},
	{51, SLICE("\0\x0a\0\x1d\0\1a\0\x17\0\1b"), CLIENTHELLO_OK},
	{51, SLICE(""), CLIENTHELLO_key_share_malformed},
	{51, SLICE("\0\4\0\x1d\0\0"), CLIENTHELLO_key_share_malformed},
	{51, SLICE("\0\1\0"), CLIENTHELLO_key_share_malformed},
	{51, SLICE("\0\5\0\x1d\0\2a"), CLIENTHELLO_key_share_malformed},
	{51, SLICE("\0\5\0\x1d\0\1a\0"), CLIENTHELLO_key_share_malformed},
	{41, SLICE("\0\x07" IDENTITY "\0\x21\x20" B32), CLIENTHELLO_OK},
	{41, SLICE("\0\x0e" IDENTITY IDENTITY "\0\x42\x20" B32 "\x20" B32), CLIENTHELLO_OK},
	{41, SLICE(""), CLIENTHELLO_psk_malformed},
	{41, SLICE("\0\0\0\0"), CLIENTHELLO_psk_malformed},
	{41, SLICE("\0\0\0\x21\x20" B32), CLIENTHELLO_psk_malformed},
	{41, SLICE("\0\x07" IDENTITY "\0\0"), CLIENTHELLO_psk_malformed},
	{41, SLICE("\0\6\0\0\0\0\0\0\0\x21\x20" B32), CLIENTHELLO_psk_malformed},
	{41, SLICE("\0\6\0\1a\0\0\0\0\x21\x20" B32), CLIENTHELLO_psk_malformed},
	{41, SLICE("\0\x07" IDENTITY "\0\x20\x1f" B31), CLIENTHELLO_psk_malformed},
	{41, SLICE("\0\x07" IDENTITY "\0\x21\x20" B32 "\0"), CLIENTHELLO_psk_malformed},
	{41, SLICE("\0\x07" IDENTITY "\0\x42\x20" B32 "\x20" B32), CLIENTHELLO_psk_malformed},
	{41, SLICE("\0\x0e" IDENTITY IDENTITY "\0\x21\x20" B32), CLIENTHELLO_psk_malformed},
	{42, SLICE(""), CLIENTHELLO_OK},
	{42, SLICE("\0\0\0\1"), CLIENTHELLO_early_data_malformed},
};

static void test_bodies(void **state)
{
	struct hello_raw raw = {};
	struct clienthello hello;
	char extensions[5];
	size_t i;

	for (i = 0; i < array_len(bodies); i++) {
		snprintf(extensions, sizeof(extensions), "%04x", bodies[i].type);
		raw.extensions = extensions;
		raw.own_type = bodies[i].type;
		raw.own_body = bodies[i].body;
		hello_stream(&raw, &stream);
		if (bodies[i].fault == CLIENTHELLO_OK)
			parse_everywhere(&stream, &hello);
		else
			expect_fault(stream.at, stream.len, bodies[i].fault, stream.len);
	}
}

static void test_repeated_and_misplaced(void **state)
{
	static const char *const twice[] = {"0000,0000", "0007,000a,0007", "ff01,1234,ff01",
		"0a0a,0a0a", "002b,0000,0010,002b"};
	size_t i;

	for (i = 0; i < array_len(twice); i++) {
		size_t last = 4; /* the header of the second one tells */

		hello_stream(&(struct hello_raw){.extensions = twice[i]}, &stream);
		last += strstr(twice[i], "0000,0000") == twice[i] ? 13 : 0;
		last += strstr(twice[i], "002b,0000") == twice[i] ? 5 : 0;
		expect_fault(stream.at, stream.len, CLIENTHELLO_duplicate_extension,
			stream.len - last + 4);
	}
	hello_stream(&(struct hello_raw){.extensions = "0029,0017"}, &stream);
	expect_fault(stream.at, stream.len, CLIENTHELLO_psk_not_last, stream.len - 4);
}

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *name;
	size_t len; /* 0: refused */
} host_names[] = {
	{"a", 1},
	{"www.Example.COM", 15},
	{"xn--bcher-kva.example", 21},
	{"_a-b.1-.c", 9},
	{"192.0.2.1", 9},
	{A63 ".b", 65},
	{"www.test.", 8},
	{A63 "." A63 "." A63 "." A63 "\0", 0},
	{A63 "." A63 "." A63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 253},
	{A63 "." A63 "." A63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.",
		253},
	{A63 "." A63 "." A63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0},
	{"a" A63 ".b", 0},
	{".", 0},
	{"..", 0},
	{".a", 0},
	{"a..b", 0},
	{"a..", 0},
	{"*.test", 0},
	{"a b", 0},
	{"a/b", 0},
	{"2001:db8::1", 0},
	{"[::1]", 0},
	{"b\xc3\xbc"
	 "cher.test",
		0},
	{"a@b", 0},
	{"a`b", 0},
	{"a{b", 0},
	{"\x7f", 0},
};

static void test_names(void **state)
{
	struct hello_raw raw = {.extensions = "0000,002b"};
	enum clienthello_fault fault;
	struct clienthello hello;
	size_t i;

	for (i = 0; i < array_len(host_names); i++) {
		raw.name = host_names[i].name;
		hello_stream(&raw, &stream);
		if (host_names[i].len) {
			parse_sound(&stream, &hello);
			assert_slice(
				hello.server_name, (struct slice){raw.name, host_names[i].len});
			continue;
		}
		assert_int_equal(parse_copy(stream.at, stream.len, &fault), -EPROTO);
		assert_int_equal(fault, CLIENTHELLO_sni_malformed);
	}
	raw.own_body = SLICE("\0\6\0\0\3a\0b"); /* NUL */
	hello_stream(&raw, &stream);
	assert_int_equal(parse_copy(stream.at, stream.len, &fault), -EPROTO);
	assert_int_equal(fault, CLIENTHELLO_sni_malformed);
}

/* A second message, whole or begun, in the record in which the hello ends. */
static void test_trailing_message(void **state)
{
	struct hello_raw raw = {.extensions = "0000"};

	hello_message(&raw, &message);
	hello_put(&message, "\x0b\0\0\0", 4);
	hello_records(&message, 16384, &stream);
	expect_fault(stream.at, stream.len, CLIENTHELLO_trailing_data, 9);
	hello_records(&message, 40, &stream);
	expect_fault(stream.at, stream.len, CLIENTHELLO_trailing_data, 2 * 45 - 40);
}

static void test_fault_names(void **state)
{
	enum clienthello_fault fault;

	assert_string_equal(clienthello_fault_name(CLIENTHELLO_OK), "ok");
	assert_string_equal(clienthello_fault_name(CLIENTHELLO_sni_malformed), "sni_malformed");
	for (fault = 0; fault < CLIENTHELLO_FAULTS; fault++) {
		assert_true(strlen(clienthello_fault_name(fault)) > 1);
		assert_true(strlen(clienthello_fault_help(fault)) > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_openssl_tls13),
		cmocka_unit_test(test_openssl_post_quantum),
		cmocka_unit_test(test_openssl_tls12),
		cmocka_unit_test(test_openssl_resumption),
		cmocka_unit_test(test_openssl_early_data),
		cmocka_unit_test(test_grease_everywhere),
		cmocka_unit_test(test_without_extensions),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_many_extensions),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_openings),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_compression_in_tls13),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_repeated_and_misplaced),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_trailing_message),
		cmocka_unit_test(test_fault_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
