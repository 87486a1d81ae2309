/*
 * Records and keys against RFC 8448. The key schedule (RFC 8446 7.1) is computed here with the
 * primitives of OpenSSL alone, from the private keys and the messages of the traces; what
 * record.c makes of the traffic secrets must be the records of the traces, in both directions.
 */
#include "pki.h"
#include "rfc8448.h"

#include "core/attr.h"
#include "core/hash.h"
#include "tls/record.h"
#include <errno.h>
#include <linux/tls.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/sha.h>

enum { HASH_BYTES = 32, BYTES_MAX = 1024 };

struct bytes {
	uint8_t at[BYTES_MAX];
	size_t len;
};

static struct record_ciphers ciphers;

static struct bytes unhex(const char *text)
{
	struct bytes bytes = {.len = strlen(text) / 2};
	unsigned int value;

	assert_in_range(bytes.len, 1, sizeof(bytes.at));
	for (size_t i = 0; i < bytes.len; i++) {
		assert_int_equal(sscanf(text + 2 * i, "%2x", &value), 1);
		bytes.at[i] = (uint8_t)value;
	}
	return bytes;
}

static void expect_hex(const struct bytes *bytes, const char *text)
{
	struct bytes expected = unhex(text);

	assert_int_equal(bytes->len, expected.len);
	assert_memory_equal(bytes->at, expected.at, expected.len);
}

/* --- the key schedule, by OpenSSL's TLS13-KDF */
static struct bytes tls13_kdf(OSSL_PARAM params[], size_t len)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	struct bytes out = {.len = len};

	assert_int_equal(EVP_KDF_derive(ctx, out.at, len, params), 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return out;
}

static OSSL_PARAM octets(const char *name, const struct bytes *bytes)
{
	return OSSL_PARAM_construct_octet_string(name, (void *)bytes->at, bytes->len);
}

/* HKDF-Extract of `secret` under what `before` gives for "derived"; NULL: zeros. */
static struct bytes extract(const struct bytes *before, const struct bytes *secret)
{
	static const struct bytes prefix = {"tls13 ", 6}, derived = {"derived", 7};
	int mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
	OSSL_PARAM params[7], *p = params;

	*p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0);
	*p++ = octets(OSSL_KDF_PARAM_PREFIX, &prefix);
	*p++ = octets(OSSL_KDF_PARAM_LABEL, &derived);
	if (before)
		*p++ = octets(OSSL_KDF_PARAM_SALT, before);
	if (secret)
		*p++ = octets(OSSL_KDF_PARAM_KEY, secret);
	*p = OSSL_PARAM_construct_end();
	return tls13_kdf(params, HASH_BYTES);
}

static struct bytes expand(
	const struct bytes *secret, const char *label, const struct bytes *context, size_t len)
{
	static const struct bytes prefix = {"tls13 ", 6};
	struct bytes label_bytes = {.len = strlen(label)};
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	const char *hash = secret->len == 48 ? "SHA384" : "SHA256";
	OSSL_PARAM params[7], *p = params;

	memcpy(label_bytes.at, label, label_bytes.len);
	*p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
	*p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)hash, 0);
	*p++ = octets(OSSL_KDF_PARAM_KEY, secret);
	*p++ = octets(OSSL_KDF_PARAM_PREFIX, &prefix);
	*p++ = octets(OSSL_KDF_PARAM_LABEL, &label_bytes);
	if (context)
		*p++ = octets(OSSL_KDF_PARAM_DATA, context);
	*p = OSSL_PARAM_construct_end();
	return tls13_kdf(params, len);
}

static struct bytes x25519(const char *private_hex, const char *peer_private_hex)
{
	struct bytes own = unhex(private_hex), other = unhex(peer_private_hex), shared = {0};
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, own.at, own.len);
	EVP_PKEY *peer = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, other.at, other.len);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);

	shared.len = sizeof(shared.at);
	assert_int_equal(EVP_PKEY_derive_init(ctx), 1);
	assert_int_equal(EVP_PKEY_derive_set_peer(ctx, peer), 1);
	assert_int_equal(EVP_PKEY_derive(ctx, shared.at, &shared.len), 1);
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(peer);
	EVP_PKEY_free(key);
	return shared;
}

/* --- the messages of a handshake, and the hash of all of them so far */
struct transcript {
	uint8_t at[8 * BYTES_MAX];
	size_t len;
};

static void add(struct transcript *transcript, const uint8_t *messages, size_t len)
{
	assert_in_range(transcript->len + len, 1, sizeof(transcript->at));
	memcpy(transcript->at + transcript->len, messages, len);
	transcript->len += len;
}

static struct bytes hash_of(const struct transcript *transcript)
{
	struct bytes hash = {.len = HASH_BYTES};

	SHA256(transcript->at, transcript->len, hash.at);
	return hash;
}

/* A plain record's content. */
static void add_plain(struct transcript *transcript, const char *record_hex)
{
	struct bytes record = unhex(record_hex);

	add(transcript, record.at + RECORD_HEADER_BYTES, record.len - RECORD_HEADER_BYTES);
}

/* --- record.c */
/* As OpenSSL hands keys to a kernel; the secret comes by another way (context.c). */
static struct record_key key_of(const struct bytes *secret)
{
	struct tls12_crypto_info_aes_gcm_128 info = {
		.info = {TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128}};
	struct bytes key = expand(secret, "key", NULL, sizeof(info.key));
	struct bytes iv = expand(secret, "iv", NULL, 12);
	struct record_key made = {0};

	memcpy(info.key, key.at, sizeof(info.key));
	memcpy(info.salt, iv.at, sizeof(info.salt));
	memcpy(info.iv, iv.at + sizeof(info.salt), sizeof(info.iv));
	assert_int_equal(record_key_set(&ciphers, &made, &info), 0);
	made.secret_len = (uint8_t)secret->len;
	memcpy(made.secret, secret->at, secret->len);
	return made;
}

/* The record of the trace opens to what sealing turns into that record. */
static struct bytes open_and_seal(
	struct record_key *key, const char *record_hex, enum record_type type)
{
	struct bytes record = unhex(record_hex), content, again;
	struct record_key before = *key;
	struct iov_cursor from;
	struct iovec iov;
	uint8_t got_type;
	int len;

	assert_int_equal(record_length(record.at, record.len), record.len);
	len = record_open(&ciphers, key, record.at, record.len, content.at, &got_type);
	assert_in_range(len, 0, record.len);
	assert_int_equal(got_type, type);
	content.len = (size_t)len;
	iov = (struct iovec){content.at, content.len};
	from = (struct iov_cursor){&iov, 0};
	len = record_seal(&ciphers, &before, type, &from, content.len, again.at);
	assert_int_equal(len, record.len);
	assert_memory_equal(again.at, record.at, record.len);
	assert_int_equal(before.seq, key->seq);
	return content;
}

static void expect_trace_data(const struct bytes *content)
{
	assert_int_equal(content->len, 50);
	for (uint8_t i = 0; i < 50; i++)
		assert_int_equal(content->at[i], i);
}

static void expect_close_notify(const struct bytes *content)
{
	assert_int_equal(content->len, 2);
	assert_memory_equal(content->at, "\1\0", 2);
}

static void expect_keys(const struct record_key *key, const char *key_hex, const char *iv_hex)
{
	struct bytes expected_key = unhex(key_hex), expected_iv = unhex(iv_hex);

	assert_memory_equal(key->key, expected_key.at, expected_key.len);
	assert_memory_equal(key->iv, expected_iv.at, expected_iv.len);
}

/* Secrets of one trace. */
struct schedule {
	struct bytes client_handshake, server_handshake, master, client_data, server_data;
};

/* What the server's flight is sealed with, from the hellos. */
static struct bytes start(struct schedule *schedule, const struct bytes *psk,
	const struct bytes *shared, const struct transcript *transcript)
{
	struct bytes early = extract(NULL, psk), handshake = extract(&early, shared);
	struct bytes hash = hash_of(transcript);

	schedule->client_handshake = expand(&handshake, "c hs traffic", &hash, HASH_BYTES);
	schedule->server_handshake = expand(&handshake, "s hs traffic", &hash, HASH_BYTES);
	schedule->master = extract(&handshake, NULL);
	return early;
}

static void finish(struct schedule *schedule, const struct transcript *transcript)
{
	struct bytes hash = hash_of(transcript);

	schedule->client_data = expand(&schedule->master, "c ap traffic", &hash, HASH_BYTES);
	schedule->server_data = expand(&schedule->master, "s ap traffic", &hash, HASH_BYTES);
}

/* Section 3 up to the application keys. */
static void simple_handshake(struct schedule *schedule, struct transcript *transcript)
{
	struct bytes shared = x25519(s3_client_private, s3_server_private), messages;
	struct record_key key;

	add_plain(transcript, s3_client_hello);
	add_plain(transcript, s3_server_hello);
	start(schedule, NULL, &shared, transcript);
	key = key_of(&schedule->server_handshake);
	messages = open_and_seal(&key, s3_server_flight, RECORD_HANDSHAKE);
	add(transcript, messages.at, messages.len);
	finish(schedule, transcript);
}

/* RFC 8446 4.6.1: the PSK of the ticket that the server gives in section 3. */
static struct bytes resumption_psk(
	const struct schedule *schedule, struct transcript *transcript, const struct bytes *ticket)
{
	struct record_key key = key_of(&schedule->client_handshake);
	struct bytes finished = open_and_seal(&key, s3_client_finished, RECORD_HANDSHAKE);
	struct bytes hash, resumption, nonce = {.len = ticket->at[12]};

	add(transcript, finished.at, finished.len);
	hash = hash_of(transcript);
	resumption = expand(&schedule->master, "res master", &hash, HASH_BYTES);
	memcpy(nonce.at, ticket->at + 13, nonce.len);
	return expand(&resumption, "resumption", &nonce, HASH_BYTES);
}

static void test_simple_handshake(void **state)
{
	struct transcript transcript = {0};
	struct schedule schedule;
	struct record_key client, server;
	struct bytes content;

	simple_handshake(&schedule, &transcript);
	/* The document's words for them, "PRK" of "write traffic keys for application data". */
	expect_hex(&schedule.client_data,
		"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5");
	expect_hex(&schedule.server_data,
		"a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643");
	client = key_of(&schedule.client_data);
	server = key_of(&schedule.server_data);
	expect_keys(&client, "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9");
	expect_keys(&server, "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984");
	content = open_and_seal(&server, s3_server_ticket, RECORD_HANDSHAKE);
	assert_int_equal(content.at[0], 4); /* NewSessionTicket */
	content = open_and_seal(&client, s3_client_data, RECORD_DATA);
	expect_trace_data(&content);
	content = open_and_seal(&server, s3_server_data, RECORD_DATA);
	expect_trace_data(&content);
	content = open_and_seal(&client, s3_client_alert, RECORD_ALERT);
	expect_close_notify(&content);
	content = open_and_seal(&server, s3_server_alert, RECORD_ALERT);
	expect_close_notify(&content);
	assert_int_equal(client.seq, 2);
	assert_int_equal(server.seq, 3);
}

static void test_resumed_handshake(void **state)
{
	struct transcript first = {0}, transcript = {0};
	struct bytes shared = x25519(s4_client_private, s4_server_private), hash;
	struct bytes psk, early, early_data, content;
	struct record_key key, client, server;
	struct schedule schedule;

	simple_handshake(&schedule, &first);
	key = key_of(&schedule.server_data);
	content = open_and_seal(&key, s3_server_ticket, RECORD_HANDSHAKE);
	psk = resumption_psk(&schedule, &first, &content);
	expect_hex(&psk, "4ecd0eb6ec3b4d87f5d6028f922ca4c5851a277fd41311c9e62d2c9492e1c4f3");

	add_plain(&transcript, s4_client_hello);
	hash = hash_of(&transcript);
	early = extract(NULL, &psk);
	early_data = expand(&early, "c e traffic", &hash, HASH_BYTES);
	key = key_of(&early_data);
	content = open_and_seal(&key, s4_early_data, RECORD_DATA);
	assert_int_equal(content.len, 6);
	assert_memory_equal(content.at, "ABCDEF", 6);

	add_plain(&transcript, s4_server_hello);
	start(&schedule, &psk, &shared, &transcript);
	key = key_of(&schedule.server_handshake);
	content = open_and_seal(&key, s4_server_flight, RECORD_HANDSHAKE);
	add(&transcript, content.at, content.len);
	finish(&schedule, &transcript);
	expect_hex(&schedule.client_data,
		"2abbf2b8e381d23dbebe1dd2a7d16a8bf484cb4950d23fb7fb7fa8547062d9a1");
	expect_hex(&schedule.server_data,
		"cc21f1bf8feb7dd5fa505bd9c4b468a9984d554a993dc49e6d285598fb672691");
	client = key_of(&schedule.client_data);
	server = key_of(&schedule.server_data);
	content = open_and_seal(&client, s4_client_data, RECORD_DATA);
	expect_trace_data(&content);
	content = open_and_seal(&server, s4_server_data, RECORD_DATA);
	expect_trace_data(&content);
	content = open_and_seal(&client, s4_client_alert, RECORD_ALERT);
	expect_close_notify(&content);
	content = open_and_seal(&server, s4_server_alert, RECORD_ALERT);
	expect_close_notify(&content);
}

/* Records of a trace open at their own sequence number and in their own direction only. */
static void test_sequence_and_direction(void **state)
{
	struct bytes record = unhex(s3_server_data), content;
	struct transcript transcript = {0};
	struct schedule schedule;
	struct record_key client, server;
	uint8_t type;

	simple_handshake(&schedule, &transcript);
	client = key_of(&schedule.client_data);
	server = key_of(&schedule.server_data);
	for (uint64_t seq = 0; seq < 4; seq++) {
		server.seq = client.seq = seq;
		assert_int_equal(
			record_open(&ciphers, &client, record.at, record.len, content.at, &type),
			-EBADMSG);
		assert_int_equal(client.seq, seq);
		assert_int_equal(
			record_open(&ciphers, &server, record.at, record.len, content.at, &type),
			seq == 1 ? 50 : -EBADMSG);
		assert_int_equal(server.seq, seq == 1 ? 2 : seq);
	}
}

/* --- KeyUpdate (RFC 8446 7.2): the document has none; OpenSSL computes what it must be */
static void update_case(uint16_t cipher_type, size_t key_bytes, size_t secret_bytes)
{
	union {
		struct tls_crypto_info info;
		struct tls12_crypto_info_aes_gcm_128 gcm128;
		struct tls12_crypto_info_aes_gcm_256 gcm256;
		struct tls12_crypto_info_chacha20_poly1305 chacha;
	} crypto = {.info = {TLS_1_3_VERSION, cipher_type}};
	struct bytes secret = {.len = secret_bytes}, key, iv;
	struct record_key updated = {0};
	uint64_t id;
	int i;

	assert_int_equal(record_key_set(&ciphers, &updated, &crypto), 0);
	hash_random(secret.at, secret.len);
	memcpy(updated.secret, secret.at, secret.len);
	updated.secret_len = (uint8_t)secret.len;
	for (i = 0; i < 5; i++) {
		updated.seq = 77;
		id = updated.id;
		assert_int_equal(record_key_update(&ciphers, &updated), 0);
		secret = expand(&secret, "traffic upd", NULL, secret.len);
		key = expand(&secret, "key", NULL, key_bytes);
		iv = expand(&secret, "iv", NULL, sizeof(updated.iv));
		assert_memory_equal(updated.secret, secret.at, secret.len);
		assert_memory_equal(updated.key, key.at, key.len);
		assert_memory_equal(updated.iv, iv.at, iv.len);
		assert_int_equal(updated.seq, 0);
		assert_int_not_equal(updated.id, id);
	}
}

static void test_key_update(void **state)
{
	struct transcript transcript = {0};
	struct schedule schedule;
	struct record_key client;
	struct bytes next, key;

	update_case(TLS_CIPHER_AES_GCM_128, 16, 32);
	update_case(TLS_CIPHER_AES_GCM_256, 32, 48);
	update_case(TLS_CIPHER_CHACHA20_POLY1305, 32, 32);
	simple_handshake(&schedule, &transcript);
	client = key_of(&schedule.client_data);
	assert_int_equal(record_key_update(&ciphers, &client), 0);
	next = expand(&schedule.client_data, "traffic upd", NULL, HASH_BYTES);
	key = expand(&next, "key", NULL, 16);
	assert_memory_equal(client.key, key.at, key.len);
	client.secret_len = 0;
	assert_int_equal(record_key_update(&ciphers, &client), -EOPNOTSUPP);
}

static int setup(void **state)
{
	return record_ciphers_init(&ciphers);
}

static int teardown(void **state)
{
	record_ciphers_fini(&ciphers);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_simple_handshake),
		cmocka_unit_test(test_resumed_handshake),
		cmocka_unit_test(test_sequence_and_direction),
		cmocka_unit_test(test_key_update),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
