/* Records in the kernel: alerts, new keys, ends, bytes at hand at the switch, damage, limits. */
#include "ktls_pair.h"

#include "net/stream_arrival.h"
#include <endian.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

/* --- a hostile end: `c` makes its records itself, so that any can be made with its keys */
static void connect_ours(int version_max, enum tls_ktls setting)
{
	struct until until = deadline();
	int fds[2], rs = -EAGAIN, rc = -EAGAIN;

	server = new_server(&(struct tls_server_spec){
		.version_max = (enum tls_version)version_max, .ktls = setting});
	client = new_client(&(struct tls_client_spec){.ktls = TLS_KTLS_OFF});
	tcp_pair(fds, 0);
	s = tls_stream_server(tls, server, fds[0]);
	c = tls_stream_client(tls, client, fds[1], "www.test", false);
	s->watch.ready = c->watch.ready = note_events;
	while (rs == -EAGAIN || rc == -EAGAIN) {
		check(until);
		rc = rc == -EAGAIN ? c->ops->handshake(c) : rc;
		rs = rs == -EAGAIN ? s->ops->handshake(s) : rs;
	}
	assert_int_equal(rs, 0);
	assert_int_equal(rc, 0);
}

static void connect_hostile(int version_max)
{
	connect_ours(version_max, if_possible());
	expect_in_kernel(s);
}

static void close_hostile(void)
{
	close_pair();
	tls_server_put(server);
	tls_client_put(client);
	server = NULL;
	client = NULL;
}

struct sealed {
	uint8_t bytes[RECORD_PLAIN_MAX + RECORD_OVERHEAD_MAX];
	size_t len;
};

static struct sealed *seal(enum record_type type, const void *content, size_t len)
{
	static struct sealed sealed[4];
	static int next;
	struct sealed *one = &sealed[next++ % 4];
	struct iovec iov = {(void *)content, len};
	struct iov_cursor cursor = {&iov, 0};
	int n = record_seal(&tls->ciphers, &tls_stream_of(c)->tx, type, &cursor, len, one->bytes);

	assert_true(n > 0);
	one->len = (size_t)n;
	return one;
}

static void send_raw(const void *bytes, size_t len)
{
	assert_int_equal(send(c->watch.fd, bytes, len, MSG_NOSIGNAL), len);
}

static void send_record(enum record_type type, const void *content, size_t len)
{
	struct sealed *one = seal(type, content, len);

	send_raw(one->bytes, one->len);
}

static void settle_at(struct stream *stream, size_t bytes)
{
	struct until until = deadline();
	int have = 0;

	while ((size_t)have < bytes) {
		check(until);
		assert_int_equal(ioctl(stream->watch.fd, SIOCINQ, &have), 0);
	}
}

static void settle(size_t bytes)
{
	settle_at(s, bytes);
}

static void expect_refused(const char *failure, const char *alert)
{
	char byte;

	assert_int_equal(wait_read(s, &byte, 1), -EPROTO);
	assert_string_equal(tls_failure_name(tls_stream_failure(s)), failure);
	assert_int_equal(wait_read(c, &byte, 1), -EPROTO);
	assert_string_equal(tls_failure_name(tls_stream_failure(c)), "peer_alert");
	assert_string_equal(tls_stream_failure_detail(c), alert);
}

static int versions[] = {TLS_VERSION_1_3, TLS_VERSION_1_2};

static void test_smallest_and_largest(void **state)
{
	static uint8_t largest[RECORD_PLAIN_MAX], back[RECORD_PLAIN_MAX];
	size_t have, i, v;
	ssize_t got;
	char byte;

	memset(largest, 'l', sizeof(largest));
	for (v = 0; v < array_len(versions); v++) {
		connect_hostile(versions[v]);
		for (i = 0; i < 300; i++) {
			byte = (char)i;
			send_record(RECORD_DATA, &byte, 1);
			if (i % 10 == 0)
				send_record(RECORD_DATA, "", 0);
		}
		for (i = 0; i < 300; i++) {
			assert_int_equal(wait_read(s, &byte, 1), 1);
			assert_int_equal(byte, (char)i);
		}
		send_record(RECORD_DATA, largest, sizeof(largest));
		for (have = 0; have < sizeof(back); have += (size_t)got) {
			got = wait_read(s, back + have, sizeof(back) - have);
			assert_true(got > 0);
		}
		assert_memory_equal(back, largest, sizeof(back));
		wait_write(s, "small answer", 12);
		expect_bytes(c, "small answer");
		expect_in_kernel(s);
		close_hostile();
	}
	expect_counts(2, 2, 0);
}

/* Padding is content that ends with its type and zeros. */
static void test_padding(void **state)
{
	uint8_t padded[2000] = "padded data";

	padded[11] = RECORD_DATA;
	connect_hostile(TLS_VERSION_1_3);
	send_record(0, padded, sizeof(padded));
	send_record(0, padded, 13);
	expect_bytes(s, "padded datapadded data");
	expect_in_kernel(s);
	memcpy(padded, (uint8_t[]){1, 0, RECORD_ALERT}, 3);
	memset(padded + 3, 0, sizeof(padded) - 3);
	send_record(0, padded, 100);
	assert_int_equal(wait_read(s, padded, 1), 0);
	assert_false(s->truncated);
}

static void refused_case(int version, enum record_type type, const void *content, size_t len, int n,
	const char *failure)
{
	int i;

	connect_hostile(version);
	for (i = 0; i < n; i++)
		send_record(type, content, len);
	expect_refused(failure, "unexpected message");
	close_hostile();
}

static void test_hostile_records(void **state)
{
	static const uint8_t two_updates[] = {24, 0, 0, 1, 0, 24, 0, 0, 1, 0};
	static const uint8_t ticket[] = {4, 0, 0, 22, 0, 0, 1, 0, 1, 2, 3, 4, 1, 0, 0, 8, 't', 'i',
		'c', 'k', 'e', 't', '!', '!', 0, 0};
	size_t v;

	for (v = 0; v < array_len(versions); v++) {
		refused_case(versions[v], RECORD_HANDSHAKE, "\1\0\0\0", 4, 1, "bad_message");
		refused_case(versions[v], RECORD_HANDSHAKE, "\0\0\0\0", 4, 1, "bad_message");
		refused_case(
			versions[v], RECORD_HANDSHAKE, ticket, sizeof(ticket), 1, "bad_message");
		refused_case(versions[v], RECORD_HANDSHAKE, two_updates, 10, 1, "bad_message");
		refused_case(versions[v], RECORD_HANDSHAKE, "", 0, 1, "bad_record");
		refused_case(versions[v], RECORD_ALERT, "\1", 1, 1, "bad_record");
		refused_case(versions[v], RECORD_ALERT, "\1\0\0", 3, 1, "bad_record");
		refused_case(versions[v], RECORD_ALERT, "\1\132", 2, 33, "bad_record");
		refused_case(versions[v], RECORD_CHANGE_CIPHER_SPEC, "\1", 1, 1, "bad_record");
		refused_case(versions[v], 99, "x", 1, 1, "bad_record");
	}
}

/* recv() passes over empty records by itself; splice() ends at each of them. */
static void test_empty_records_and_splice(void **state)
{
	int fds[2], n;

	if (!kernel_has_tls)
		return;
	for (n = 32; n <= 33; n++) {
		struct until until = deadline();
		ssize_t r = -EAGAIN;
		int i;

		connect_hostile(TLS_VERSION_1_3);
		assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
		for (i = 0; i < n; i++)
			send_record(RECORD_DATA, "", 0);
		if (n == 32)
			send_record(RECORD_DATA, "data", 4);
		settle((size_t)n * 22);
		while (r == -EAGAIN) {
			check(until);
			r = s->can_read ? s->ops->splice_in(s, fds[1], 100) : -EAGAIN;
		}
		assert_int_equal(r, n == 32 ? 4 : -EPROTO);
		if (n == 33)
			expect_refused("bad_record", "unexpected message");
		close(fds[0]);
		close(fds[1]);
		close_hostile();
	}
}

static void damaged_case(int version, size_t at, const char *failure, const char *alert, int errors)
{
	struct sealed *one;

	connect_hostile(version);
	send_record(RECORD_DATA, "whole", 5);
	expect_bytes(s, "whole");
	one = seal(RECORD_DATA, "damaged", 7);
	one->bytes[at] ^= 1;
	send_raw(one->bytes, one->len);
	expect_refused(failure, alert);
	expect_counts(1, 1, errors);
	close_hostile();
	before = counts();
}

static void test_damaged_record(void **state)
{
	damaged_case(TLS_VERSION_1_3, RECORD_HEADER_BYTES, "bad_record", "bad record mac", 1);
	damaged_case(TLS_VERSION_1_2, RECORD_HEADER_BYTES, "bad_record", "bad record mac", 1);
	damaged_case(TLS_VERSION_1_3, RECORD_HEADER_BYTES + 20, "bad_record", "bad record mac", 1);
	/* The version in the header: the kernel never gets to decrypt. */
	damaged_case(TLS_VERSION_1_2, 1, "bad_record", "bad record mac", 0);
}

static void test_too_long_record(void **state)
{
	static const uint8_t header[5] = {RECORD_DATA, 3, 3, 0xff, 0xff};

	connect_hostile(TLS_VERSION_1_3);
	send_raw(header, sizeof(header));
	expect_refused("bad_record", "record overflow");
}

/* --- alerts and ends */
static void test_fatal_alert(void **state)
{
	size_t v;
	char byte;

	for (v = 0; v < array_len(versions); v++) {
		connect_hostile(versions[v]);
		send_record(RECORD_DATA, "data", 4);
		send_record(RECORD_ALERT, "\2\120", 2);
		expect_bytes(s, "data");
		assert_int_equal(wait_read(s, &byte, 1), -EPROTO);
		assert_string_equal(tls_failure_name(tls_stream_failure(s)), "peer_alert");
		assert_string_equal(tls_stream_failure_detail(s), "internal error");
		close_hostile();
	}
}

static void test_half_close(void **state)
{
	struct peer peer;
	char byte;

	serve(&peer, if_possible(), 0);
	/* Theirs first. */
	peer_says(&peer, "request");
	SSL_shutdown(peer.ssl);
	shutdown(peer.fd, SHUT_WR);
	expect_bytes(s, "request");
	assert_int_equal(wait_read(s, &byte, 1), 0);
	assert_false(s->truncated);
	wait_write(s, "answer", 6);
	expect_peer_bytes(&peer, "answer");
	assert_int_equal(wait_shutdown(s), 0);
	assert_int_equal(wait_peer(&peer, &byte, 1), 0);
	assert_int_equal(SSL_get_error(peer.ssl, 0), SSL_ERROR_ZERO_RETURN);
	drop(&s, &peer);
	/* Ours first. */
	assert_int_equal(serve_peer(&peer, 3, 0), 0);
	wait_write(s, "goodbye", 7);
	assert_int_equal(wait_shutdown(s), 0);
	assert_int_equal(wait_shutdown(s), 0);
	assert_int_equal(s->ops->writev(s, &(struct iovec){"x", 1}, 1, false), -EPIPE);
	expect_peer_bytes(&peer, "goodbye");
	assert_int_equal(wait_peer(&peer, &byte, 1), 0);
	assert_int_equal(SSL_get_error(peer.ssl, 0), SSL_ERROR_ZERO_RETURN);
	peer_says(&peer, "still here");
	expect_bytes(s, "still here");
	SSL_shutdown(peer.ssl);
	assert_int_equal(wait_read(s, &byte, 1), 0);
	drop(&s, &peer);
	expect_counts(2, 2, 0);
}

static void test_end_without_notify(void **state)
{
	struct until until = deadline();
	struct peer peer;
	char byte;

	serve(&peer, if_possible(), 0);
	peer_says(&peer, "half of it");
	shutdown(peer.fd, SHUT_WR);
	expect_bytes(s, "half of it");
	assert_int_equal(wait_read(s, &byte, 1), -ECONNRESET);
	assert_true(s->truncated);
	drop(&s, &peer);
	/* RST */
	assert_int_equal(serve_peer(&peer, 0, 0), 0);
	chat(s, &peer);
	setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
	peer_close(&peer);
	assert_int_equal(wait_read(s, &byte, 1), -ECONNRESET);
	while (!s->broken)
		check(until);
	assert_true(s->ops->shutdown(s) < 0);
	s->ops->close(s, false);
	s = NULL;
	turn();
	expect_counts(2, 2, 0);
}

/* What the kernel has sealed and TCP has not taken is not cut by our end. */
static void test_end_behind_a_full_socket(void **state)
{
	static uint8_t bytes[100000], back[100000];
	struct until until = deadline();
	size_t sent = 0, have = 0, at;
	struct iovec iov = {bytes, sizeof(bytes)};
	struct peer peer;
	bool is_shut = false;
	int round, got;
	ssize_t r;

	memset(bytes, 'b', sizeof(bytes));
	server = new_server(&(struct tls_server_spec){.tickets = tickets, .ktls = if_possible()});
	for (round = 0; round < 20; round++, sent = have = 0, is_shut = false) {
		assert_int_equal(serve_peer(&peer, round % 9, 4096 + 512 * round), 0);
		while (s->can_write) {
			iov.iov_len = sizeof(bytes) - 997 * (size_t)round;
			r = s->ops->writev(s, &iov, 1, false);
			assert_true(r > 0 || r == -EAGAIN);
			sent += r > 0 ? (size_t)r : 0;
		}
		r = s->ops->shutdown(s);
		assert_true(r == 0 || r == -EAGAIN);
		is_shut = r == 0;
		for (;;) {
			check(until);
			/* As early as it can be: also when there is room for the alert only. */
			s->can_write = true;
			is_shut = is_shut || s->ops->shutdown(s) == 0;
			got = SSL_read(peer.ssl, back, 500);
			if (got <= 0 && SSL_get_error(peer.ssl, got) != SSL_ERROR_WANT_READ)
				break;
			for (at = 0; got > 0 && at < (size_t)got; at++)
				assert_int_equal(back[at], 'b');
			have += got > 0 ? (size_t)got : 0;
		}
		assert_int_equal(SSL_get_error(peer.ssl, got), SSL_ERROR_ZERO_RETURN);
		assert_int_equal(have, sent);
		drop(&s, &peer);
	}
	expect_counts(20, 20, 0);
}

/* Nor does a RST that comes when all was delivered cut it. */
static void test_reset_behind_a_full_socket(void **state)
{
	static uint8_t bytes[100000], back[100000];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct until until;
	size_t sent = 0, have = 0;
	struct peer peer;
	int round, got;
	ssize_t r;

	server = new_server(&(struct tls_server_spec){.tickets = tickets, .ktls = if_possible()});
	for (round = 0; round < 20; round++, sent = have = 0) {
		assert_int_equal(serve_peer(&peer, round % 9, 4096 + 512 * round), 0);
		while (s->can_write) {
			iov.iov_len = sizeof(bytes) - 997 * (size_t)round;
			r = s->ops->writev(s, &iov, 1, false);
			assert_true(r > 0 || r == -EAGAIN);
			sent += r > 0 ? (size_t)r : 0;
		}
		assert_int_equal(stream_await(s, STREAM_DELIVERED), -EAGAIN);
		until = deadline();
		do {
			check(until);
			got = SSL_read(peer.ssl, back, 500);
			have += got > 0 ? (size_t)got : 0;
			r = stream_await(s, STREAM_DELIVERED);
		} while (r == -EAGAIN);
		assert_int_equal(r, 0);
		s->ops->close(s, true);
		s = NULL;
		turn();
		while ((got = SSL_read(peer.ssl, back, sizeof(back))) > 0)
			have += (size_t)got;
		assert_int_equal(SSL_get_error(peer.ssl, got), SSL_ERROR_SYSCALL);
		assert_int_equal(have, sent);
		peer_close(&peer);
	}
	expect_counts(20, 20, 0);
}

/* --- bytes at hand when the kernel gets the records */
/* A forwarder comes when `at_hand` bytes of three records, and close_notify, lie in our buffer. */
static void at_hand_case(int version, size_t at_hand)
{
	uint8_t all[2000];
	size_t len = 0, alert_len = 0, i;
	char byte;

	connect_ours(version, TLS_KTLS_AUTO);
	for (i = 0; i < 4; i++) {
		struct sealed *one =
			i < 3 ? seal(RECORD_DATA, "record", 6) : seal(RECORD_ALERT, "\1\0", 2);

		memcpy(all + len, one->bytes, one->len);
		len += one->len;
		alert_len = one->len;
	}
	at_hand = at_hand < len ? at_hand : len;
	send_raw(all, at_hand);
	settle(at_hand);
	/* One byte is asked for: the rest is at hand, as far as it came. */
	s->can_read = true;
	assert_true(s->ops->read(s, &byte, 1) == 1 || at_hand < 35);
	s->ops->can_splice_in(s);
	s->ops->can_splice_out(s);
	if (at_hand < len)
		send_raw(all + at_hand, len - at_hand);
	for (i = s->bytes_in; i < 18; i++) {
		assert_int_equal(wait_read(s, &byte, 1), 1);
		assert_int_equal(byte, "record"[i % 6]);
		s->ops->can_splice_in(s);
	}
	assert_int_equal(wait_read(s, &byte, 1), 0);
	assert_false(s->truncated);
	/* What was at hand was completed, and nothing beyond it was taken. */
	if (at_hand <= len - alert_len)
		expect_place(s, TLS_RX, KTLS_kernel);
	wait_write(s, "answer", 6);
	expect_bytes(c, "answer");
	close_hostile();
}

static void test_bytes_at_hand(void **state)
{
	size_t n;

	for (n = 1; n < 140; n += n < 8 || (n > 25 && n < 38) ? 1 : 9) {
		at_hand_case(TLS_VERSION_1_3, n);
		at_hand_case(TLS_VERSION_1_2, n);
	}
}

/* The kernel goes on counting where we stopped: TLS 1.2 shows it. No nonce is used twice. */
static uint64_t explicit_nonce(void)
{
	uint8_t bytes[64];
	uint64_t nonce;
	ssize_t got;

	wait_write(s, "x", 1);
	settle_at(c, 5 + 8 + 1 + 16);
	got = recv(c->watch.fd, bytes, sizeof(bytes), 0);
	assert_int_equal(got, 5 + 8 + 1 + 16);
	memcpy(&nonce, bytes + 5, 8);
	return be64toh(nonce);
}

static void test_nonce_goes_on(void **state)
{
	uint64_t nonce;

	connect_ours(TLS_VERSION_1_2, TLS_KTLS_AUTO);
	nonce = explicit_nonce();
	assert_true(explicit_nonce() == nonce + 1);
	assert_int_equal(s->ops->can_splice_out(s), kernel_has_tls);
	assert_true(explicit_nonce() == nonce + 2);
	assert_true(explicit_nonce() == nonce + 3);
}

/* A short read is not the last one: what follows the data is another record. */
static void test_notify_behind_data(void **state)
{
	char bytes[256];

	connect_hostile(TLS_VERSION_1_3);
	send_record(RECORD_DATA, "data", 4);
	send_record(RECORD_ALERT, "\1\0", 2);
	settle(26 + 24);
	look();
	assert_int_equal(s->ops->read(s, bytes, sizeof(bytes)), 4);
	assert_int_equal(try_read(s, bytes, sizeof(bytes)), 0);
	assert_true(s->read_ended);
}

/* --- new keys */
static void ask_for_new_keys(struct peer *peer, int kind)
{
	assert_true(SSL_key_update(peer->ssl, kind));
	assert_int_equal(SSL_do_handshake(peer->ssl), 1);
}

static void open_for_keys(struct peer *peer, enum tls_ktls setting, int suite_number)
{
	serve(peer, setting, suite_number);
	chat(s, peer);
}

static uint64_t key_updates(void)
{
	struct tls_stream_facts facts;

	tls_stream_facts(s, &facts);
	return facts.key_updates;
}

static void close_for_keys(struct peer *peer)
{
	drop(&s, peer);
	tls_server_put(server);
	server = NULL;
}

static void new_keys_case(int suite_number)
{
	struct peer peer;
	char byte;
	int i;

	open_for_keys(&peer, if_possible(), suite_number);
	if (kernel_has_tls && !kernel_rekeys) {
		/* What follows cannot be read. The peer is told. */
		ask_for_new_keys(&peer, SSL_KEY_UPDATE_NOT_REQUESTED);
		peer_says(&peer, "lost");
		assert_int_equal(wait_read(s, &byte, 1), -EPROTO);
		assert_string_equal(tls_failure_name(tls_stream_failure(s)), "ktls_no_rekey");
		assert_true(wait_peer(&peer, &byte, 1) <= 0);
		assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
			SSL_AD_REASON_OFFSET + SSL_AD_INTERNAL_ERROR);
		close_for_keys(&peer);
		return;
	}
	for (i = 0; i < 5; i++) {
		ask_for_new_keys(&peer, SSL_KEY_UPDATE_NOT_REQUESTED);
		chat(s, &peer);
		ask_for_new_keys(&peer, SSL_KEY_UPDATE_REQUESTED);
		chat(s, &peer); /* with ours in front of the answer */
		chat(s, &peer);
	}
	assert_int_equal(key_updates(), 15);
	expect_in_kernel(s);
	/* The old keys' bytes count, too. */
	assert_int_equal(wait_shutdown(s), 0);
	assert_int_equal(wait_peer(&peer, &byte, 1), 0);
	close_for_keys(&peer);
}

static void test_new_keys(void **state)
{
	new_keys_case(0);
	new_keys_case(1);
	new_keys_case(2);
	expect_counts(3, 3, 0);
}

/* What we receive is ours and follows; what we send cannot, where the kernel cannot. */
static void test_new_keys_tx_only(void **state)
{
	struct peer peer;
	char byte;

	open_for_keys(&peer, TLS_KTLS_TX, 0);
	assert_int_equal(s->ops->can_splice_out(s), kernel_has_tls);
	ask_for_new_keys(&peer, SSL_KEY_UPDATE_NOT_REQUESTED);
	chat(s, &peer);
	ask_for_new_keys(&peer, SSL_KEY_UPDATE_REQUESTED);
	peer_says(&peer, "a word");
	expect_bytes(s, "a word");
	if (kernel_has_tls && !kernel_rekeys) {
		assert_int_equal(s->ops->writev(s, &(struct iovec){"x", 1}, 1, false), -EPROTO);
		assert_string_equal(tls_failure_name(tls_stream_failure(s)), "ktls_no_rekey");
		assert_true(wait_peer(&peer, &byte, 1) <= 0);
		assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
			SSL_AD_REASON_OFFSET + SSL_AD_INTERNAL_ERROR);
	} else {
		wait_write(s, "an answer", 9);
		expect_peer_bytes(&peer, "an answer");
		chat(s, &peer);
	}
	expect_counts(1, 0, 0);
	close_for_keys(&peer);
}

/* --- limits of AES-GCM */
static void at_seq(uint64_t seq)
{
	tls_stream_of(s)->tx.seq = tls_stream_of(c)->rx.seq = seq;
}

static void limit_case(int version, uint64_t seq, bool wants_kernel)
{
	connect_ours(version, wants_kernel ? TLS_KTLS_AUTO : TLS_KTLS_OFF);
	at_seq(seq);
	if (wants_kernel)
		assert_int_equal(s->ops->can_splice_out(s), kernel_has_tls);
	/* Beyond what is asked at least: see ask_later(). */
	tls_stream_of(s)->tx_ask_at = s->bytes_out + 20;
}

/* Up to `n` little records; how many were sent. */
static int send_little(int n)
{
	char byte = 'x';
	int i;

	for (i = 0; i < n; i++) {
		if (s->ops->writev(s, &(struct iovec){&byte, 1}, 1, false) < 0)
			break;
		expect_bytes(c, "x");
		tls_stream_of(s)->tx_ask_at = s->bytes_out; /* asks each time */
	}
	return i;
}

static void limits_case(bool wants_kernel)
{
	char byte;

	/* TLS 1.3: new keys, where possible. */
	limit_case(TLS_VERSION_1_3, RECORD_KEY_OLD - 10, wants_kernel);
	assert_int_equal(send_little(50), 50);
	assert_int_equal(key_updates(), wants_kernel && kernel_has_tls && !kernel_rekeys ? 0 : 1);
	close_hostile();
	/* TLS 1.2, and where no new keys are possible: the end, which the peer hears of. */
	limit_case(TLS_VERSION_1_2, RECORD_KEY_MAX - 10, wants_kernel);
	assert_int_equal(send_little(50), 10);
	assert_string_equal(tls_failure_name(tls_stream_failure(s)), "key_used_up");
	assert_int_equal(wait_read(c, &byte, 1), -EPROTO);
	assert_string_equal(tls_stream_failure_detail(c), "internal error");
	close_hostile();
}

static void test_limits(void **state)
{
	limits_case(false);
	expect_counts(0, 0, 0);
	limits_case(true);
	expect_counts(2, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_smallest_and_largest, begin, end),
		cmocka_unit_test_setup_teardown(test_padding, begin, end),
		cmocka_unit_test_setup_teardown(test_hostile_records, begin, end),
		cmocka_unit_test_setup_teardown(test_empty_records_and_splice, begin, end),
		cmocka_unit_test_setup_teardown(test_damaged_record, begin, end),
		cmocka_unit_test_setup_teardown(test_too_long_record, begin, end),
		cmocka_unit_test_setup_teardown(test_fatal_alert, begin, end),
		cmocka_unit_test_setup_teardown(test_half_close, begin, end),
		cmocka_unit_test_setup_teardown(test_end_without_notify, begin, end),
		cmocka_unit_test_setup_teardown(test_end_behind_a_full_socket, begin, end),
		cmocka_unit_test_setup_teardown(test_reset_behind_a_full_socket, begin, end),
		cmocka_unit_test_setup_teardown(test_bytes_at_hand, begin, end),
		cmocka_unit_test_setup_teardown(test_nonce_goes_on, begin, end),
		cmocka_unit_test_setup_teardown(test_notify_behind_data, begin, end),
		cmocka_unit_test_setup_teardown(test_new_keys, begin, end),
		cmocka_unit_test_setup_teardown(test_new_keys_tx_only, begin, end),
		cmocka_unit_test_setup_teardown(test_limits, begin, end),
	};

	return cmocka_run_group_tests(tests, ktls_setup, teardown);
}
