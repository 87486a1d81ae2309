/*
 * Fuzzes the strict ClientHello parser and JA4. Every input is tried as it is, and once more with
 * the lengths of record, message and extension block set right, so that mutations reach the fields.
 * Checked: a verdict never changes when bytes are added; the same hello in records of one byte
 * says the same; and OpenSSL, fed the same bytes as a server, sees the same hello.
 */
#include "tls/ja4.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

enum {
	HEADERS_BYTES = 9,
	FIXED_BYTES = HEADERS_BYTES + 34,
	STEPS = 48,
	ONE_BYTE_RECORDS_MAX = 1024
};

/* What OpenSSL's callbacks compare with and find out. */
struct peer {
	const struct clienthello *hello; /* NULL: the parser refused it */
	bool saw_hello;
};

static SSL_CTX *ctx;
static uint8_t scratch[CLIENTHELLO_SCRATCH_BYTES];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static bool is_same(const uint8_t *bytes, size_t len, struct slice slice)
{
	return slice_eq((struct slice){(const char *)bytes, len}, slice);
}

/* Called when OpenSSL has split the message into its fields. */
static int on_hello(SSL *ssl, int *ret_alert, void *unused)
{
	struct peer *peer = SSL_get_app_data(ssl);
	const uint8_t *bytes;
	size_t len;

	peer->saw_hello = true;
	if (!peer->hello)
		return SSL_CLIENT_HELLO_ERROR;
	must(SSL_client_hello_get0_legacy_version(ssl) == peer->hello->legacy_version);
	len = SSL_client_hello_get0_random(ssl, &bytes);
	must(is_same(bytes, len, peer->hello->random));
	len = SSL_client_hello_get0_session_id(ssl, &bytes);
	must(is_same(bytes, len, peer->hello->session_id));
	len = SSL_client_hello_get0_ciphers(ssl, &bytes);
	must(is_same(bytes, len, peer->hello->ciphers));
	must(SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &len) ==
		(peer->hello->server_name.len > 0));
	must(SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
		     &bytes, &len) == (peer->hello->alpn.len > 0));
	must(SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &bytes, &len) == peer->hello->has_psk);
	return SSL_CLIENT_HELLO_SUCCESS;
}

/* Called when OpenSSL has read all extensions and found nothing wrong in them so far. */
static int on_name(SSL *ssl, int *ret_alert, void *unused)
{
	struct peer *peer = SSL_get_app_data(ssl);
	const char *sent = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct slice name = slice_of(sent ? sent : "");

	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	must(slice_eq(name, peer->hello->server_name));
	return SSL_TLSEXT_ERR_OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	ctx = SSL_CTX_new(TLS_server_method());
	must(ctx != NULL);
	must(SSL_CTX_set_min_proto_version(ctx, 0));
	SSL_CTX_set_security_level(ctx, 0);
	SSL_CTX_set_client_hello_cb(ctx, on_hello, NULL);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	return 0;
}

/* Faults that OpenSSL finds as well before it calls back, whatever the version. */
static bool is_agreed(enum clienthello_fault fault)
{
	switch (fault) {
	case CLIENTHELLO_not_tls:
	case CLIENTHELLO_plain_http:
	case CLIENTHELLO_record_type:
	case CLIENTHELLO_record_length:
	case CLIENTHELLO_handshake_type:
	case CLIENTHELLO_session_id:
	case CLIENTHELLO_extensions_length:
		return true;
	default:
		return false;
	}
}

/* use_srtp belongs to DTLS; OpenSSL refuses it in TLS before it calls back. */
static bool has_srtp(const struct clienthello *hello)
{
	const uint8_t *block = (const uint8_t *)hello->extensions.ptr;
	size_t at;

	for (at = 0; at < hello->extensions.len; at += 4u + (block[at + 2] << 8 | block[at + 3]))
		if ((block[at] << 8 | block[at + 1]) == TLSEXT_TYPE_use_srtp)
			return true;
	return false;
}

/* `hello` NULL: refused for `fault`. */
static void compare_with_openssl(const uint8_t *bytes, size_t len, const struct clienthello *hello,
	enum clienthello_fault fault)
{
	struct peer peer = {.hello = hello};
	SSL *ssl = SSL_new(ctx);
	BIO *in = BIO_new_mem_buf(bytes, (int)len), *out = BIO_new(BIO_s_null());

	must(ssl && in && out);
	SSL_set_app_data(ssl, &peer);
	SSL_set_bio(ssl, in, out);
	SSL_set_accept_state(ssl);
	SSL_do_handshake(ssl);
	SSL_free(ssl);
	ERR_clear_error();
	if (hello)
		must(peer.saw_hello || has_srtp(hello));
	else
		must(!peer.saw_hello || !is_agreed(fault));
}

/* In memory of exactly its length, so that a byte read beyond it is caught. */
static int parse_exact(const uint8_t *bytes, size_t len, enum clienthello_fault *ret_fault)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct clienthello hello;
	int r;

	must(copy != NULL);
	if (len)
		memcpy(copy, bytes, len);
	*ret_fault = CLIENTHELLO_OK;
	r = clienthello_parse(copy, len, scratch, &hello, ret_fault);
	free(copy);
	must((r == -EPROTO) == (*ret_fault != CLIENTHELLO_OK));
	must(r > 0 ? (size_t)r <= len : r == -EAGAIN || r == -EPROTO);
	return r;
}

static void check_beginnings(
	const uint8_t *bytes, size_t len, int verdict, enum clienthello_fault fault)
{
	size_t at, step = 1 + len / STEPS, start = len ? bytes[len - 1] % step : 0;
	enum clienthello_fault part_fault;
	bool was_final = false;
	int r;

	for (at = start; at <= len; at += step) {
		r = parse_exact(bytes, at, &part_fault);
		must(r == -EAGAIN ? !was_final : r == verdict && part_fault == fault);
		was_final = r != -EAGAIN;
	}
}

/* The message of one record in many. */
static void check_in_records(
	const uint8_t *message, size_t len, const struct clienthello *whole, const char *whole_ja4)
{
	static uint8_t stream[ONE_BYTE_RECORDS_MAX * 6];
	enum clienthello_fault fault;
	struct clienthello hello;
	char ja4[JA4_BYTES];
	size_t i;

	for (i = 0; i < len; i++)
		memcpy(stream + 6 * i, (uint8_t[]){0x16, 3, 1, 0, 1, message[i]}, 6);
	must(clienthello_parse(stream, 6 * len, scratch, &hello, &fault) == (int)(6 * len));
	must(hello.records == len && hello.message_len == len);
	must(slice_eq(hello.server_name, whole->server_name) && slice_eq(hello.alpn, whole->alpn));
	must(slice_eq(hello.extensions, whole->extensions));
	must(hello.version_max == whole->version_max && hello.has_psk == whole->has_psk);
	ja4_compute(&hello, 't', ja4);
	must(strcmp(ja4, whole_ja4) == 0);
}

static void check_sound(const uint8_t *bytes, size_t len, const struct clienthello *hello)
{
	char ja4[JA4_BYTES];

	ja4_compute(hello, 't', ja4);
	must(strlen(ja4) == JA4_BYTES - 1 && ja4[10] == '_' && ja4[23] == '_');
	must(hello->server_name.len <= CLIENTHELLO_SERVER_NAME_MAX);
	must(!memchr(
		hello->server_name.len ? hello->server_name.ptr : "x", 0, hello->server_name.len));
	if (hello->records == 1 && hello->message_len <= ONE_BYTE_RECORDS_MAX)
		check_in_records(bytes + 5, hello->message_len, hello, ja4);
	compare_with_openssl(bytes, len, hello, CLIENTHELLO_OK);
}

static void check(const uint8_t *bytes, size_t len)
{
	static uint8_t own_scratch[CLIENTHELLO_SCRATCH_BYTES];
	enum clienthello_fault fault = CLIENTHELLO_OK;
	struct clienthello hello;
	int r;

	r = clienthello_parse(bytes, len, own_scratch, &hello, &fault);
	if (r == -EAGAIN)
		must(len < CLIENTHELLO_STREAM_BYTES_MAX);
	check_beginnings(bytes, len, r, fault);
	if (r > 0)
		check_sound(bytes, len, &hello);
	else if (r == -EPROTO)
		compare_with_openssl(bytes, len, NULL, fault);
}

static void store(uint8_t *at, size_t number, size_t n)
{
	while (n--)
		*at++ = (uint8_t)(number >> (8 * n));
}

/* The same bytes as one record with one message; its block of extensions reaches to the end. */
static void repair(uint8_t *bytes, size_t len)
{
	size_t at = FIXED_BYTES;

	memcpy(bytes, "\x16\3\1", 3);
	store(bytes + 3, len - 5, 2);
	bytes[5] = 1;
	store(bytes + 6, len - HEADERS_BYTES, 3);
	bytes[HEADERS_BYTES] = 3;
	at += 1u + bytes[at]; /* session id */
	if (at + 2 > len)
		return;
	at += 2u + (size_t)(bytes[at] << 8 | bytes[at + 1]); /* cipher suites */
	if (at + 1 > len)
		return;
	at += 1u + bytes[at]; /* compression methods */
	if (at + 2 <= len)
		store(bytes + at, len - at - 2, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	check(data, size);
	if (size <= FIXED_BYTES || size - 5 > CLIENTHELLO_SCRATCH_BYTES)
		return 0;
	copy = malloc(size);
	must(copy != NULL);
	memcpy(copy, data, size);
	repair(copy, size);
	check(copy, size);
	free(copy);
	return 0;
}
