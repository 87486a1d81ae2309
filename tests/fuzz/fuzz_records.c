/*
 * Two of our TLS streams on one thread, each with OpenSSL on the other side of a network that cuts
 * the bytes anywhere. The input chooses suite and role of both and is then a program: who writes,
 * reads, changes keys, ends, how much the network moves, and whether it damages something. Every
 * byte that arrives must be the one that was written at that place; the end must be seen as an end
 * only if everything came before it; and without damage everything must come.
 */
#include "fuzz_cert.h"
#include "tls/stream_state.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	N_SUITES = 7, /* the last one: records stay with OpenSSL (max_fragment_length) */
	STEPS_MAX = 300,
	BYTES_MAX = 256 * 1024, /* of one direction */
	WRITE_MAX = 40 * 1024,
	PATTERN_PERIOD = 65521,
	DRAIN_TURNS_MAX = 20000,
	CONTROL_RECORDS_MAX = 25, /* in a row: a flood ends at 32 */
};

static const char *const suites[N_SUITES] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
	"TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
	"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_AES_128_GCM_SHA256"};

/* One connection: `ours` on a socket, `ssl` behind two memory BIOs, the network between. */
struct pair {
	struct stream *ours;
	int wire; /* the network's end of our socket */
	SSL *ssl;
	BIO *to_ssl, *from_ssl;
	bool is_tls13, has_records;
	size_t we_wrote, we_read, peer_wrote, peer_read;
	unsigned int control_records; /* that the peer sent since its last data */
	bool damaged_in, damaged_out; /* towards us, towards the peer */
	bool we_ended, peer_ended, we_failed, peer_failed, we_saw_end, peer_saw_end;
};

static struct iothread io;
static struct tls_thread *tls;
static struct tls_server *server;
static struct tls_client *client;
static SSL_CTX *peers[N_SUITES][2]; /* [1]: for our server */
static uint8_t pattern[2][PATTERN_PERIOD + WRITE_MAX]; /* what is written; [1]: by us */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static SSL_CTX *make_peer(int suite, bool is_client, const char *pem)
{
	SSL_CTX *ctx = SSL_CTX_new(is_client ? TLS_client_method() : TLS_server_method());
	int version = suites[suite][0] == 'T' ? TLS1_3_VERSION : TLS1_2_VERSION;

	must(SSL_CTX_set1_groups_list(ctx, "X25519:P-256") &&
		SSL_CTX_set_min_proto_version(ctx, version) &&
		SSL_CTX_set_max_proto_version(ctx, version));
	if (version == TLS1_3_VERSION)
		must(SSL_CTX_set_ciphersuites(ctx, suites[suite]));
	else
		must(SSL_CTX_set_cipher_list(ctx, suites[suite]));
	if (!is_client)
		must(SSL_CTX_use_certificate_file(ctx, pem, SSL_FILETYPE_PEM) &&
			SSL_CTX_use_PrivateKey_file(ctx, pem, SSL_FILETYPE_PEM));
	else if (suite == N_SUITES - 1)
		SSL_CTX_set_tlsext_max_fragment_length(ctx, TLSEXT_max_fragment_length_512);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return ctx;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[] = "/tmp/sluice-fuzz-records-XXXXXX";
	struct cert_spec cert_spec = {.name = "fuzz", .cert_path = path};
	struct cert *cert;
	struct tls_server_spec server_spec = {.name = "fuzz", .n_workers = 1};
	struct tls_client_spec client_spec = {.name = "fuzz", .n_workers = 1};
	struct err err;

	for (uint32_t i = 0; i < sizeof(pattern[0]); i++) {
		pattern[0][i] = (uint8_t)(i % PATTERN_PERIOD * 2654435761u >> 13);
		pattern[1][i] = (uint8_t)~pattern[0][i];
	}
	make_cert(path);
	must(cert_load(&cert_spec, &cert, &err) == 0);
	must(certstore_new(&cert, 1, &server_spec.certs, &err) == 0);
	for (int i = 0; i < N_SUITES; i++) {
		peers[i][0] = make_peer(i, false, path);
		peers[i][1] = make_peer(i, true, path);
	}
	unlink(path);
	server_spec.tickets = tls_tickets_new();
	must(tls_server_new(&server_spec, &server, &err) == 0);
	must(tls_client_new(&client_spec, &client, &err) == 0);
	must(iothread_init(&io, 0) == 0);
	tls = tls_thread_new(&io);
	must(tls != NULL);
	return 0;
}

/* --- the network */
/* Up to `max` bytes to our socket; one bit of them is flipped if `damage` is not 0. */
static bool move_in(struct pair *pair, size_t max, uint16_t damage)
{
	static char bytes[BUF_MEDIUM];
	int got = BIO_read(pair->from_ssl, bytes, (int)(max < sizeof(bytes) ? max : sizeof(bytes)));
	ssize_t sent = 0, r;

	if (got <= 0)
		return false;
	if (damage) {
		bytes[damage % (uint16_t)got] ^= (char)(1 << damage % 8);
		pair->damaged_in = true;
	}
	while (sent < got) {
		r = send(pair->wire, bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL);
		must(r > 0); /* the socket's buffer is larger than what one run writes */
		sent += r;
	}
	return true;
}

static bool move_out(struct pair *pair, size_t max, uint16_t damage)
{
	static char bytes[BUF_MEDIUM];
	ssize_t got = recv(pair->wire, bytes, max < sizeof(bytes) ? max : sizeof(bytes), 0);

	if (got <= 0)
		return false;
	if (damage) {
		bytes[damage % (uint16_t)got] ^= (char)(1 << damage % 8);
		pair->damaged_out = true;
	}
	must(BIO_write(pair->to_ssl, bytes, (int)got) == got);
	return true;
}

static void move_all(struct pair *pair)
{
	while (move_in(pair, SIZE_MAX, 0))
		;
	while (move_out(pair, SIZE_MAX, 0))
		;
}

/* --- bytes that say where they belong */
static const uint8_t *bytes_at(size_t position, bool is_ours)
{
	return pattern[is_ours] + position % PATTERN_PERIOD;
}

static void check_bytes(const uint8_t *bytes, size_t position, size_t len, bool is_ours)
{
	must(!memcmp(bytes, bytes_at(position, is_ours), len));
}

/* --- our side */
static void kick(struct pair *pair)
{
	pair->ours->can_read = pair->ours->can_write = true;
}

static void we_fail(struct pair *pair, ssize_t r)
{
	must(r == -EPROTO || r == -ECONNRESET || r == -EPIPE);
	/* Nothing fails without a reason: damage, or a peer that told of it. */
	must(pair->damaged_in || pair->damaged_out || pair->peer_failed);
	if (r == -EPROTO)
		must(tls_stream_failure(pair->ours) != TLS_FAILURE_none);
	pair->we_failed = true;
}

static void we_write(struct pair *pair, size_t len, uint8_t cut)
{
	struct iovec iov[3];
	uint8_t *bytes;
	ssize_t r;

	len = len < BYTES_MAX - pair->we_wrote ? len : BYTES_MAX - pair->we_wrote;
	if (!len || pair->we_ended || pair->we_failed)
		return;
	bytes = (uint8_t *)bytes_at(pair->we_wrote, true);
	iov[0] = (struct iovec){bytes, len * cut / 255};
	iov[1] = (struct iovec){NULL, 0};
	iov[2] = (struct iovec){bytes + iov[0].iov_len, len - iov[0].iov_len};
	kick(pair);
	r = pair->ours->ops->writev(pair->ours, iov, 3, cut & 1);
	if (r == -EAGAIN)
		return;
	if (r < 0) {
		we_fail(pair, r);
		return;
	}
	must((size_t)r <= len);
	pair->we_wrote += (size_t)r;
	must(pair->ours->bytes_out == pair->we_wrote);
}

static bool we_read(struct pair *pair, size_t len)
{
	static uint8_t bytes[WRITE_MAX];
	ssize_t r;

	if (pair->we_failed || pair->we_saw_end)
		return false;
	kick(pair);
	r = pair->ours->ops->read(pair->ours, bytes, len);
	if (r == -EAGAIN) {
		must(!pair->ours->ops->has_pending(pair->ours) || !pair->has_records);
		return false;
	}
	if (r < 0) {
		we_fail(pair, r);
		return false;
	}
	must((size_t)r <= len);
	check_bytes(bytes, pair->we_read, (size_t)r, false);
	pair->we_read += (size_t)r;
	must(pair->ours->bytes_in == pair->we_read);
	if (r == 0) {
		must(pair->peer_ended && pair->we_read == pair->peer_wrote);
		pair->we_saw_end = true;
	}
	return r > 0;
}

static void we_end(struct pair *pair)
{
	int r;

	if (pair->we_failed)
		return;
	kick(pair);
	r = pair->ours->ops->shutdown(pair->ours);
	if (r < 0 && r != -EAGAIN)
		we_fail(pair, r);
	pair->we_ended = true;
}

static void we_change_keys(struct pair *pair)
{
	if (pair->has_records && pair->is_tls13 && !pair->we_failed)
		tls_stream_of(pair->ours)->update_owed = true;
}

/* --- OpenSSL's side */
static void peer_fail(struct pair *pair)
{
	must(pair->damaged_in || pair->damaged_out || pair->we_failed);
	pair->peer_failed = true;
	ERR_clear_error();
}

static void peer_write(struct pair *pair, size_t len)
{
	int r;

	len = len < BYTES_MAX - pair->peer_wrote ? len : BYTES_MAX - pair->peer_wrote;
	if (!len || pair->peer_ended || pair->peer_failed)
		return;
	ERR_clear_error();
	r = SSL_write(pair->ssl, bytes_at(pair->peer_wrote, false), (int)len);
	if (r <= 0) {
		peer_fail(pair);
		return;
	}
	pair->peer_wrote += (size_t)r;
	pair->control_records = 0;
}

static bool peer_read(struct pair *pair, size_t len)
{
	static uint8_t bytes[WRITE_MAX];
	int r, why;

	if (pair->peer_failed || pair->peer_saw_end)
		return false;
	ERR_clear_error();
	r = SSL_read(pair->ssl, bytes, (int)len);
	if (r > 0) {
		check_bytes(bytes, pair->peer_read, (size_t)r, true);
		pair->peer_read += (size_t)r;
		return true;
	}
	why = SSL_get_error(pair->ssl, r);
	if (why == SSL_ERROR_ZERO_RETURN) {
		must(pair->we_ended && pair->peer_read == pair->we_wrote);
		pair->peer_saw_end = true;
	} else if (why != SSL_ERROR_WANT_READ) {
		peer_fail(pair);
	}
	return false;
}

static void peer_changes_keys(struct pair *pair, int kind)
{
	if (!pair->is_tls13 || pair->peer_ended || pair->peer_failed ||
		pair->control_records >= CONTROL_RECORDS_MAX)
		return;
	pair->control_records++;
	ERR_clear_error();
	if (!SSL_key_update(pair->ssl, kind) || SSL_do_handshake(pair->ssl) != 1)
		peer_fail(pair);
}

static void peer_end(struct pair *pair)
{
	if (pair->peer_ended || pair->peer_failed)
		return;
	ERR_clear_error();
	if (SSL_shutdown(pair->ssl) < 0)
		peer_fail(pair);
	pair->peer_ended = true;
}

/* --- a run */
static void no_events(struct watch *watch, uint32_t events)
{
}

static void shake_hands(struct pair *pair)
{
	int r = -EAGAIN, peer = 0;

	for (int i = 0; i < 20 && (r == -EAGAIN || peer != 1); i++) {
		ERR_clear_error();
		peer = SSL_do_handshake(pair->ssl);
		move_all(pair);
		kick(pair);
		if (r == -EAGAIN)
			r = pair->ours->ops->handshake(pair->ours);
		move_all(pair);
	}
	must(r == 0 && peer == 1);
}

static void open_pair(struct pair *pair, uint8_t choice)
{
	static unsigned int serial; /* another name each time: nothing is resumed */
	int suite = (choice >> 1) % N_SUITES, fds[2], large = 2 << 20;
	bool we_serve = choice & 1;
	char name[32];

	snprintf(name, sizeof(name), "n%u.test", serial++);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
	*pair = (struct pair){.wire = fds[1], .ssl = SSL_new(peers[suite][we_serve])};
	pair->ours = we_serve ? tls_stream_server(tls, server, fds[0])
			      : tls_stream_client(tls, client, fds[0], name, false);
	must(pair->ours && pair->ssl);
	pair->ours->watch.ready = no_events;
	pair->to_ssl = BIO_new(BIO_s_mem());
	pair->from_ssl = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(pair->to_ssl, -1);
	SSL_set_bio(pair->ssl, pair->to_ssl, pair->from_ssl);
	if (we_serve)
		SSL_set_connect_state(pair->ssl);
	else
		SSL_set_accept_state(pair->ssl);
	shake_hands(pair);
	pair->is_tls13 = SSL_version(pair->ssl) == TLS1_3_VERSION;
	pair->has_records = tls_stream_of(pair->ours)->rx.id != 0;
	must(pair->has_records || suite == N_SUITES - 1);
}

static void step(struct pair *pair, const uint8_t *op)
{
	size_t amount = (size_t)op[1] << 8 | op[2], len = 1 + amount % (WRITE_MAX - 1);
	size_t few = 1 + amount % 100;

	switch (op[0] & 15) {
	case 0:
	case 1:
		peer_write(pair, op[0] & 1 ? few : len);
		break;
	case 2:
	case 3:
		we_write(pair, op[0] & 1 ? few : len, op[2]);
		break;
	case 4:
		we_read(pair, op[2] & 1 ? few : len);
		break;
	case 5:
		peer_read(pair, op[2] & 1 ? few : len);
		break;
	case 6:
	case 7:
		move_in(pair, op[0] & 1 ? few : len, 0);
		break;
	case 8:
	case 9:
		move_out(pair, op[0] & 1 ? few : len, 0);
		break;
	case 10:
		peer_changes_keys(pair, SSL_KEY_UPDATE_NOT_REQUESTED);
		break;
	case 11:
		peer_changes_keys(pair, SSL_KEY_UPDATE_REQUESTED);
		break;
	case 12:
		we_change_keys(pair);
		break;
	case 13:
		move_in(pair, len, op[1] % 4 ? 0 : op[2]);
		break;
	case 14:
		move_out(pair, len, op[1] % 4 ? 0 : op[2]);
		break;
	default:
		if (op[1] % 8 == 0)
			we_end(pair);
		else if (op[1] % 8 == 1)
			peer_end(pair);
		break;
	}
}

static bool is_over(const struct pair *pair)
{
	return (pair->we_failed || pair->we_saw_end) && (pair->peer_failed || pair->peer_saw_end);
}

/* Both end and read on. Without damage nothing may be missing; with damage somebody may wait for
 * the rest of a record for ever, as with a length that was changed. */
static void drain(struct pair *pair)
{
	for (int i = 0; i < DRAIN_TURNS_MAX && !is_over(pair); i++) {
		peer_end(pair);
		we_end(pair);
		move_all(pair);
		while (we_read(pair, WRITE_MAX))
			;
		while (peer_read(pair, WRITE_MAX))
			;
		if (pair->damaged_in || pair->damaged_out)
			break;
	}
	must(is_over(pair) || pair->damaged_in || pair->damaged_out);
	if (!pair->damaged_in && !pair->damaged_out)
		must(pair->we_read == pair->peer_wrote && pair->peer_read == pair->we_wrote);
}

static void stop(struct task *task)
{
	loop_stop(io.loop);
}

static void close_pair(struct pair *pair)
{
	pair->ours->ops->close(pair->ours, false);
	SSL_free(pair->ssl);
	close(pair->wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct task task = {.run = stop};
	struct pair pairs[2];
	size_t at;

	if (size < 2)
		return 0;
	open_pair(&pairs[0], data[0]);
	open_pair(&pairs[1], data[1]);
	for (at = 2; at + 3 <= size && at < 3 * STEPS_MAX; at += 3)
		step(&pairs[data[at] >> 7], data + at);
	drain(&pairs[0]);
	drain(&pairs[1]);
	close_pair(&pairs[0]);
	close_pair(&pairs[1]);
	loop_post(io.loop, &task);
	loop_run(io.loop);
	return 0;
}
