/* Records in the kernel: when, every cipher, in bulk, by splice, and what is said of it. */
#include "ktls_pair.h"

enum { PATTERN_BYTES = 1000003, MIB = 1 << 20, MIDDLE_BYTES = 64 * 1024 };

static size_t bulk_bytes;

static uint8_t pattern[PATTERN_BYTES];

static void fill_pattern(void)
{
	uint64_t seed = 7;
	size_t i;

	for (i = 0; i < sizeof(pattern); i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		pattern[i] = (uint8_t)(seed >> 56);
	}
}

static size_t piece(size_t at, size_t max)
{
	size_t len = PATTERN_BYTES - at % PATTERN_BYTES;

	len = len < max ? len : max;
	return len < bulk_bytes - at ? len : bulk_bytes - at;
}

static void expect_pattern(size_t at, const uint8_t *bytes, size_t len)
{
	size_t same;

	for (; len; at += same, bytes += same, len -= same) {
		same = piece(at, len);
		assert_true(same > 0);
		assert_memory_equal(bytes, pattern + at % PATTERN_BYTES, same);
	}
}

/* --- bulk_bytes each way at the same time */
struct bulk {
	size_t sent, received;
};

static void stream_side(struct stream *ours, struct bulk *out, struct bulk *in)
{
	static uint8_t bytes[200000];
	struct iovec iov;
	ssize_t r;

	ours->ops->flush(ours);
	if (out->sent < bulk_bytes && ours->can_write) {
		iov = (struct iovec){pattern + out->sent % PATTERN_BYTES, piece(out->sent, 100000)};
		r = ours->ops->writev(ours, &iov, 1, false);
		assert_true(r > 0 || r == -EAGAIN);
		out->sent += r > 0 ? (size_t)r : 0;
	}
	r = try_read(ours, bytes, in->received % 3 ? sizeof(bytes) : 1000);
	assert_true(r > 0 || r == -EAGAIN);
	if (r > 0) {
		expect_pattern(in->received, bytes, (size_t)r);
		in->received += (size_t)r;
	}
}

static void peer_side(struct peer *peer, struct bulk *out, struct bulk *in)
{
	static uint8_t bytes[200000];
	int r;

	ERR_clear_error();
	if (out->sent < bulk_bytes) {
		r = SSL_write(peer->ssl, pattern + out->sent % PATTERN_BYTES,
			(int)piece(out->sent, 150001));
		out->sent += r > 0 ? (size_t)r : 0;
	}
	r = SSL_read(peer->ssl, bytes, sizeof(bytes));
	if (r > 0) {
		expect_pattern(in->received, bytes, (size_t)r);
		in->received += (size_t)r;
	}
}

/* Asks for splice(), and so for the kernel, in the middle of the bytes. */
static void ask_in_the_middle(struct stream *ours)
{
	if (ours->bytes_in > MIDDLE_BYTES)
		(void)ours->ops->can_splice_in(ours);
	if (ours->bytes_out > MIDDLE_BYTES)
		(void)ours->ops->can_splice_out(ours);
}

static void bulk(struct stream *ours, struct peer *peer)
{
	struct bulk there = {0, 0}, back = {0, 0};
	struct until until = deadline();
	int i;

	while (there.received < bulk_bytes || back.received < bulk_bytes) {
		check(until);
		for (i = 0; i < 4; i++) {
			stream_side(ours, &back, &there);
			peer_side(peer, &there, &back);
			ask_in_the_middle(ours);
		}
	}
	assert_int_equal(ours->bytes_in, bulk_bytes);
	assert_int_equal(ours->bytes_out, bulk_bytes);
}

static void serve_bulk(enum tls_ktls setting, int suite_number, size_t bytes)
{
	struct peer peer;

	bulk_bytes = bytes;
	serve(&peer, setting, suite_number);
	bulk(s, &peer);
	assert_string_equal(tls_stream_failure_detail(s), "");
	expect_place(s, TLS_RX,
		setting == TLS_KTLS_OFF || setting == TLS_KTLS_TX ? KTLS_off : KTLS_kernel);
	expect_place(s, TLS_TX, setting == TLS_KTLS_OFF ? KTLS_off : KTLS_kernel);
	drop(&s, &peer);
	tls_server_put(server);
	server = NULL;
}

static int n_suites(void)
{
	int n = 0, version;

	while (suite(n, &version))
		n++;
	return n;
}

/* The setting that hands over at once is for kernels that can. */
static void test_every_suite(void **state)
{
	int i, n = n_suites();

	for (i = 0; i < n; i++)
		serve_bulk(if_possible(), i, 10 * MIB);
	expect_counts(n, n, 0);
}

/* In the middle of it: with records, and parts of them, at hand. */
static void test_every_suite_in_the_middle(void **state)
{
	int i, n = n_suites();

	for (i = 0; i < n; i++)
		serve_bulk(TLS_KTLS_AUTO, i, MIB);
	expect_counts(n, n, 0);
}

static void test_settings_in_bulk(void **state)
{
	serve_bulk(TLS_KTLS_TX, 0, MIB);
	serve_bulk(TLS_KTLS_TX, 4, MIB);
	expect_counts(2, 0, 0);
	serve_bulk(TLS_KTLS_OFF, 0, MIB);
	expect_counts(2, 0, 0);
}

static void test_client_every_suite(void **state)
{
	struct peer peer;
	int i, n = n_suites();

	bulk_bytes = MIB;
	for (i = 0; i < n; i++) {
		if (i == 6 || i == 7 || i == 8)
			continue; /* RSA: the peer has an ECDSA certificate */
		client = new_client(&(struct tls_client_spec){
			.ktls = kernel_has_tls && i % 2 ? TLS_KTLS_REQUIRE : TLS_KTLS_AUTO});
		assert_int_equal(call_peer(&peer, i), 0);
		bulk(c, &peer);
		expect_in_kernel(c);
		drop(&c, &peer);
		tls_client_put(client);
		client = NULL;
	}
	expect_counts(n - 3, n - 3, 0);
}

/* --- when */
static void test_at_once(void **state)
{
	struct peer peer;

	serve(&peer, if_possible(), -1);
	chat(s, &peer);
	chat(s, &peer);
	expect_in_kernel(s);
	drop(&s, &peer);
	tls_server_put(server);
	serve(&peer, TLS_KTLS_TX, -1);
	chat(s, &peer);
	expect_place(s, TLS_RX, KTLS_off);
	expect_place(s, TLS_TX, KTLS_kernel);
	assert_false(s->ops->may_splice_in(s));
	assert_int_equal(s->ops->may_splice_out(s), kernel_has_tls);
	drop(&s, &peer);
	expect_counts(2, 1, 0);
}

static void test_little_stays_ours(void **state)
{
	struct peer peer;

	serve(&peer, TLS_KTLS_AUTO, -1);
	chat(s, &peer);
	expect_place(s, TLS_RX, KTLS_waits);
	expect_place(s, TLS_TX, KTLS_waits);
	expect_counts(0, 0, 0);
	/* A forwarder asks, first without consequences. */
	assert_int_equal(s->ops->may_splice_in(s), kernel_has_tls);
	assert_int_equal(s->ops->may_splice_out(s), kernel_has_tls);
	chat(s, &peer);
	expect_place(s, TLS_RX, KTLS_waits);
	expect_place(s, TLS_TX, KTLS_waits);
	expect_counts(0, 0, 0);
	assert_int_equal(s->ops->can_splice_in(s), kernel_has_tls);
	expect_place(s, TLS_RX, KTLS_kernel);
	expect_place(s, TLS_TX, KTLS_waits);
	expect_counts(0, 1, 0);
	chat(s, &peer);
	assert_int_equal(s->ops->can_splice_out(s), kernel_has_tls);
	assert_int_equal(s->ops->can_splice_out(s), kernel_has_tls);
	expect_in_kernel(s);
	expect_counts(1, 1, 0);
	chat(s, &peer);
	drop(&s, &peer);
}

static void test_off_stays_ours(void **state)
{
	struct peer peer;

	serve(&peer, TLS_KTLS_OFF, -1);
	assert_false(s->ops->may_splice_in(s));
	assert_false(s->ops->may_splice_out(s));
	assert_false(s->ops->can_splice_in(s));
	assert_false(s->ops->can_splice_out(s));
	chat(s, &peer);
	expect_place(s, TLS_RX, KTLS_off);
	expect_place(s, TLS_TX, KTLS_off);
	drop(&s, &peer);
	expect_counts(0, 0, 0);
}

static void test_small_records_stay_with_openssl(void **state)
{
	struct peer peer;
	int fds[2];

	server = new_server(&(struct tls_server_spec){.tickets = tickets});
	tcp_pair(fds, 0);
	s = tls_stream_server(tls, server, fds[0]);
	s->watch.ready = note_events;
	peer_open(&peer, fds[1]);
	SSL_CTX_set_tlsext_max_fragment_length(peer.ctx, TLSEXT_max_fragment_length_512);
	peer_start(&peer);
	assert_int_equal(shake_with(s, &peer), 0);
	assert_false(s->ops->may_splice_in(s));
	assert_false(s->ops->may_splice_out(s));
	assert_false(s->ops->can_splice_in(s));
	assert_false(s->ops->can_splice_out(s));
	chat(s, &peer);
	expect_place(s, TLS_RX, KTLS_record_size);
	expect_place(s, TLS_TX, KTLS_record_size);
	drop(&s, &peer);
	expect_counts(0, 0, 0);
}

/* On a kernel that cannot the connection fails, and both ends hear why. */
static void test_required(void **state)
{
	struct peer peer;
	int i, r;
	char byte;

	server =
		new_server(&(struct tls_server_spec){.tickets = tickets, .ktls = TLS_KTLS_REQUIRE});
	for (i = 0; i < 2; i++) {
		r = serve_peer(&peer, i ? 3 : 0, 0);
		if (kernel_has_tls) {
			assert_int_equal(r, 0);
			expect_in_kernel(s);
			chat(s, &peer);
		} else {
			assert_int_equal(r, -EPROTO);
			assert_string_equal(
				tls_failure_name(tls_stream_failure(s)), "ktls_required");
			assert_string_equal(tls_stream_failure_detail(s), "tx: no_kernel_tls");
			assert_true(wait_peer(&peer, &byte, 1) <= 0);
			assert_int_equal(ERR_GET_REASON(ERR_peek_error()),
				SSL_AD_REASON_OFFSET + SSL_AD_INTERNAL_ERROR);
		}
		drop(&s, &peer);
	}
	expect_counts(2, 2, 0);
}

/* A client may send its request and a FIN behind its Finished. */
static void test_required_with_early_fin(void **state)
{
	struct until until = deadline();
	struct peer peer;
	int fds[2], r = -EAGAIN;

	if (!kernel_has_tls)
		return;
	server =
		new_server(&(struct tls_server_spec){.tickets = tickets, .ktls = TLS_KTLS_REQUIRE});
	tcp_pair(fds, 0);
	s = tls_stream_server(tls, server, fds[0]);
	s->watch.ready = note_events;
	peer_open(&peer, fds[1]);
	peer_set_suite(&peer, 0);
	peer_start(&peer);
	while (SSL_do_handshake(peer.ssl) != 1) {
		check(until);
		r = s->ops->handshake(s);
	}
	assert_int_equal(r, -EAGAIN);
	peer_says(&peer, "request");
	SSL_shutdown(peer.ssl);
	assert_int_equal(shutdown(fds[1], SHUT_WR), 0);
	while ((r = s->ops->handshake(s)) == -EAGAIN)
		check(until);
	assert_int_equal(r, 0);
	expect_place(s, TLS_TX, KTLS_kernel);
	expect_bytes(s, "request");
	assert_int_equal(wait_read(s, &r, 1), 0);
	wait_write(s, "answer", 6);
	expect_peer_bytes(&peer, "answer");
	drop(&s, &peer);
}

/* --- a client, whose peer sends session tickets when it likes */
static void test_tickets_after_the_switch(void **state)
{
	struct peer peer;
	char byte;

	client = new_client(&(struct tls_client_spec){.ktls = if_possible()});
	/* Two came with the handshake; they are read by the kernel, and OpenSSL gets them. */
	assert_int_equal(call_peer(&peer, 0), 0);
	expect_in_kernel(c);
	assert_int_equal(c->ops->read(c, &byte, 1), -EAGAIN);
	chat(c, &peer);
	/* More of them when nobody waits for them any more. */
	assert_true(SSL_new_session_ticket(peer.ssl));
	peer_says(&peer, "x");
	expect_bytes(c, "x");
	assert_true(SSL_new_session_ticket(peer.ssl));
	assert_int_equal(SSL_do_handshake(peer.ssl), 1);
	chat(c, &peer);
	drop(&c, &peer);
	expect_counts(1, 1, 0);
}

/* --- splice */
static void pipe_open(int fds[2])
{
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
}

static void pipe_close(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* From the peer through our stream into a pipe, its last bytes followed by close_notify. */
static void test_splice_in(void **state)
{
	static uint8_t bytes[65536];
	struct until until = deadline();
	struct bulk there = {0, 0};
	struct peer peer;
	int pipe_fds[2];
	ssize_t r = -EAGAIN;

	bulk_bytes = 4 * MIB;
	if (!kernel_has_tls)
		return;
	serve(&peer, TLS_KTLS_AUTO, 0);
	pipe_open(pipe_fds);
	assert_true(s->ops->can_splice_in(s));
	while (r) {
		check(until);
		if (there.sent < bulk_bytes) {
			/* Odd sizes, empty records in between, a full pipe now and then. */
			int sent = SSL_write(peer.ssl, pattern + there.sent % PATTERN_BYTES,
				(int)piece(there.sent, 1 + there.sent % 40000));

			there.sent += sent > 0 ? (size_t)sent : 0;
			if (there.sent == bulk_bytes)
				SSL_shutdown(peer.ssl);
		}
		r = s->can_read ? s->ops->splice_in(s, pipe_fds[1], 1 << 20) : -EAGAIN;
		assert_true(r >= 0 || r == -EAGAIN);
		if (there.sent % 3 && r > 0)
			continue;
		for (;;) {
			ssize_t got = read(pipe_fds[0], bytes, 1 + there.received % sizeof(bytes));

			if (got < 0)
				break;
			expect_pattern(there.received, bytes, (size_t)got);
			there.received += (size_t)got;
		}
	}
	assert_true(s->read_ended);
	assert_false(s->truncated);
	assert_int_equal(there.received, bulk_bytes);
	assert_int_equal(s->bytes_in, bulk_bytes);
	pipe_close(pipe_fds);
	drop(&s, &peer);
	expect_counts(0, 1, 0);
}

static void test_splice_out(void **state)
{
	static uint8_t bytes[65536];
	struct until until = deadline();
	struct bulk back = {0, 0};
	size_t piped = 0;
	struct peer peer;
	int pipe_fds[2];

	bulk_bytes = 4 * MIB;
	if (!kernel_has_tls)
		return;
	serve(&peer, TLS_KTLS_AUTO, 0);
	pipe_open(pipe_fds);
	assert_true(s->ops->can_splice_out(s));
	while (back.received < bulk_bytes) {
		ssize_t r;
		int got;

		check(until);
		r = write(pipe_fds[1], pattern + piped % PATTERN_BYTES, piece(piped, 30000));
		piped += r > 0 ? (size_t)r : 0;
		r = s->can_write && piped > back.sent
			    ? s->ops->splice_out(s, pipe_fds[0], piped - back.sent)
			    : -EAGAIN;
		assert_true(r > 0 || r == -EAGAIN);
		back.sent += r > 0 ? (size_t)r : 0;
		while ((got = SSL_read(peer.ssl, bytes, sizeof(bytes))) > 0) {
			expect_pattern(back.received, bytes, (size_t)got);
			back.received += (size_t)got;
		}
	}
	assert_int_equal(s->bytes_out, bulk_bytes);
	/* A single byte is on its way at once. */
	assert_int_equal(write(pipe_fds[1], "!", 1), 1);
	while (!s->can_write)
		check(until);
	assert_int_equal(s->ops->splice_out(s, pipe_fds[0], 1), 1);
	expect_peer_bytes(&peer, "!");
	pipe_close(pipe_fds);
	drop(&s, &peer);
	expect_counts(1, 0, 0);
}

/* A reader that comes when little is at hand gets it first, then the pipe gets the rest. */
static void test_splice_after_bytes_at_hand(void **state)
{
	struct peer peer;
	int pipe_fds[2];
	char bytes[8];

	serve(&peer, TLS_KTLS_AUTO, 3);
	peer_says(&peer, "head and body");
	expect_bytes(s, "head");
	assert_false(s->ops->can_splice_in(s));
	expect_place(s, TLS_RX, KTLS_buffered);
	expect_bytes(s, " and body");
	assert_int_equal(s->ops->can_splice_in(s), kernel_has_tls);
	peer_says(&peer, "more");
	if (kernel_has_tls) {
		struct until until = deadline();

		pipe_open(pipe_fds);
		while (!s->can_read)
			check(until);
		assert_int_equal(s->ops->splice_in(s, pipe_fds[1], 100), 4);
		assert_int_equal(s->ops->splice_in(s, pipe_fds[1], 100), -EAGAIN);
		assert_int_equal(read(pipe_fds[0], bytes, sizeof(bytes)), 4);
		assert_memory_equal(bytes, "more", 4);
		pipe_close(pipe_fds);
	} else {
		expect_bytes(s, "more");
	}
	drop(&s, &peer);
	expect_counts(0, 1, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_at_once, begin, end),
		cmocka_unit_test_setup_teardown(test_little_stays_ours, begin, end),
		cmocka_unit_test_setup_teardown(test_off_stays_ours, begin, end),
		cmocka_unit_test_setup_teardown(test_small_records_stay_with_openssl, begin, end),
		cmocka_unit_test_setup_teardown(test_required, begin, end),
		cmocka_unit_test_setup_teardown(test_required_with_early_fin, begin, end),
		cmocka_unit_test_setup_teardown(test_tickets_after_the_switch, begin, end),
		cmocka_unit_test_setup_teardown(test_splice_after_bytes_at_hand, begin, end),
		cmocka_unit_test_setup_teardown(test_splice_in, begin, end),
		cmocka_unit_test_setup_teardown(test_splice_out, begin, end),
		cmocka_unit_test_setup_teardown(test_every_suite, begin, end),
		cmocka_unit_test_setup_teardown(test_every_suite_in_the_middle, begin, end),
		cmocka_unit_test_setup_teardown(test_settings_in_bulk, begin, end),
		cmocka_unit_test_setup_teardown(test_client_every_suite, begin, end),
	};

	fill_pattern();
	return cmocka_run_group_tests(tests, ktls_setup, teardown);
}
