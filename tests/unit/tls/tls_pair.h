/*
 * Two ends of a TLS connection over a socket pair, for the tests of tls/: our server stream against
 * our client stream, or against plain OpenSSL. Header only, because every test is a program of one
 * file. One of each at a time.
 */
#ifndef SLUICE_TESTS_UNIT_TLS_PAIR_H
#define SLUICE_TESTS_UNIT_TLS_PAIR_H

#include "pki.h"

#include "core/attr.h"
#include "tls/stream.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

static struct pki pki;
static struct iothread io;
static struct tls_thread *tls;
static struct tls_tickets *tickets;
static struct cert *ecdsa, *rsa;
static struct tls_server *server;
static struct tls_client *client;
static struct stream *s, *c; /* the two ends */
static const char *const http[] = {"http/1.1"};

static inline struct cert *load(const char *file, const char *key_kind)
{
	struct cert_spec spec = {.name = file};
	char path[64];
	struct cert *cert;
	struct err err;

	pki_issue(
		&pki, &(struct pki_request){
			      .file = file, .sans = "DNS:www.test,IP:192.0.2.7", .key = key_kind});
	snprintf(path, sizeof(path), "%s.crt", file);
	spec.cert_path = pki_path(&pki, path);
	snprintf(path, sizeof(path), "%s.key", file);
	spec.key_path = pki_path(&pki, path);
	assert_int_equal(cert_load(&spec, &cert, &err), 0);
	return cert;
}

static inline int setup(void **state)
{
	pki_init(&pki);
	ecdsa = load("ecdsa", NULL);
	rsa = load("rsa", "RSA-2048");
	tickets = tls_tickets_new();
	assert_int_equal(iothread_init(&io, 0), 0);
	tls = tls_thread_new(&io);
	assert_non_null(tls);
	return 0;
}

static inline int teardown(void **state)
{
	tls_thread_free(tls);
	iothread_fini(&io);
	tls_tickets_put(tickets);
	cert_put(ecdsa);
	cert_put(rsa);
	pki_fini(&pki);
	return 0;
}

static inline struct tls_server *new_server(const struct tls_server_spec *extra)
{
	struct cert *certs[] = {ecdsa, rsa};
	struct tls_server_spec spec = *extra;
	struct tls_server *made;
	struct err err = {""};

	assert_int_equal(certstore_new(certs, 2, &spec.certs, &err), 0);
	spec.name = extra->name ? extra->name : "web";
	spec.n_workers = 1;
	assert_int_equal(tls_server_new(&spec, &made, &err), 0);
	certstore_put(spec.certs);
	return made;
}

static inline struct tls_client *new_client(const struct tls_client_spec *extra)
{
	struct tls_client_spec spec = *extra;
	struct tls_client *made;
	struct err err = {""};

	spec.name = "group";
	spec.n_workers = 1;
	assert_int_equal(tls_client_new(&spec, &made, &err), 0);
	return made;
}

static inline void stop_task(struct task *task)
{
	loop_stop(io.loop);
}

/* One turn: frees what was closed. */
static inline void turn(void)
{
	static struct task task = {.run = stop_task};

	loop_post(io.loop, &task);
	loop_run(io.loop);
}

static inline void kick(struct stream *stream)
{
	stream->can_read = stream->can_write = true;
}

static inline void open_pair(int fds[2], int buffer_bytes)
{
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	for (int i = 0; buffer_bytes && i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
}

static inline void no_events(struct watch *watch, uint32_t events)
{
}

static inline void connect_pair(const char *name, int buffer_bytes)
{
	int fds[2];

	open_pair(fds, buffer_bytes);
	s = tls_stream_server(tls, server, fds[0]);
	c = tls_stream_client(tls, client, fds[1], name, false);
	assert_non_null(s);
	assert_non_null(c);
	s->watch.ready = c->watch.ready = no_events;
}

/* Both handshakes until neither waits for the other; their results. */
static inline void shake_hands(int *ret_s, int *ret_c)
{
	int i;

	*ret_s = *ret_c = -EAGAIN;
	for (i = 0; i < 1000 && (*ret_s == -EAGAIN || *ret_c == -EAGAIN); i++) {
		kick(s);
		kick(c);
		if (*ret_c == -EAGAIN)
			*ret_c = c->ops->handshake(c);
		if (*ret_s == -EAGAIN)
			*ret_s = s->ops->handshake(s);
	}
}

static inline void expect_up(void)
{
	int rs, rc;

	shake_hands(&rs, &rc);
	assert_string_equal(tls_failure_name(tls_stream_failure(s)), "none");
	assert_string_equal(tls_failure_name(tls_stream_failure(c)), "none");
	assert_int_equal(rs, 0);
	assert_int_equal(rc, 0);
}

static inline void send_text(struct stream *from, const char *text)
{
	struct iovec iov[2] = {{(void *)text, 1}, {(char *)text + 1, strlen(text) - 1}};

	kick(from);
	assert_int_equal(from->ops->writev(from, iov, 2, false), strlen(text));
}

static inline void expect_text(struct stream *to, const char *text)
{
	char bytes[256];
	ssize_t got;

	kick(to);
	got = to->ops->read(to, bytes, sizeof(bytes));
	assert_int_equal(got, strlen(text));
	assert_memory_equal(bytes, text, (size_t)got);
}

static inline ssize_t read_result(struct stream *stream)
{
	char bytes[256];

	kick(stream);
	return stream->ops->read(stream, bytes, sizeof(bytes));
}

static inline int close_all(void **state)
{
	if (s)
		s->ops->close(s, false);
	if (c)
		c->ops->close(c, false);
	s = c = NULL;
	if (server)
		tls_server_put(server);
	if (client)
		tls_client_put(client);
	server = NULL;
	client = NULL;
	turn();
	return 0;
}

static inline void close_pair(void)
{
	s->ops->close(s, false);
	c->ops->close(c, false);
	s = c = NULL;
	turn();
}

static inline void use_default_ends(void)
{
	server = new_server(
		&(struct tls_server_spec){.alpn = http, .n_alpn = 1, .tickets = tickets});
	client = new_client(&(struct tls_client_spec){
		.verify = true, .ca_path = pki_path(&pki, "ca.crt"), .alpn = http, .n_alpn = 1});
}

/* --- peers that are plain OpenSSL, with memory BIOs moved by hand */
struct peer {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
};

static inline void peer_open(struct peer *peer, int fd)
{
	peer->ctx = SSL_CTX_new(TLS_client_method());
	peer->fd = fd;
	SSL_CTX_set_verify(peer->ctx, SSL_VERIFY_NONE, NULL);
}

static inline void peer_start(struct peer *peer)
{
	peer->ssl = SSL_new(peer->ctx);
	SSL_set_fd(peer->ssl, peer->fd);
	SSL_set_tlsext_host_name(peer->ssl, "www.test");
	SSL_set_connect_state(peer->ssl);
}

static inline void peer_close(struct peer *peer)
{
	SSL_free(peer->ssl);
	SSL_CTX_free(peer->ctx);
	close(peer->fd);
}

static inline void serve_fd(int fds[2])
{
	open_pair(fds, 0);
	s = tls_stream_server(tls, server, fds[0]);
	assert_non_null(s);
	s->watch.ready = no_events;
}

static inline int peer_shake_hands(struct peer *peer)
{
	int i, r = -EAGAIN, rp = 0;

	for (i = 0; i < 1000 && (r == -EAGAIN || rp != 1); i++) {
		ERR_clear_error();
		rp = SSL_do_handshake(peer->ssl);
		kick(s);
		if (r == -EAGAIN)
			r = s->ops->handshake(s);
		if (r < 0 && r != -EAGAIN)
			break;
	}
	return r;
}

static inline void expect_peer_text(struct peer *peer, const char *text)
{
	char bytes[256];
	int got = SSL_read(peer->ssl, bytes, sizeof(bytes));

	assert_int_equal(got, strlen(text));
	assert_memory_equal(bytes, text, (size_t)got);
}

static inline void exchange(struct peer *peer)
{
	assert_int_equal(SSL_write(peer->ssl, "ping", 4), 4);
	expect_text(s, "ping");
	send_text(s, "pong");
	expect_peer_text(peer, "pong");
}

#endif
