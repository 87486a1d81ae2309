/*
 * Records against OpenSSL as the peer, in every cipher suite of the policy and in both roles: the
 * keys are taken out of one of our streams after its handshake, and records then go through memory
 * BIOs by hand. Records that OpenSSL does not make are made by craft(), which shares no code with
 * record.c.
 */
#include "tls_pair.h"

#include "core/hash.h"
#include "tls/stream_state.h"
#include <arpa/inet.h>

enum { RECORD_MAX = RECORD_HEADER_BYTES + RECORD_BODY_MAX + 64, UPDATES = 100 };

static const struct suite {
	const char *name13, *name12;
} suites[] = {
	{"TLS_AES_128_GCM_SHA256", NULL},
	{"TLS_AES_256_GCM_SHA384", NULL},
	{"TLS_CHACHA20_POLY1305_SHA256", NULL},
	{NULL, "ECDHE-ECDSA-AES128-GCM-SHA256"},
	{NULL, "ECDHE-RSA-AES128-GCM-SHA256"},
	{NULL, "ECDHE-ECDSA-AES256-GCM-SHA384"},
	{NULL, "ECDHE-RSA-AES256-GCM-SHA384"},
	{NULL, "ECDHE-ECDSA-CHACHA20-POLY1305"},
	{NULL, "ECDHE-RSA-CHACHA20-POLY1305"},
};

/* One connection after its handshake: our keys, and the peer behind two memory BIOs. */
static struct record_key rx, tx;
static struct peer peer;
static BIO *to_peer, *from_peer;
static uint8_t record[RECORD_MAX], content[RECORD_PLAIN_MAX], expected[RECORD_PLAIN_MAX];

static void limit_peer(const struct suite *suite)
{
	int version = suite->name13 ? TLS1_3_VERSION : TLS1_2_VERSION;

	assert_true(SSL_CTX_set_min_proto_version(peer.ctx, version));
	assert_true(SSL_CTX_set_max_proto_version(peer.ctx, version));
	assert_true(SSL_CTX_set_ciphersuites(peer.ctx, suite->name13 ? suite->name13 : ""));
	if (suite->name12)
		assert_true(SSL_CTX_set_cipher_list(peer.ctx, suite->name12));
}

static void peer_is_server(int fd, const struct suite *suite)
{
	const char *kind = suite->name12 && strstr(suite->name12, "RSA-AES") == NULL &&
					   strstr(suite->name12, "ECDHE-RSA") == NULL
				   ? "ecdsa"
				   : "rsa";
	char crt[16], key[16];

	snprintf(crt, sizeof(crt), "%s.crt", kind);
	snprintf(key, sizeof(key), "%s.key", kind);
	peer.ctx = SSL_CTX_new(TLS_server_method());
	peer.fd = fd;
	SSL_CTX_set_num_tickets(peer.ctx, 0);
	assert_true(SSL_CTX_use_certificate_file(peer.ctx, pki_path(&pki, crt), SSL_FILETYPE_PEM));
	assert_true(SSL_CTX_use_PrivateKey_file(peer.ctx, pki_path(&pki, key), SSL_FILETYPE_PEM));
	limit_peer(suite);
	peer.ssl = SSL_new(peer.ctx);
	SSL_set_fd(peer.ssl, fd);
	SSL_set_accept_state(peer.ssl);
}

static struct stream *connect_ours(bool we_are_server, const struct suite *suite)
{
	int fds[2];

	if (we_are_server) {
		serve_fd(fds);
		peer_open(&peer, fds[1]);
		limit_peer(suite);
		peer_start(&peer);
		return s;
	}
	open_pair(fds, 0);
	s = tls_stream_client(tls, client, fds[0], "www.test", false);
	assert_non_null(s);
	s->watch.ready = no_events;
	peer_is_server(fds[1], suite);
	return s;
}

static void open_ends(bool we_are_server, const struct suite *suite)
{
	struct tls_stream *ts = tls_stream_of(connect_ours(we_are_server, suite));
	struct tls_stream_facts facts;

	assert_int_equal(peer_shake_hands(&peer), 0);
	tls_stream_facts(s, &facts);
	assert_string_equal(facts.version, suite->name13 ? "TLSv1.3" : "TLSv1.2");
	assert_int_equal(SSL_version(peer.ssl), suite->name13 ? TLS1_3_VERSION : TLS1_2_VERSION);
	rx = ts->rx;
	tx = ts->tx;
	assert_true(rx.id && tx.id);
	to_peer = BIO_new(BIO_s_mem());
	from_peer = BIO_new(BIO_s_mem());
	SSL_set_bio(peer.ssl, to_peer, from_peer); /* owns them */
}

static void close_ends(void)
{
	peer_close(&peer);
	s->ops->close(s, true);
	s = NULL;
	turn();
}

/* Every suite, we as the server and as the client. */
static void for_each_suite(void (*check)(void))
{
	server = new_server(&(struct tls_server_spec){0});
	client = new_client(&(struct tls_client_spec){0});
	for (size_t i = 0; i < 2 * array_len(suites); i++) {
		open_ends(i % 2, &suites[i / 2]);
		check();
		close_ends();
	}
}

static void fill_random(uint8_t *bytes, size_t len)
{
	if (len)
		hash_random(bytes, len);
}

static size_t random_below(size_t n)
{
	uint32_t value;

	hash_random(&value, sizeof(value));
	return value % n;
}

/* --- one record each way */
/* Seals from up to four pieces, cut at random, some of them empty. */
static int seal(struct record_key *key, enum record_type type, const uint8_t *bytes, size_t len)
{
	size_t cut1 = random_below(len + 1), cut2 = cut1 + random_below(len - cut1 + 1);
	struct iovec iov[] = {
		{(void *)bytes, cut1},
		{NULL, 0},
		{(void *)(bytes + cut1), cut2 - cut1},
		{(void *)(bytes + cut2), len - cut2},
	};
	struct iov_cursor from = {iov, 0};

	return record_seal(&tls->ciphers, key, type, &from, len, record);
}

static void send_to_peer(enum record_type type, const uint8_t *bytes, size_t len)
{
	int sealed = seal(&tx, type, bytes, len);

	assert_in_range(sealed, len, len + RECORD_OVERHEAD_MAX);
	assert_int_equal(record_length(record, (size_t)sealed), sealed);
	assert_int_equal(BIO_write(to_peer, record, sealed), sealed);
}

static void expect_at_peer(const uint8_t *bytes, size_t len)
{
	assert_int_equal(SSL_read(peer.ssl, content, sizeof(content)), len);
	assert_memory_equal(content, bytes, len);
}

/* The next record that the peer wrote, into `record`. */
static size_t take_from_peer(void)
{
	int len;

	assert_int_equal(BIO_read(from_peer, record, RECORD_HEADER_BYTES), RECORD_HEADER_BYTES);
	len = record_length(record, RECORD_HEADER_BYTES);
	assert_in_range(len, RECORD_HEADER_BYTES + 1, RECORD_MAX);
	assert_int_equal(
		BIO_read(from_peer, record + RECORD_HEADER_BYTES, len - RECORD_HEADER_BYTES),
		len - RECORD_HEADER_BYTES);
	return (size_t)len;
}

static void expect_content(
	size_t record_len, enum record_type type, const uint8_t *bytes, size_t len)
{
	uint8_t got_type = 0;

	assert_in_range(record_room(&rx, record_len), len, sizeof(content));
	assert_int_equal(
		record_open(&tls->ciphers, &rx, record, record_len, content, &got_type), len);
	assert_int_equal(got_type, type);
	assert_memory_equal(content, bytes, len);
}

static void peer_sends(const uint8_t *bytes, size_t len)
{
	assert_int_equal(SSL_write(peer.ssl, bytes, (int)len), len);
	expect_content(take_from_peer(), RECORD_DATA, bytes, len);
}

static void both_ways(size_t len)
{
	fill_random(expected, len);
	send_to_peer(RECORD_DATA, expected, len);
	expect_at_peer(expected, len);
	peer_sends(expected, len);
}

static void check_sizes(void)
{
	static const size_t sizes[] = {
		1, 2, 15, 16, 17, 63, 64, 65, 1000, 2047, 2048, 2049, 4096, 16383, 16384};

	for (size_t i = 0; i < array_len(sizes); i++)
		both_ways(sizes[i]);
	for (int i = 0; i < 20; i++)
		both_ways(1 + random_below(RECORD_PLAIN_MAX));
}

static void test_sizes(void **state)
{
	for_each_suite(check_sizes);
}

static void check_one_byte_records(void)
{
	for (int i = 0; i < 300; i++)
		both_ways(1);
}

static void test_one_byte_records(void **state)
{
	for_each_suite(check_one_byte_records);
}

/* The sequence of many records in one piece, as a socket gives them. */
static void check_runs(void)
{
	size_t sent = 0, got = 0, len;
	int r;

	fill_random(expected, sizeof(expected));
	while (sent < sizeof(expected)) {
		len = 1 + random_below(700);
		len = len < sizeof(expected) - sent ? len : sizeof(expected) - sent;
		send_to_peer(RECORD_DATA, expected + sent, len);
		sent += len;
	}
	while (got < sent) {
		r = SSL_read(peer.ssl, content + got, (int)(1 + random_below(5000)));
		assert_in_range(r, 1, sent - got);
		got += (size_t)r;
	}
	assert_memory_equal(content, expected, sent);
}

static void test_runs(void **state)
{
	for_each_suite(check_runs);
}

static void check_alerts(void)
{
	assert_int_equal(SSL_shutdown(peer.ssl), 0);
	expect_content(take_from_peer(), RECORD_ALERT, (const uint8_t *)"\1\0", 2);
	send_to_peer(RECORD_DATA, (const uint8_t *)"last", 4);
	send_to_peer(RECORD_ALERT, (const uint8_t *)"\1\0", 2);
	expect_at_peer((const uint8_t *)"last", 4);
	assert_int_equal(SSL_read(peer.ssl, content, 1), 0);
	assert_int_equal(SSL_get_shutdown(peer.ssl), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

static void test_alerts(void **state)
{
	for_each_suite(check_alerts);
}

static void check_fatal_alert(void)
{
	ERR_clear_error();
	send_to_peer(RECORD_ALERT, (const uint8_t *)"\2\24", 2); /* bad_record_mac */
	assert_in_range(SSL_read(peer.ssl, content, 1) + 1, 0, 1);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
	ERR_clear_error();
}

static void test_fatal_alert(void **state)
{
	for_each_suite(check_fatal_alert);
}

/* --- empty records and padding */
static void check_empty_records(void)
{
	for (int i = 0; i < 30; i++)
		send_to_peer(RECORD_DATA, (const uint8_t *)"", 0);
	send_to_peer(RECORD_DATA, (const uint8_t *)"x", 1);
	expect_at_peer((const uint8_t *)"x", 1);
}

static void test_empty_records(void **state)
{
	for_each_suite(check_empty_records);
}

/* A record as the RFCs say (5246 6.2.3.3, 5288 3, 7905 2, 8446 5.2), under `key` and its sequence
 * number, which stays. For TLS 1.3 `padding` bytes follow the type; type 0 is padding, too. */
static size_t craft(const struct record_key *key, uint8_t type, const uint8_t *bytes, size_t len,
	size_t padding, uint8_t *out)
{
	static const char *const names[] = {"AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305"};
	static uint8_t inner[RECORD_MAX];
	uint8_t *nonce = (uint8_t[12]){0}, aad[13], *body = out + 5;
	bool is_explicit = !key->is_tls13 && key->cipher != RECORD_CHACHA20;
	size_t inner_len = len, body_len, aad_len = 5;
	EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, names[key->cipher], NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int done, i;

	memcpy(inner, bytes, len);
	if (key->is_tls13) {
		inner[inner_len++] = type;
		memset(inner + inner_len, 0, padding);
		inner_len += padding;
	}
	memcpy(nonce, key->iv, 12);
	for (i = 0; i < 8; i++) {
		aad[i] = (uint8_t)(key->seq >> (56 - 8 * i));
		if (is_explicit)
			*body++ = nonce[4 + i] =
				(uint8_t)((key->explicit_start + key->seq) >> (56 - 8 * i));
		else
			nonce[4 + i] ^= aad[i];
	}
	body_len = (size_t)(body - out) - 5 + inner_len + 16;
	memcpy(out,
		(uint8_t[]){key->is_tls13 ? 23 : type, 3, 3, (uint8_t)(body_len >> 8),
			(uint8_t)body_len},
		5);
	memcpy(aad + 8, out, 3);
	aad[11] = (uint8_t)(inner_len >> 8);
	aad[12] = (uint8_t)inner_len;
	if (key->is_tls13)
		memcpy(aad, out, 5);
	else
		aad_len = 13;
	assert_true(EVP_EncryptInit_ex2(ctx, cipher, key->key, nonce, NULL));
	assert_true(EVP_EncryptUpdate(ctx, NULL, &done, aad, (int)aad_len));
	assert_true(EVP_EncryptUpdate(ctx, body, &done, inner, (int)inner_len));
	assert_true(EVP_EncryptFinal_ex(ctx, body + inner_len, &done));
	assert_true(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, body + inner_len));
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(cipher);
	return 5 + body_len;
}

/* What the next record of this making opens to: its length, or the error. */
static int crafted(uint8_t type, size_t len, size_t padding)
{
	static uint8_t out[RECORD_MAX];
	uint64_t seq = rx.seq;
	uint8_t got_type;
	size_t made;
	int r;

	fill_random(expected, len < sizeof(expected) ? len : sizeof(expected));
	made = craft(&rx, type, expected, len, padding, record);
	r = record_open(&tls->ciphers, &rx, record, made, out, &got_type);
	if (r < 0)
		return r;
	assert_int_equal(got_type, type);
	assert_memory_equal(out, expected, (size_t)r);
	assert_int_equal(rx.seq, seq + 1);
	return r;
}

static void check_padding(void)
{
	static const size_t paddings[] = {0, 1, 255, 256, 4000};
	uint64_t seq_of_peer = rx.seq;

	for (size_t i = 0; i < array_len(paddings) && rx.is_tls13; i++) {
		assert_int_equal(crafted(RECORD_DATA, 100, paddings[i]), 100);
		assert_int_equal(crafted(RECORD_DATA, 0, paddings[i]), 0);
		assert_int_equal(crafted(RECORD_ALERT, 2, paddings[i]), 2);
	}
	assert_int_equal(crafted(RECORD_DATA, 0, 0), 0);
	assert_int_equal(crafted(RECORD_DATA, RECORD_PLAIN_MAX, 0), RECORD_PLAIN_MAX);
	if (!rx.is_tls13)
		return;
	assert_int_equal(crafted(RECORD_DATA, 1, RECORD_PLAIN_MAX - 1), 1);
	assert_int_equal(crafted(RECORD_DATA, 0, RECORD_PLAIN_MAX), 0);
	rx.seq = seq_of_peer;
	assert_true(SSL_set_block_padding(peer.ssl, 4096));
	for (size_t len = 1; len < 9000; len += 997) {
		fill_random(expected, len);
		peer_sends(expected, len);
	}
}

static void test_padding(void **state)
{
	for_each_suite(check_padding);
}

static void check_oversize(void)
{
	static uint8_t bytes[RECORD_PLAIN_MAX + 300], out[RECORD_MAX];
	size_t len = craft(&rx, RECORD_DATA, bytes, RECORD_PLAIN_MAX + 1, 0, record);
	uint8_t type;

	assert_int_equal(record_open(&tls->ciphers, &rx, record, len, out, &type), -EMSGSIZE);
	if (rx.is_tls13) {
		assert_int_equal(crafted(RECORD_DATA, RECORD_PLAIN_MAX, 1), -EMSGSIZE);
		assert_int_equal(crafted(RECORD_DATA, 1, RECORD_PLAIN_MAX), -EMSGSIZE);
	}
	assert_int_equal(record_length((uint8_t[]){23, 3, 3, 0x41, 0x00}, 5), 5 + 16384 + 256);
	assert_int_equal(record_length((uint8_t[]){23, 3, 3, 0x41, 0x01}, 5), -EMSGSIZE);
	assert_int_equal(record_length((uint8_t[]){23, 3, 3, 0xff, 0xff}, 5), -EMSGSIZE);
	assert_int_equal(record_length((uint8_t[]){23, 2, 3, 0, 40}, 5), -EBADMSG);
	assert_int_equal(record_length((uint8_t[]){23, 3, 3, 0, 40}, 4), 0);
	/* The peer agrees. */
	len = craft(&tx, RECORD_DATA, bytes, RECORD_PLAIN_MAX + 1, 0, record);
	assert_int_equal(BIO_write(to_peer, record, (int)len), len);
	assert_int_equal(SSL_read(peer.ssl, out, sizeof(out)), -1);
	assert_int_equal(SSL_get_error(peer.ssl, -1), SSL_ERROR_SSL);
	ERR_clear_error();
}

static void test_oversize(void **state)
{
	for_each_suite(check_oversize);
}

/* TLS 1.3: no type at all, or a record that is not encrypted. */
static void check_no_type(void)
{
	uint8_t type;
	size_t len;

	if (!rx.is_tls13)
		return;
	len = craft(&rx, 0, (const uint8_t *)"\0\0\0", 3, 10, record);
	assert_int_equal(record_open(&tls->ciphers, &rx, record, len, content, &type), -EPROTO);
	memcpy(record, "\25\3\3\0\2\1\0", 7); /* close_notify that anybody could make */
	assert_int_equal(record_open(&tls->ciphers, &rx, record, 7, content, &type), -EPROTO);
	memcpy(record, "\24\3\3\0\1\1", 6);
	assert_int_equal(record_open(&tls->ciphers, &rx, record, 6, content, &type), -EPROTO);
}

static void test_no_type(void **state)
{
	for_each_suite(check_no_type);
}

/* --- sequence numbers */
static void check_sequence_numbers(void)
{
	static const uint64_t numbers[] = {0, 1, 255, 256, 65535, 1u << 24, UINT32_MAX,
		(uint64_t)UINT32_MAX + 1, (uint64_t)1 << 48, INT64_MAX, UINT64_MAX - 1};
	static uint8_t other[RECORD_MAX];
	size_t len;

	for (size_t i = 0; i < array_len(numbers); i++) {
		tx.seq = rx.seq = numbers[i];
		len = craft(&tx, RECORD_DATA, (const uint8_t *)"number", 6, 0, other);
		assert_int_equal(seal(&tx, RECORD_DATA, (const uint8_t *)"number", 6), len);
		assert_memory_equal(record, other, len);
		assert_int_equal(tx.seq, numbers[i] + 1);
		assert_int_equal(crafted(RECORD_DATA, 6, 0), 6);
	}
	/* The last number is never used: after it the nonces would begin again. */
	assert_int_equal(tx.seq, UINT64_MAX);
	assert_int_equal(seal(&tx, RECORD_DATA, (const uint8_t *)"x", 1), -EIO);
	assert_int_equal(crafted(RECORD_DATA, 6, 0), -EBADMSG);
	assert_int_equal(rx.seq, UINT64_MAX);
}

static void test_sequence_numbers(void **state)
{
	for_each_suite(check_sequence_numbers);
}

static void check_key_limits(void)
{
	bool is_gcm = tx.cipher != RECORD_CHACHA20;

	tx.seq = 0;
	assert_false(record_key_is_old(&tx));
	tx.seq = (1u << 24) - 1;
	assert_false(record_key_is_old(&tx));
	tx.seq = 1u << 24;
	assert_int_equal(record_key_is_old(&tx), is_gcm);
	assert_false(record_key_is_used_up(&tx));
	tx.seq = 23726565; /* 2^24.5 is 23726566.4 */
	assert_false(record_key_is_used_up(&tx));
	tx.seq++;
	assert_int_equal(record_key_is_used_up(&tx), is_gcm);
}

static void test_key_limits(void **state)
{
	for_each_suite(check_key_limits);
}

/* A replayed, swapped or lost record does not open. */
static void check_order(void)
{
	static uint8_t first[64], second[64];
	size_t first_len, second_len;
	uint8_t type;

	first_len = craft(&rx, RECORD_DATA, (const uint8_t *)"first", 5, 0, first);
	rx.seq++;
	second_len = craft(&rx, RECORD_DATA, (const uint8_t *)"second", 6, 0, second);
	rx.seq--;
	assert_int_equal(
		record_open(&tls->ciphers, &rx, second, second_len, content, &type), -EBADMSG);
	assert_int_equal(record_open(&tls->ciphers, &rx, first, first_len, content, &type), 5);
	assert_int_equal(
		record_open(&tls->ciphers, &rx, first, first_len, content, &type), -EBADMSG);
	assert_int_equal(record_open(&tls->ciphers, &rx, second, second_len, content, &type), 6);
}

static void test_order(void **state)
{
	for_each_suite(check_order);
}

/* --- damage */
/* Every bit of a record matters, and a record that failed changes nothing. */
static void check_damage(void)
{
	static const char text[] = "the content of a record";
	uint8_t type;
	size_t len, bit;
	int r;

	len = craft(&rx, RECORD_DATA, (const uint8_t *)text, sizeof(text), 3, record);
	for (bit = 0; bit < 8 * len; bit++) {
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* Another length is another record: what is tried is one of the right length. */
		if (record_length(record, len) == (int)len) {
			r = record_open(&tls->ciphers, &rx, record, len, content, &type);
			assert_int_equal(r, rx.is_tls13 && bit < 8 ? -EPROTO : -EBADMSG);
		}
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 1; cut <= len - RECORD_HEADER_BYTES; cut++) {
		uint16_t body = htons((uint16_t)(len - cut - RECORD_HEADER_BYTES));

		memcpy(record + 3, &body, 2);
		r = record_open(&tls->ciphers, &rx, record, len - cut, content, &type);
		assert_int_equal(r, -EBADMSG);
	}
	len = craft(&rx, RECORD_DATA, (const uint8_t *)text, sizeof(text), 3, record);
	expect_content(len, RECORD_DATA, (const uint8_t *)text, sizeof(text));
}

static void test_damage(void **state)
{
	for_each_suite(check_damage);
}

/* --- KeyUpdate */
static const uint8_t update_asks[] = {24, 0, 0, 1, 1}, update_tells[] = {24, 0, 0, 1, 0};

static void peer_updates(int kind)
{
	const uint8_t *message = kind == SSL_KEY_UPDATE_REQUESTED ? update_asks : update_tells;

	assert_true(SSL_key_update(peer.ssl, kind));
	assert_int_equal(SSL_do_handshake(peer.ssl), 1);
	expect_content(take_from_peer(), RECORD_HANDSHAKE, message, sizeof(update_asks));
	assert_int_equal(record_key_update(&tls->ciphers, &rx), 0);
}

static void we_update(const uint8_t *message)
{
	send_to_peer(RECORD_HANDSHAKE, message, sizeof(update_asks));
	assert_int_equal(record_key_update(&tls->ciphers, &tx), 0);
}

static void check_key_updates(void)
{
	if (!rx.is_tls13) {
		assert_int_equal(record_key_update(&tls->ciphers, &rx), -EOPNOTSUPP);
		assert_int_equal(record_key_update(&tls->ciphers, &tx), -EOPNOTSUPP);
		return;
	}
	for (int i = 0; i < UPDATES; i++) {
		peer_updates(SSL_KEY_UPDATE_NOT_REQUESTED);
		we_update(update_tells);
		both_ways(1 + random_below(100));
		peer_updates(SSL_KEY_UPDATE_REQUESTED);
		we_update(update_tells);
		both_ways(1 + random_below(100));
	}
	we_update(update_asks);
	send_to_peer(RECORD_DATA, (const uint8_t *)"x", 1);
	expect_at_peer((const uint8_t *)"x", 1);
	fill_random(expected, 20);
	assert_int_equal(SSL_write(peer.ssl, expected, 20), 20); /* with its answer in front */
	expect_content(take_from_peer(), RECORD_HANDSHAKE, update_tells, sizeof(update_tells));
	assert_int_equal(record_key_update(&tls->ciphers, &rx), 0);
	expect_content(take_from_peer(), RECORD_DATA, expected, 20);
}

static void test_key_updates(void **state)
{
	for_each_suite(check_key_updates);
}

/* --- contexts belong to the thread: many keys take turns with them */
static void check_turns(void)
{
	struct record_key keys[3] = {rx, rx, rx};
	static uint8_t sealed[3][64];
	uint8_t type;
	size_t len;

	for (uint64_t i = 0; i < 3; i++) {
		fill_random(keys[i].key, sizeof(keys[i].key));
		keys[i].id = ++tls->ciphers.last_id;
		keys[i].seq = 0;
	}
	for (int i = 0; i < 50; i++) {
		size_t which = random_below(3);
		struct record_key *key = &keys[which];

		len = craft(key, RECORD_DATA, (const uint8_t *)"turn", 4, 0, sealed[which]);
		if (random_below(2)) { /* one that fails leaves nothing behind */
			sealed[which][len - 1] ^= 1;
			assert_int_equal(
				record_open(&tls->ciphers, key, sealed[which], len, content, &type),
				-EBADMSG);
			sealed[which][len - 1] ^= 1;
		}
		assert_int_equal(seal(key, RECORD_DATA, (const uint8_t *)"turn", 4), len);
		assert_memory_equal(record, sealed[which], len);
		key->seq--;
		assert_int_equal(
			record_open(&tls->ciphers, key, sealed[which], len, content, &type), 4);
	}
	/* No context keeps a key that is gone. */
	for (int i = 0; i < 3; i++)
		record_key_clear(&tls->ciphers, &keys[i]);
	assert_int_equal(tls->ciphers.seal_key[rx.cipher], 0);
	assert_int_equal(tls->ciphers.open_key[rx.cipher], 0);
	assert_memory_equal(&keys[0], &(struct record_key){0}, sizeof(keys[0]));
}

static void test_turns(void **state)
{
	for_each_suite(check_turns);
}

/* Opened where it lies, as for a reader that wants little. */
static void check_in_place(void)
{
	static const size_t sizes[] = {0, 1, 100, RECORD_PLAIN_MAX};
	uint8_t *place = record + record_content_offset(&rx), type;
	size_t len;

	for (size_t i = 0; i < array_len(sizes); i++) {
		fill_random(expected, sizes[i]);
		len = craft(&rx, RECORD_DATA, expected, sizes[i], 0, record);
		assert_int_equal(
			record_open(&tls->ciphers, &rx, record, len, place, &type), sizes[i]);
		assert_memory_equal(place, expected, sizes[i]);
	}
}

static void test_in_place(void **state)
{
	for_each_suite(check_in_place);
}

/* The explicit nonces of TLS 1.2 (RFC 5288) must not begin at what the peer must not know. */
static void check_explicit_start(void)
{
	uint32_t high = (uint32_t)(tx.explicit_start >> 32), salt;

	if (tx.is_tls13 || tx.cipher == RECORD_CHACHA20)
		return;
	memcpy(&salt, rx.iv, sizeof(salt));
	assert_int_not_equal(high, ntohl(salt));
	memcpy(&salt, tx.iv, sizeof(salt));
	assert_int_not_equal(high, ntohl(salt));
}

static void test_explicit_start(void **state)
{
	for_each_suite(check_explicit_start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_sizes, close_all),
		cmocka_unit_test_teardown(test_one_byte_records, close_all),
		cmocka_unit_test_teardown(test_runs, close_all),
		cmocka_unit_test_teardown(test_alerts, close_all),
		cmocka_unit_test_teardown(test_fatal_alert, close_all),
		cmocka_unit_test_teardown(test_empty_records, close_all),
		cmocka_unit_test_teardown(test_padding, close_all),
		cmocka_unit_test_teardown(test_oversize, close_all),
		cmocka_unit_test_teardown(test_no_type, close_all),
		cmocka_unit_test_teardown(test_sequence_numbers, close_all),
		cmocka_unit_test_teardown(test_key_limits, close_all),
		cmocka_unit_test_teardown(test_order, close_all),
		cmocka_unit_test_teardown(test_damage, close_all),
		cmocka_unit_test_teardown(test_key_updates, close_all),
		cmocka_unit_test_teardown(test_turns, close_all),
		cmocka_unit_test_teardown(test_in_place, close_all),
		cmocka_unit_test_teardown(test_explicit_start, close_all),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
