/* TLS streams after the handshake: bytes, back-pressure, key updates, ends. */
#include "tls_pair.h"

#include "core/clock.h"
#include "core/hash.h"
#include "tls/stream_state.h"

enum { TURNS_MAX = 200000 };

/* --- bulk: both directions at once, checksummed, through tiny socket buffers */
struct pump {
	struct stream *from, *to;
	uint64_t seed_out, seed_in; /* of the byte sequences */
	size_t sent, received, total;
	bool ended;
};

static uint8_t next_byte(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint8_t)(*seed >> 56);
}

static size_t random_below(size_t n)
{
	uint32_t value;

	hash_random(&value, sizeof(value));
	return value % n;
}

static void pump_out(struct pump *pump)
{
	static uint8_t bytes[100000];
	struct iovec iov[3];
	size_t len = 1 + random_below(random_below(4) ? 3000 : sizeof(bytes)), cut, i;
	uint64_t seed = pump->seed_out;
	ssize_t taken;

	len = len < pump->total - pump->sent ? len : pump->total - pump->sent;
	for (i = 0; i < len; i++)
		bytes[i] = next_byte(&seed);
	cut = random_below(len + 1);
	iov[0] = (struct iovec){bytes, cut};
	iov[1] = (struct iovec){bytes + cut, 0};
	iov[2] = (struct iovec){bytes + cut, len - cut};
	taken = pump->from->ops->writev(pump->from, iov, 3, false);
	if (taken == -EAGAIN)
		return;
	assert_in_range(taken, 1, TLS_WRITE_BYTES_MAX);
	for (i = 0; i < (size_t)taken; i++)
		next_byte(&pump->seed_out);
	pump->sent += (size_t)taken;
}

static void pump_in(struct pump *pump)
{
	static uint8_t bytes[70000];
	size_t len = 1 + random_below(random_below(3) ? 2000 : sizeof(bytes)), i;
	ssize_t got = pump->to->ops->read(pump->to, bytes, len);

	if (got == -EAGAIN)
		return;
	if (got == 0) {
		pump->ended = true;
		return;
	}
	assert_in_range(got, 1, len);
	for (i = 0; i < (size_t)got; i++)
		assert_int_equal(bytes[i], next_byte(&pump->seed_in));
	pump->received += (size_t)got;
}

static void pump_step(struct pump *pump)
{
	if (random_below(2))
		kick(pump->from);
	if (random_below(2))
		kick(pump->to);
	if (pump->sent < pump->total)
		pump_out(pump);
	else
		pump->from->ops->shutdown(pump->from);
	if (random_below(3))
		pump_in(pump);
}

static void bulk_case(size_t total, int buffer_bytes)
{
	struct pump there, back;
	int i;

	connect_pair("www.test", buffer_bytes);
	expect_up();
	there = (struct pump){c, s, 1, 1, 0, 0, total, false};
	back = (struct pump){s, c, 2, 2, 0, 0, total, false};
	for (i = 0; i < TURNS_MAX && !(there.ended && back.ended); i++) {
		pump_step(&there);
		pump_step(&back);
	}
	assert_true(there.ended && back.ended);
	assert_int_equal(there.received, total);
	assert_int_equal(back.received, total);
	assert_int_equal(s->bytes_in, total);
	close_pair();
}

static void test_bulk_tls13(void **state)
{
	use_default_ends();
	bulk_case(3000000, 4608);
	bulk_case(3000000, 0);
}

static void test_bulk_tls12(void **state)
{
	server = new_server(&(struct tls_server_spec){.version_max = TLS_VERSION_1_2});
	client = new_client(&(struct tls_client_spec){0});
	bulk_case(3000000, 4608);
}

static void suite_case(const char *suites13, const char *suites12, int version)
{
	struct tls_stream_facts facts;
	struct peer peer;
	int fds[2];

	serve_fd(fds);
	peer_open(&peer, fds[1]);
	SSL_CTX_set_max_proto_version(peer.ctx, version);
	assert_true(SSL_CTX_set_ciphersuites(peer.ctx, suites13));
	assert_true(SSL_CTX_set_cipher_list(peer.ctx, suites12));
	peer_start(&peer);
	assert_int_equal(peer_shake_hands(&peer), 0);
	tls_stream_facts(s, &facts);
	if (version == TLS1_3_VERSION)
		assert_string_equal(facts.cipher, suites13);
	exchange(&peer);
	exchange(&peer);
	peer_close(&peer);
	s->ops->close(s, true);
	s = NULL;
	turn();
}

static void test_every_suite(void **state)
{
	server = new_server(&(struct tls_server_spec){.tickets = tickets});
	suite_case("TLS_AES_128_GCM_SHA256", "ALL", TLS1_3_VERSION);
	suite_case("TLS_AES_256_GCM_SHA384", "ALL", TLS1_3_VERSION);
	suite_case("TLS_CHACHA20_POLY1305_SHA256", "ALL", TLS1_3_VERSION);
	suite_case("", "ECDHE-ECDSA-AES128-GCM-SHA256", TLS1_2_VERSION);
	suite_case("", "ECDHE-ECDSA-AES256-GCM-SHA384", TLS1_2_VERSION);
	suite_case("", "ECDHE-ECDSA-CHACHA20-POLY1305", TLS1_2_VERSION);
	suite_case("", "ECDHE-RSA-AES128-GCM-SHA256", TLS1_2_VERSION);
	suite_case("", "ECDHE-RSA-CHACHA20-POLY1305", TLS1_2_VERSION);
}

static void test_key_update(void **state)
{
	struct peer peer;
	int fds[2], i;

	server = new_server(&(struct tls_server_spec){.tickets = tickets});
	serve_fd(fds);
	peer_open(&peer, fds[1]);
	peer_start(&peer);
	assert_int_equal(peer_shake_hands(&peer), 0);
	for (i = 0; i < 3; i++) {
		assert_true(SSL_key_update(peer.ssl, SSL_KEY_UPDATE_REQUESTED));
		exchange(&peer); /* they change theirs, we answer by changing ours */
		assert_true(SSL_key_update(peer.ssl, SSL_KEY_UPDATE_NOT_REQUESTED));
		exchange(&peer);
	}
	peer_close(&peer);
}

static void ask_for_new_keys(struct peer *peer, int updatetype)
{
	assert_true(SSL_key_update(peer->ssl, updatetype));
	assert_int_equal(SSL_do_handshake(peer->ssl), 1);
}

static size_t bytes_waiting(int fd)
{
	static char bytes[1 << 20];
	ssize_t got = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

	return got < 0 ? 0 : (size_t)got;
}

static void test_key_updates_answered_once(void **state)
{
	struct peer peer;
	int fds[2], i;

	server = new_server(&(struct tls_server_spec){.tickets = tickets});
	serve_fd(fds);
	peer_open(&peer, fds[1]);
	peer_start(&peer);
	assert_int_equal(peer_shake_hands(&peer), 0);
	exchange(&peer);
	for (i = 0; i < 20; i++) {
		ask_for_new_keys(&peer, SSL_KEY_UPDATE_REQUESTED);
		assert_int_equal(SSL_write(peer.ssl, "x", 1), 1);
		expect_text(s, "x");
	}
	/* While we have nothing to say nothing is sent, so nothing can pile up. */
	assert_int_equal(bytes_waiting(fds[1]), 0);
	send_text(s, "pong");
	assert_int_equal(bytes_waiting(fds[1]), (5 + 5 + 17) + (5 + 4 + 17));
	expect_peer_text(&peer, "pong");
	exchange(&peer);
	/* Also after our end, when no answer is possible any more. */
	assert_int_equal(s->ops->shutdown(s), 0);
	ask_for_new_keys(&peer, SSL_KEY_UPDATE_REQUESTED);
	assert_int_equal(SSL_write(peer.ssl, "rest", 4), 4);
	expect_text(s, "rest");
	peer_close(&peer);
}

/* A flood on a connection whose records stay with OpenSSL; true if it was ended for that. */
static bool flood_is_ended(int updatetype, bool with_data)
{
	struct peer peer;
	ssize_t r = -EAGAIN;
	int fds[2], i, small = 4608;

	serve_fd(fds);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	peer_open(&peer, fds[1]);
	SSL_CTX_set_tlsext_max_fragment_length(peer.ctx, TLSEXT_max_fragment_length_512);
	peer_start(&peer);
	assert_int_equal(peer_shake_hands(&peer), 0);
	exchange(&peer);
	for (i = 0; i < 8000 && (r == -EAGAIN || r == 1); i++) {
		ask_for_new_keys(&peer, updatetype);
		if (with_data && i % 50 == 0)
			assert_int_equal(SSL_write(peer.ssl, "x", 1), 1);
		if (i % 50 == 0)
			r = read_result(s);
	}
	peer_close(&peer);
	s->ops->close(s, true);
	s = NULL;
	turn();
	return r == -EPROTO;
}

static void test_floods_with_max_fragment_length(void **state)
{
	server = new_server(&(struct tls_server_spec){.tickets = tickets});
	assert_true(flood_is_ended(SSL_KEY_UPDATE_NOT_REQUESTED, false));
	assert_true(flood_is_ended(SSL_KEY_UPDATE_REQUESTED, true));
	assert_false(flood_is_ended(SSL_KEY_UPDATE_NOT_REQUESTED, true)); /* keeps nothing */
}

/* --- a hostile end: records made with the keys of one of our streams */
static void send_record(struct stream *from, enum record_type type, const void *bytes, size_t len)
{
	struct tls_stream *ts = tls_stream_of(from);
	struct iovec iov = {(void *)bytes, len};
	struct iov_cursor cursor = {&iov, 0};
	static uint8_t record[RECORD_PLAIN_MAX + RECORD_OVERHEAD_MAX];
	int sealed = record_seal(&tls->ciphers, &ts->tx, type, &cursor, len, record);

	assert_true(sealed > 0);
	assert_int_equal(send(from->watch.fd, record, (size_t)sealed, 0), sealed);
}

static const uint8_t ticket_message[] = {4, 0, 0, 22, 0, 0, 1, 0, 1, 2, 3, 4, 1, 0, 0, 8, 't', 'i',
	'c', 'k', 'e', 't', '!', '!', 0, 0};
static const uint8_t update_message[] = {24, 0, 0, 1, 1};

static void update_own_keys(struct stream *stream)
{
	assert_int_equal(record_key_update(&tls->ciphers, &tls_stream_of(stream)->tx), 0);
}

static void test_target_mixes_ticket_and_key_update(void **state)
{
	uint8_t both[sizeof(ticket_message) + sizeof(update_message)];
	struct stream *s1, *c1;

	server = new_server(&(struct tls_server_spec){0}); /* gives no tickets of its own */
	client = new_client(&(struct tls_client_spec){0});
	connect_pair("www.test", 0);
	expect_up();
	s1 = s;
	c1 = c;
	memcpy(both, ticket_message, sizeof(ticket_message));
	memcpy(both + sizeof(ticket_message), update_message, sizeof(update_message));
	send_record(s1, RECORD_HANDSHAKE, ticket_message, sizeof(ticket_message));
	send_record(s1, RECORD_HANDSHAKE, both, sizeof(both));
	update_own_keys(s1);
	assert_int_equal(read_result(c1), -EAGAIN);
	/* What the one connection has to answer is not sent on another one. */
	connect_pair("www.test", 0);
	expect_up();
	send_text(s, "other connection");
	expect_text(c, "other connection");
	close_pair();
	s = s1;
	c = c1;
	send_record(s, RECORD_HANDSHAKE, update_message, sizeof(update_message));
	update_own_keys(s);
	send_text(s, "new keys");
	expect_text(c, "new keys");
	send_text(c, "also here");
	expect_text(s, "also here");
}

static void test_target_splits_ticket(void **state)
{
	uint8_t message[sizeof(ticket_message)];
	size_t cut = 12;

	server = new_server(&(struct tls_server_spec){0});
	client = new_client(&(struct tls_client_spec){0});
	connect_pair("www.test", 0);
	expect_up();
	memcpy(message, ticket_message, sizeof(message));
	message[cut] = 24; /* the second piece looks like a KeyUpdate, but is the nonce's length */
	send_record(s, RECORD_HANDSHAKE, message, cut);
	send_record(s, RECORD_HANDSHAKE, message + cut, sizeof(message) - cut);
	send_text(s, "data");
	expect_text(c, "data");
}

static void hostile_case(enum record_type type, const void *bytes, size_t len, int n, int result)
{
	struct stream *s1 = s, *c1 = c;
	int i;

	connect_pair("www.test", 0);
	expect_up();
	for (i = 0; i < n; i++)
		send_record(c, type, bytes, len);
	assert_int_equal(read_result(s), result);
	if (result == -EPROTO) /* and the peer is told */
		assert_int_equal(read_result(c), -EPROTO);
	close_pair();
	s = s1;
	c = c1;
}

static void hostile_cases(void)
{
	static const uint8_t two_updates[] = {24, 0, 0, 1, 0, 24, 0, 0, 1, 0};

	hostile_case(RECORD_DATA, "", 0, 32, -EAGAIN);
	hostile_case(RECORD_DATA, "", 0, 33, -EPROTO);
	hostile_case(RECORD_HANDSHAKE, "", 0, 1, -EPROTO);
	hostile_case(RECORD_HANDSHAKE, "\1\0\0\0", 4, 1, -EPROTO); /* ClientHello */
	hostile_case(RECORD_HANDSHAKE, "\0\0\0\0", 4, 1, -EPROTO); /* HelloRequest */
	hostile_case(RECORD_HANDSHAKE, ticket_message, sizeof(ticket_message), 1, -EPROTO);
	hostile_case(RECORD_HANDSHAKE, two_updates, sizeof(two_updates), 1, -EPROTO);
	hostile_case(RECORD_ALERT, "\1", 1, 1, -EPROTO);
	hostile_case(RECORD_ALERT, "\1\0\0", 3, 1, -EPROTO);
	hostile_case(RECORD_ALERT, "\1\0", 2, 1, 0);
	hostile_case(RECORD_CHANGE_CIPHER_SPEC, "\1", 1, 1, -EPROTO);
	hostile_case(99, "x", 1, 1, -EPROTO);
	hostile_case(0, "\0\0\0", 3, 1, -EPROTO); /* TLS 1.3: padding alone */
}

static void test_hostile_records(void **state)
{
	server = new_server(&(struct tls_server_spec){0});
	client = new_client(&(struct tls_client_spec){0});
	hostile_cases();
	tls_server_put(server);
	server = new_server(&(struct tls_server_spec){.version_max = TLS_VERSION_1_2});
	hostile_cases();
}

/* The largest flight there is: ticket, KeyUpdate and all of a writev(). */
static void test_largest_flight(void **state)
{
	static uint8_t bytes[TLS_WRITE_BYTES_MAX + 1], back[TLS_WRITE_BYTES_MAX];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct peer peer;
	size_t have = 0;
	int fds[2], i, got;

	memset(bytes, 'b', sizeof(bytes));
	server = new_server(&(struct tls_server_spec){.tickets = tickets});
	serve_fd(fds);
	peer_open(&peer, fds[1]);
	peer_start(&peer);
	assert_int_equal(peer_shake_hands(&peer), 0);
	ask_for_new_keys(&peer, SSL_KEY_UPDATE_REQUESTED);
	assert_int_equal(read_result(s), -EAGAIN);
	kick(s);
	assert_int_equal(s->ops->writev(s, &iov, 1, false), TLS_WRITE_BYTES_MAX);
	for (i = 0; i < TURNS_MAX && have < sizeof(back); i++) {
		kick(s);
		assert_in_range(-s->ops->flush(s), 0, EAGAIN);
		got = SSL_read(peer.ssl, back + have, (int)(sizeof(back) - have));
		have += got > 0 ? (size_t)got : 0;
	}
	assert_int_equal(have, sizeof(back));
	assert_memory_equal(back, bytes, sizeof(back));
	exchange(&peer);
	peer_close(&peer);
}

/* A reader of little things leaves little: the rest stays with the kernel. */
static void test_small_reader_keeps_little(void **state)
{
	static uint8_t bytes[TLS_WRITE_BYTES_MAX];
	const uint8_t *kept;
	struct iovec iov = {bytes, sizeof(bytes)};

	use_default_ends();
	connect_pair("www.test", 4 << 20);
	expect_up();
	kick(c);
	assert_int_equal(c->ops->writev(c, &iov, 1, false), sizeof(bytes));
	assert_int_equal(read_result(s), 256);
	assert_in_range(wire_peek(tls_stream_of(s), &kept), 1, BUF_MEDIUM);
	assert_true(s->can_read);
	assert_int_equal(s->ops->read(s, bytes, 0), -EINVAL);
}

static void test_max_fragment_length(void **state)
{
	struct peer peer;
	int fds[2];

	server = new_server(&(struct tls_server_spec){.tickets = tickets});
	serve_fd(fds);
	peer_open(&peer, fds[1]);
	SSL_CTX_set_tlsext_max_fragment_length(peer.ctx, TLSEXT_max_fragment_length_512);
	peer_start(&peer);
	assert_int_equal(peer_shake_hands(&peer), 0);
	exchange(&peer);
	exchange(&peer);
	assert_int_equal(s->ops->shutdown(s), 0);
	assert_int_equal(SSL_read(peer.ssl, (char[1]){0}, 1), 0);
	assert_int_equal(SSL_get_error(peer.ssl, 0), SSL_ERROR_ZERO_RETURN);
	SSL_shutdown(peer.ssl);
	assert_int_equal(read_result(s), 0);
	peer_close(&peer);
}

static void test_ticket_waits_for_data(void **state)
{
	struct peer peer;
	int fds[2];
	char byte;

	server = new_server(&(struct tls_server_spec){.tickets = tickets});
	serve_fd(fds);
	peer_open(&peer, fds[1]);
	peer_start(&peer);
	assert_int_equal(peer_shake_hands(&peer), 0);
	/* Nothing was sent behind the handshake ... */
	assert_int_equal(recv(fds[1], &byte, 1, MSG_PEEK), -1);
	assert_int_equal(errno, EAGAIN);
	/* ... but a client that is silent gets the ticket soon, too. */
	for (uint64_t until = clock_mono_ms() + 5000; recv(fds[1], &byte, 1, MSG_PEEK) < 0;) {
		assert_true(clock_mono_ms() < until);
		turn();
	}
	exchange(&peer);
	assert_true(SSL_SESSION_is_resumable(SSL_get0_session(peer.ssl)));
	peer_close(&peer);
}

/* --- ends */
static void test_half_close(void **state)
{
	use_default_ends();
	connect_pair("www.test", 0);
	expect_up();
	send_text(c, "request");
	assert_int_equal(c->ops->shutdown(c), 0);
	expect_text(s, "request");
	assert_int_equal(read_result(s), 0);
	assert_true(s->read_ended);
	assert_false(s->truncated);
	send_text(s, "answer"); /* the other direction is still open */
	expect_text(c, "answer");
	assert_int_equal(c->ops->writev(c, &(struct iovec){"x", 1}, 1, false), -EPIPE);
}

static void test_truncation(void **state)
{
	use_default_ends();
	connect_pair("www.test", 0);
	expect_up();
	send_text(c, "half of it");
	c->ops->close(c, false);
	c = NULL;
	expect_text(s, "half of it");
	assert_int_equal(read_result(s), -ECONNRESET);
	assert_true(s->truncated);
	assert_int_equal(read_result(s), -ECONNRESET);
}

static void test_pending_and_other_streams(void **state)
{
	struct stream *s1, *c1;

	use_default_ends();
	connect_pair("www.test", 0);
	expect_up();
	s1 = s;
	c1 = c;
	connect_pair("www.test", 0);
	expect_up();
	send_text(c1, "first");
	send_text(c1, "second");
	kick(s1);
	assert_int_equal(s1->ops->read(s1, (char[2]){0}, 2), 2); /* "rst" and "second" stay */
	assert_true(s1->ops->has_pending(s1));
	send_text(c, "another connection");
	expect_text(s, "another connection"); /* takes the wire buffer */
	assert_true(s1->ops->has_pending(s1));
	expect_text(s1, "rstsecond");
	assert_false(s1->ops->has_pending(s1));
	s1->ops->close(s1, false);
	c1->ops->close(c1, false);
}

static void test_damaged_record(void **state)
{
	int fd, flags;
	uint8_t bytes[512];
	ssize_t len;

	use_default_ends();
	connect_pair("www.test", 0);
	expect_up();
	send_text(s, "first data, with the ticket");
	expect_text(c, "first data, with the ticket");
	send_text(c, "hello");
	fd = s->watch.fd;
	flags = MSG_DONTWAIT;
	len = recv(fd, bytes, sizeof(bytes), flags);
	assert_true(len > 10);
	bytes[8] ^= 1;
	assert_int_equal(send(c->watch.fd, bytes, (size_t)len, 0), len);
	assert_int_equal(read_result(s), -EPROTO);
	assert_string_equal(tls_failure_name(tls_stream_failure(s)), "bad_record");
	assert_int_equal(read_result(c), -EPROTO);
	assert_string_equal(tls_failure_name(tls_stream_failure(c)), "peer_alert");
	assert_string_equal(tls_stream_failure_detail(c), "bad record mac");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_bulk_tls13, close_all),
		cmocka_unit_test_teardown(test_bulk_tls12, close_all),
		cmocka_unit_test_teardown(test_every_suite, close_all),
		cmocka_unit_test_teardown(test_key_update, close_all),
		cmocka_unit_test_teardown(test_key_updates_answered_once, close_all),
		cmocka_unit_test_teardown(test_floods_with_max_fragment_length, close_all),
		cmocka_unit_test_teardown(test_target_mixes_ticket_and_key_update, close_all),
		cmocka_unit_test_teardown(test_target_splits_ticket, close_all),
		cmocka_unit_test_teardown(test_hostile_records, close_all),
		cmocka_unit_test_teardown(test_largest_flight, close_all),
		cmocka_unit_test_teardown(test_small_reader_keeps_little, close_all),
		cmocka_unit_test_teardown(test_max_fragment_length, close_all),
		cmocka_unit_test_teardown(test_ticket_waits_for_data, close_all),
		cmocka_unit_test_teardown(test_half_close, close_all),
		cmocka_unit_test_teardown(test_truncation, close_all),
		cmocka_unit_test_teardown(test_pending_and_other_streams, close_all),
		cmocka_unit_test_teardown(test_damaged_record, close_all),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
