/*
 * TLS connections over TCP on loopback, for the tests of records in the kernel: one of our streams,
 * driven by the events of its loop, against OpenSSL or against one of our streams whose records are
 * ours. The tests pass on every kernel; what is expected differs by what the kernel can, which is
 * found out here without the code under test.
 */
#ifndef SLUICE_TESTS_UNIT_TLS_KTLS_PAIR_H
#define SLUICE_TESTS_UNIT_TLS_KTLS_PAIR_H

#include "tls_pair.h"

#include "core/clock.h"
#include "tls/stream_state.h"
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/utsname.h>

enum { TEST_MS = 60000 };

static bool kernel_has_tls, kernel_rekeys;

static inline void tcp_pair(int fds[2], int buffer_bytes)
{
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), i, one = 1;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
	if (buffer_bytes)
		setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(int));
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (buffer_bytes)
		setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(int));
	assert_int_equal(connect(fds[1], (struct sockaddr *)&at, len), 0);
	fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fds[0] >= 0);
	close(listener);
	for (i = 0; i < 2; i++) {
		assert_int_equal(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
}

/* --- what the kernel counts (/proc/net/tls_stat) */
struct counts {
	int tx, rx, tx_now, rx_now, errors;
};

static inline struct counts counts(void)
{
	struct counts n = {0};
	char name[64];
	int value;
	FILE *file = fopen("/proc/net/tls_stat", "r");

	while (file && fscanf(file, "%63s %d", name, &value) == 2) {
		if (!strcmp(name, "TlsTxSw"))
			n.tx = value;
		else if (!strcmp(name, "TlsRxSw"))
			n.rx = value;
		else if (!strcmp(name, "TlsCurrTxSw"))
			n.tx_now = value;
		else if (!strcmp(name, "TlsCurrRxSw"))
			n.rx_now = value;
		else if (!strcmp(name, "TlsDecryptError"))
			n.errors = value;
	}
	if (file)
		fclose(file);
	return n;
}

static struct counts before;

/* What has been handed to the kernel since the test began, on a kernel that takes it. */
static inline void expect_counts(int tx, int rx, int errors)
{
	struct counts now = counts();

	assert_int_equal(now.tx - before.tx, kernel_has_tls ? tx : 0);
	assert_int_equal(now.rx - before.rx, kernel_has_tls ? rx : 0);
	assert_int_equal(now.errors - before.errors, kernel_has_tls ? errors : 0);
}

static inline void find_out(void)
{
	struct utsname name;
	int fds[2], major = 0, minor = 0;

	tcp_pair(fds, 0);
	kernel_has_tls = setsockopt(fds[0], IPPROTO_TCP, TCP_ULP, "tls", 4) == 0;
	close(fds[0]);
	close(fds[1]);
	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	kernel_rekeys = kernel_has_tls && (major > 6 || (major == 6 && minor >= 14));
	print_message("kernel %s: %s\n", name.release,
		!kernel_has_tls ? "no kernel TLS, records are ours"
		: kernel_rekeys ? "kernel TLS, with new keys"
				: "kernel TLS, without new keys");
}

/* The kernel counts by namespace, and other programs may be running. */
static inline void own_network(void)
{
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &loopback), 0);
	close(fd);
}

static inline int ktls_setup(void **state)
{
	own_network();
	setup(state);
	find_out();
	return 0;
}

static inline int begin(void **state)
{
	before = counts();
	return 0;
}

static inline enum ktls_place place(const struct stream *stream, enum tls_direction direction)
{
	struct tls_stream_facts facts;

	tls_stream_facts(stream, &facts);
	return facts.places[direction];
}

/* On a kernel without TLS that is what is said instead of "kernel". */
static inline void expect_place(
	const struct stream *stream, enum tls_direction direction, enum ktls_place expected)
{
	if (!kernel_has_tls && expected != KTLS_off && expected != KTLS_record_size)
		expected = KTLS_no_kernel_tls;
	assert_string_equal(ktls_place_name(place(stream, direction)), ktls_place_name(expected));
}

static inline void expect_in_kernel(const struct stream *stream)
{
	expect_place(stream, TLS_RX, KTLS_kernel);
	expect_place(stream, TLS_TX, KTLS_kernel);
}

static inline int end(void **state)
{
	struct counts now;

	close_all(state);
	now = counts();
	assert_int_equal(now.tx_now, before.tx_now);
	assert_int_equal(now.rx_now, before.rx_now);
	return 0;
}

/* --- streams whose events come from the loop */
static inline void note_events(struct watch *watch, uint32_t events)
{
	stream_note_events(stream_of_watch(watch), events);
}

/* Events of the moment, and timers; sleeps a little now and then, so that the kernel's own threads
 * and timers get on. */
static inline void look(void)
{
	static unsigned int calls;

	turn();
	if (++calls % 64 == 0)
		usleep(200);
}

struct until {
	uint64_t mono_ms;
};

static inline struct until deadline(void)
{
	return (struct until){clock_mono_ms() + TEST_MS};
}

static inline void check(struct until until)
{
	assert_true(clock_mono_ms() < until.mono_ms);
	look();
}

/* --- one of our streams, `s` or `c`, against OpenSSL */
static inline const char *const *suite(int i, int *ret_version)
{
	static const char *const suites[][2] = {
		{"TLS_AES_128_GCM_SHA256", "ALL"},
		{"TLS_AES_256_GCM_SHA384", "ALL"},
		{"TLS_CHACHA20_POLY1305_SHA256", "ALL"},
		{"", "ECDHE-ECDSA-AES128-GCM-SHA256"},
		{"", "ECDHE-ECDSA-AES256-GCM-SHA384"},
		{"", "ECDHE-ECDSA-CHACHA20-POLY1305"},
		{"", "ECDHE-RSA-AES128-GCM-SHA256"},
		{"", "ECDHE-RSA-AES256-GCM-SHA384"},
		{"", "ECDHE-RSA-CHACHA20-POLY1305"},
	};

	*ret_version = i < 3 ? TLS1_3_VERSION : TLS1_2_VERSION;
	return i < 9 ? suites[i] : NULL;
}

static inline void peer_set_suite(struct peer *peer, int i)
{
	int version;
	const char *const *names = suite(i, &version);

	assert_non_null(names);
	SSL_CTX_set_max_proto_version(peer->ctx, version);
	assert_true(SSL_CTX_set_ciphersuites(peer->ctx, names[0]));
	assert_true(SSL_CTX_set_cipher_list(peer->ctx, names[1]));
}

static inline void peer_open_server(struct peer *peer, int fd)
{
	peer->ctx = SSL_CTX_new(TLS_server_method());
	peer->fd = fd;
	assert_int_equal(SSL_CTX_use_certificate_file(
				 peer->ctx, pki_path(&pki, "ecdsa.crt"), SSL_FILETYPE_PEM),
		1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(
				 peer->ctx, pki_path(&pki, "ecdsa.key"), SSL_FILETYPE_PEM),
		1);
}

/* The handshake of our stream with the peer; its result. */
static inline int shake_with(struct stream *ours, struct peer *peer)
{
	struct until until = deadline();
	int r = -EAGAIN, rp = 0;

	while (r == -EAGAIN || (r == 0 && rp != 1)) {
		check(until);
		ERR_clear_error();
		if (rp != 1)
			rp = SSL_do_handshake(peer->ssl);
		if (r == -EAGAIN)
			r = ours->ops->handshake(ours);
	}
	return r;
}

/* `s` is ours, `peer` a client of OpenSSL's; suite 0 to 8, -1: any. */
static inline int serve_peer(struct peer *peer, int suite_number, int buffer_bytes)
{
	int fds[2];

	tcp_pair(fds, buffer_bytes);
	s = tls_stream_server(tls, server, fds[0]);
	assert_non_null(s);
	s->watch.ready = note_events;
	peer_open(peer, fds[1]);
	SSL_CTX_set_mode(
		peer->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (suite_number >= 0)
		peer_set_suite(peer, suite_number);
	peer_start(peer);
	return shake_with(s, peer);
}

/* A server of its own with this setting, and its first connection. */
static inline void serve(struct peer *peer, enum tls_ktls setting, int suite_number)
{
	server = new_server(&(struct tls_server_spec){.tickets = tickets, .ktls = setting});
	assert_int_equal(serve_peer(peer, suite_number, 0), 0);
}

/* Right after the handshake, both directions, on a kernel that can; on another that would refuse. */
static inline enum tls_ktls if_possible(void)
{
	return kernel_has_tls ? TLS_KTLS_REQUIRE : TLS_KTLS_AUTO;
}

/* `c` is ours, `peer` a server of OpenSSL's. */
static inline int call_peer(struct peer *peer, int suite_number)
{
	int fds[2];

	tcp_pair(fds, 0);
	c = tls_stream_client(tls, client, fds[0], "www.test", false);
	assert_non_null(c);
	c->watch.ready = note_events;
	peer_open_server(peer, fds[1]);
	SSL_CTX_set_mode(
		peer->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (suite_number >= 0)
		peer_set_suite(peer, suite_number);
	peer->ssl = SSL_new(peer->ctx);
	SSL_set_fd(peer->ssl, peer->fd);
	SSL_set_accept_state(peer->ssl);
	return shake_with(c, peer);
}

static inline void drop(struct stream **stream, struct peer *peer)
{
	(*stream)->ops->close(*stream, false);
	*stream = NULL;
	turn();
	peer_close(peer);
}

/* --- moving bytes, whole, with the events of the loop */
static inline ssize_t try_read(struct stream *from, void *bytes, size_t len)
{
	ssize_t got = -EAGAIN;

	if (from->can_read || from->ops->has_pending(from))
		got = from->ops->read(from, bytes, len);
	return got;
}

/* What read() says next that is not -EAGAIN. */
static inline ssize_t wait_read(struct stream *from, void *bytes, size_t len)
{
	struct until until = deadline();
	ssize_t got;

	while ((got = try_read(from, bytes, len)) == -EAGAIN)
		check(until);
	return got;
}

static inline void wait_write(struct stream *to, const void *bytes, size_t len)
{
	struct until until = deadline();
	struct iovec iov;
	ssize_t sent;

	while (len) {
		iov = (struct iovec){(void *)bytes, len};
		sent = to->can_write ? to->ops->writev(to, &iov, 1, false) : -EAGAIN;
		if (sent == -EAGAIN) {
			check(until);
			to->ops->flush(to);
			continue;
		}
		assert_in_range(sent, 1, len);
		bytes = (const char *)bytes + sent;
		len -= (size_t)sent;
	}
}

static inline int wait_shutdown(struct stream *stream)
{
	struct until until = deadline();
	int r;

	while ((r = stream->ops->shutdown(stream)) == -EAGAIN)
		check(until);
	return r;
}

static inline void expect_bytes(struct stream *from, const char *text)
{
	char bytes[256];
	size_t have = 0;
	ssize_t got;

	while (have < strlen(text)) {
		got = wait_read(from, bytes + have, strlen(text) - have);
		assert_true(got > 0);
		have += (size_t)got;
	}
	assert_memory_equal(bytes, text, have);
}

/* What the peer's SSL_read() says next that is not "try again". */
static inline int wait_peer(struct peer *peer, void *bytes, int len)
{
	struct until until = deadline();
	int got, error;

	for (;;) {
		ERR_clear_error();
		got = SSL_read(peer->ssl, bytes, len);
		error = SSL_get_error(peer->ssl, got);
		if (got > 0 || (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE))
			return got;
		check(until);
	}
}

static inline void expect_peer_bytes(struct peer *peer, const char *text)
{
	char bytes[256];
	int have = 0, got;

	while (have < (int)strlen(text)) {
		got = wait_peer(peer, bytes + have, (int)strlen(text) - have);
		assert_true(got > 0);
		have += got;
	}
	assert_memory_equal(bytes, text, (size_t)have);
}

static inline void peer_says(struct peer *peer, const char *text)
{
	assert_int_equal(SSL_write(peer->ssl, text, (int)strlen(text)), strlen(text));
}

/* A word each way. */
static inline void chat(struct stream *ours, struct peer *peer)
{
	peer_says(peer, "a word");
	expect_bytes(ours, "a word");
	wait_write(ours, "an answer", 9);
	expect_peer_bytes(peer, "an answer");
}

#endif
