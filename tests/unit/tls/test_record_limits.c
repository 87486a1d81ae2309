/*
 * Streams at the limits of records, both ends ours: keys that have sealed as many records as one
 * key may (RFC 8446 5.5), and what a peer is told that breaks the rules (5, 5.2, 5.4, 4.6.3).
 */
#include "tls_pair.h"

#include "tls/stream_state.h"

enum { OLD = RECORD_KEY_OLD, USED_UP = RECORD_KEY_MAX };

/* As if that many records had gone that way. */
static void set_sent(struct stream *from, struct stream *to, uint64_t n)
{
	tls_stream_of(from)->tx.seq = n;
	tls_stream_of(to)->rx.seq = n;
}

static void open_version(enum tls_version version, const char *cipher)
{
	struct tls_stream_facts facts;

	server = new_server(&(struct tls_server_spec){.version_max = version});
	client = new_client(&(struct tls_client_spec){0});
	connect_pair("www.test", 0);
	expect_up();
	tls_stream_facts(s, &facts);
	assert_string_equal(facts.cipher, cipher);
	send_text(s, "hello");
	expect_text(c, "hello");
}

static ssize_t write_result(struct stream *from)
{
	kick(from);
	return from->ops->writev(from, &(struct iovec){"x", 1}, 1, false);
}

static void expect_used_up(struct stream *from, struct stream *to)
{
	assert_int_equal(write_result(from), -EPROTO);
	assert_string_equal(tls_failure_name(tls_stream_failure(from)), "key_used_up");
	assert_int_equal(write_result(from), -EPROTO);
	assert_int_equal(read_result(from), -EPROTO);
	/* The peer learns that this is no end of the data. */
	assert_int_equal(read_result(to), -EPROTO);
	assert_string_equal(tls_failure_name(tls_stream_failure(to)), "peer_alert");
	assert_string_equal(tls_stream_failure_detail(to), "internal error");
}

static void tls12_case(bool server_sends)
{
	struct stream *from, *to;

	open_version(TLS_VERSION_1_2, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
	from = server_sends ? s : c;
	to = server_sends ? c : s;
	set_sent(from, to, OLD - 1);
	send_text(from, "before");
	expect_text(to, "before");
	assert_false(from->retiring);
	send_text(from, "old");
	expect_text(to, "old");
	assert_true(from->retiring); /* the proxy gives it nothing new to do */
	assert_false(to->retiring);
	send_text(to, "what comes is another key's matter");
	expect_text(from, "what comes is another key's matter");
	set_sent(from, to, USED_UP - 1);
	send_text(from, "the last one");
	expect_text(to, "the last one");
	expect_used_up(from, to);
}

static void test_tls12_server(void **state)
{
	tls12_case(true);
}

static void test_tls12_client(void **state)
{
	tls12_case(false);
}

/* An end in order is still possible when nothing more may be sent. */
static void test_tls12_ends_in_order(void **state)
{
	open_version(TLS_VERSION_1_2, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
	set_sent(s, c, USED_UP);
	assert_int_equal(s->ops->shutdown(s), 0);
	assert_int_equal(read_result(c), 0);
	assert_false(c->truncated);
}

static void test_tls13_changes_keys(void **state)
{
	struct record_key before;

	open_version(TLS_VERSION_1_3, "TLS_AES_128_GCM_SHA256");
	set_sent(s, c, OLD - 1);
	before = tls_stream_of(s)->tx;
	send_text(s, "before");
	expect_text(c, "before");
	assert_memory_equal(tls_stream_of(s)->tx.key, before.key, sizeof(before.key));
	send_text(s, "after");
	expect_text(c, "after");
	assert_memory_not_equal(tls_stream_of(s)->tx.key, before.key, sizeof(before.key));
	assert_memory_not_equal(tls_stream_of(s)->tx.secret, before.secret, 32);
	assert_int_equal(tls_stream_of(s)->tx.seq, 1);
	assert_int_equal(tls_stream_of(c)->rx.seq, 1);
	assert_false(s->retiring);
	send_text(c, "the other way goes on");
	expect_text(s, "the other way goes on");
}

/* ChaCha20 has no such limit. */
static void test_chacha20(void **state)
{
	struct peer peer;
	int fds[2];

	server = new_server(&(struct tls_server_spec){.version_max = TLS_VERSION_1_2});
	serve_fd(fds);
	peer_open(&peer, fds[1]);
	SSL_CTX_set_cipher_list(peer.ctx, "ECDHE-ECDSA-CHACHA20-POLY1305");
	peer_start(&peer);
	assert_int_equal(peer_shake_hands(&peer), 0);
	tls_stream_of(s)->tx.seq = (uint64_t)1 << 40;
	assert_int_equal(write_result(s), 1);
	assert_false(s->retiring);
	peer_close(&peer);
}

/* --- records that stay with OpenSSL, which watches over none of this */
static int n_sealed; /* records with data that the peer has received */

static void count_records(
	int is_write, int version, int type, const void *bytes, size_t len, SSL *ssl, void *arg)
{
	n_sealed += !is_write && type == SSL3_RT_HEADER && *(const uint8_t *)bytes == RECORD_DATA;
}

static void open_small_records(struct peer *peer, int version, const char *suites12)
{
	int fds[2];

	server = new_server(&(struct tls_server_spec){.tickets = tickets});
	serve_fd(fds);
	peer_open(peer, fds[1]);
	SSL_CTX_set_msg_callback(peer->ctx, count_records);
	SSL_CTX_set_max_proto_version(peer->ctx, version);
	SSL_CTX_set_tlsext_max_fragment_length(peer->ctx, TLSEXT_max_fragment_length_512);
	assert_true(SSL_CTX_set_cipher_list(peer->ctx, suites12));
	peer_start(peer);
	assert_int_equal(peer_shake_hands(peer), 0);
	assert_int_equal(tls_stream_of(s)->state, TLS_STREAM_ATTACHED);
	exchange(peer);
}

static uint64_t key_updates(void)
{
	struct tls_stream_facts facts;

	tls_stream_facts(s, &facts);
	return facts.key_updates;
}

static void test_small_records_are_counted(void **state)
{
	static const size_t sizes[] = {1, 511, 512, 513, 5000, 16384};
	static uint8_t bytes[RECORD_PLAIN_MAX], back[RECORD_PLAIN_MAX];
	struct peer peer;
	uint64_t before, counted;
	size_t i, at;
	struct iovec iov;
	ssize_t got;

	open_small_records(&peer, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256");
	for (i = 0; i < array_len(sizes); i++) {
		n_sealed = 0;
		before = tls_stream_of(s)->tx.seq;
		for (at = 0; at < sizes[i]; at += (size_t)got) {
			iov = (struct iovec){bytes, sizes[i] - at};
			kick(s);
			got = s->ops->writev(s, &iov, 1, false);
			assert_true(got > 0);
		}
		for (at = 0; at < sizes[i]; at += (size_t)got) {
			got = SSL_read(peer.ssl, back, sizeof(back));
			assert_true(got > 0);
		}
		assert_int_equal(n_sealed, (sizes[i] + 511) / 512);
		counted = tls_stream_of(s)->tx.seq - before;
		assert_int_equal(counted, n_sealed);
	}
	peer_close(&peer);
}

static void test_small_records_tls13(void **state)
{
	struct peer peer;

	open_small_records(&peer, TLS1_3_VERSION, "ALL");
	tls_stream_of(s)->tx.seq = OLD;
	exchange(&peer);
	assert_int_equal(key_updates(), 1);
	exchange(&peer);
	assert_int_equal(key_updates(), 1);
	assert_in_range(tls_stream_of(s)->tx.seq, 1, 10);
	assert_false(s->retiring);
	peer_close(&peer);
}

static void test_small_records_tls12(void **state)
{
	struct peer peer;

	open_small_records(&peer, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256");
	tls_stream_of(s)->tx.seq = OLD;
	exchange(&peer);
	assert_true(s->retiring);
	tls_stream_of(s)->tx.seq = USED_UP;
	assert_int_equal(write_result(s), -EPROTO);
	assert_string_equal(tls_failure_name(tls_stream_failure(s)), "key_used_up");
	assert_int_equal(write_result(s), -EPROTO);
	assert_int_equal(SSL_read(peer.ssl, (char[1]){0}, 1), -1); /* and no close_notify */
	peer_close(&peer);
	close_all(state);
	open_small_records(&peer, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305");
	tls_stream_of(s)->tx.seq = (uint64_t)1 << 40;
	exchange(&peer);
	assert_false(s->retiring);
	peer_close(&peer);
}

/* --- what a peer is told */
static void send_raw(const char *bytes, size_t len)
{
	assert_int_equal(send(c->watch.fd, bytes, len, 0), len);
}

static void send_sealed(enum record_type type, const void *bytes, size_t len)
{
	struct iovec iov = {(void *)bytes, len};
	struct iov_cursor from = {&iov, 0};
	uint8_t record[256];
	int sealed = record_seal(&tls->ciphers, &tls_stream_of(c)->tx, type, &from, len, record);

	assert_in_range(sealed, 1, sizeof(record));
	send_raw((const char *)record, (size_t)sealed);
}

static void expect_told(const char *alert, const char *failure)
{
	assert_int_equal(read_result(s), -EPROTO);
	assert_string_equal(tls_failure_name(tls_stream_failure(s)), failure);
	assert_int_equal(read_result(c), -EPROTO);
	assert_string_equal(tls_failure_name(tls_stream_failure(c)), "peer_alert");
	assert_string_equal(tls_stream_failure_detail(c), alert);
	close_all(NULL);
}

static void open_13(void)
{
	open_version(TLS_VERSION_1_3, "TLS_AES_128_GCM_SHA256");
}

static void open_12(void)
{
	open_version(TLS_VERSION_1_2, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
}

static void test_alerts_tls13(void **state)
{
	open_13();
	send_raw("\27\3\3\101\1", 5); /* 2^14 + 257 */
	expect_told("record overflow", "bad_record");
	open_13();
	send_sealed(0, "\0\0\0", 3);
	expect_told("unexpected message", "bad_record");
	open_13();
	send_raw("\25\3\3\0\2\1\0", 7); /* anybody could have made it */
	expect_told("unexpected message", "bad_record");
	open_13();
	send_raw("\24\3\3\0\1\1", 6);
	expect_told("unexpected message", "bad_record");
	open_13();
	send_raw("\27\3\3\0\21xxxxxxxxxxxxxxxxx", 22);
	expect_told("bad record mac", "bad_record");
	open_13();
	send_sealed(RECORD_HANDSHAKE, "\30\0\0\1\2", 5); /* KeyUpdate, but which? */
	expect_told("illegal parameter", "bad_message");
	open_13();
	send_sealed(RECORD_HANDSHAKE, "\30\0\0\1\0\30", 6); /* and more behind it */
	expect_told("unexpected message", "bad_message");
}

static void test_alerts_tls12(void **state)
{
	open_12();
	send_raw("\27\3\3\377\377", 5);
	expect_told("record overflow", "bad_record");
	open_12();
	send_raw("\25\3\3\0\2\1\0", 7);
	expect_told("bad record mac", "bad_record");
	open_12();
	send_sealed(RECORD_HANDSHAKE, "\0\0\0\0", 4); /* HelloRequest: no renegotiation */
	expect_told("unexpected message", "bad_message");
	open_12();
	send_sealed(RECORD_HANDSHAKE, "\30\0\0\1\0", 5);
	expect_told("unexpected message", "bad_message");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_tls12_server, close_all),
		cmocka_unit_test_teardown(test_tls12_client, close_all),
		cmocka_unit_test_teardown(test_tls12_ends_in_order, close_all),
		cmocka_unit_test_teardown(test_tls13_changes_keys, close_all),
		cmocka_unit_test_teardown(test_chacha20, close_all),
		cmocka_unit_test_teardown(test_small_records_are_counted, close_all),
		cmocka_unit_test_teardown(test_small_records_tls13, close_all),
		cmocka_unit_test_teardown(test_small_records_tls12, close_all),
		cmocka_unit_test_teardown(test_alerts_tls13, close_all),
		cmocka_unit_test_teardown(test_alerts_tls12, close_all),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
