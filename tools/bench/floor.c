/*
 * The floor: the least that serving the rows of the bench costs with epoll and OpenSSL's libssl.
 * A TLS server that hands every byte to a target connection of its own and back, without looking
 * at it. It makes just the system calls the work needs; what a product spends above it is its own.
 * Single-threaded; one process per bench; serves until SIGTERM.
 *
 * System calls per operation, besides epoll_wait (one per batch of ready sockets):
 *   handshake   accept4, read (hello), write (flight), epoll_ctl, read (finished, close_notify),
 *               write (ticket, close_notify), close                                         = 7
 *   keep-alive  read (client), write (target), read (target), write (client)               = 4
 *   bulk        read (target) and write (client) per buffer of CHUNK_BYTES at most
 * The listening socket defers accept until the hello is there, so the first read needs no epoll
 * round. Sockets are edge-triggered and registered once; a read that does not fill the buffer has
 * drained the socket (epoll(7)), so none is made to see EAGAIN.
 */
#include "wire.h"
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CHUNK_BYTES = 512 * 1024, /* relayed at a time; the best of 16 KiB to 4 MiB */
	LISTENERS_MAX = 2,
	BATCH = 64, /* events per epoll_wait */
};

struct conn {
	int client_fd;
	int target_fd; /* -1 until the first request; kept until the client goes */
	bool dead;     /* closed, on the list that is freed at the end of the batch */
	SSL *ssl;
	uint8_t *rest; /* sealed bytes the client's socket had no room for, else NULL */
	size_t rest_pos;
	size_t rest_len;
	struct conn *next_dead;
};

/* What an event belongs to, in the low bits of its pointer. */
enum { EVENT_CLIENT = 0, EVENT_TARGET = 1, EVENT_LISTENER = 2, EVENT_MASK = 3 };

struct listener {
	int fd;
	SSL_CTX *ctx;
};

static struct floor {
	int epoll_fd;
	BIO_METHOD *wire_method;
	struct listener listeners[LISTENERS_MAX];
	int listeners_len;
	struct sockaddr_in target;
	struct conn *dead;
	size_t chunk_bytes;
	uint8_t *spare; /* unused wire buffers, each with the address of the next in front */
	uint8_t *in;    /* from a socket */
	uint8_t *plain; /* opened, from the client */
} srv;

static void die(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

static void watch(int fd, void *object, int kind)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.u64 = (uint64_t)(uintptr_t)object | (uint64_t)kind,
	};

	if (kind == EVENT_LISTENER)
		event.events = EPOLLIN;
	if (epoll_ctl(srv.epoll_fd, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

/* Buffers given back are kept: to malloc they are so large that every one would be mapped anew. */
static uint8_t *spare_get(void)
{
	uint8_t *buffer = srv.spare;

	if (buffer)
		memcpy(&srv.spare, buffer, sizeof(srv.spare));
	else
		buffer = malloc(wire.out_cap);
	if (!buffer)
		die("out of memory");
	return buffer;
}

static void spare_put(uint8_t *buffer)
{
	memcpy(buffer, &srv.spare, sizeof(srv.spare));
	srv.spare = buffer;
}

/* Keeps what the socket had no room for: the connection takes the buffer, the next one gets
 * another, nothing is copied. */
static void keep_rest(struct conn *conn, size_t written)
{
	conn->rest = wire.out;
	conn->rest_pos = written;
	conn->rest_len = wire.out_len;
	wire.out = spare_get();
}

static void conn_close(struct conn *conn)
{
	if (conn->dead)
		return;
	conn->dead = true;
	SSL_free(conn->ssl);
	ERR_clear_error();
	close(conn->client_fd);
	if (conn->target_fd >= 0)
		close(conn->target_fd);
	if (conn->rest)
		spare_put(conn->rest);
	conn->next_dead = srv.dead;
	srv.dead = conn;
}

/* Writes what was sealed. False when the connection is closed or must wait for room. */
static bool flush(struct conn *conn)
{
	ssize_t n;

	if (wire.out_len == 0)
		return true;
	n = write(conn->client_fd, wire.out, wire.out_len);
	if (n < 0 && errno != EAGAIN) {
		wire.out_len = 0;
		conn_close(conn);
		return false;
	}
	if (n < (ssize_t)wire.out_len)
		keep_rest(conn, n > 0 ? (size_t)n : 0);
	wire.out_len = 0;
	return !conn->rest;
}

/* True when nothing is left to write from before. */
static bool flush_rest(struct conn *conn)
{
	ssize_t n;

	if (!conn->rest)
		return true;
	n = write(conn->client_fd, conn->rest + conn->rest_pos, conn->rest_len - conn->rest_pos);
	if (n < 0 && errno != EAGAIN) {
		conn_close(conn);
		return false;
	}
	conn->rest_pos += n > 0 ? (size_t)n : 0;
	if (conn->rest_pos < conn->rest_len)
		return false;
	spare_put(conn->rest);
	conn->rest = NULL;
	return true;
}

/* Target to client, until the target has no more for now or the client has no room. */
static void relay(struct conn *conn)
{
	ssize_t n;

	do {
		n = read(conn->target_fd, srv.in, srv.chunk_bytes);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 || SSL_write(conn->ssl, srv.in, (int)n) != n) {
			conn_close(conn);
			return;
		}
		if (!flush(conn))
			return;
	} while (n == (ssize_t)srv.chunk_bytes);
}

/* Blocking: once in the life of a connection, and the target is on this host. */
static int target_connect(struct conn *conn)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&srv.target, sizeof(srv.target)) ||
		ioctl(fd, FIONBIO, &on) ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))) {
		close(fd);
		return -1;
	}
	conn->target_fd = fd;
	watch(fd, conn, EVENT_TARGET);
	return 0;
}

/* Client to target. Requests of the bench are small: one that does not fit is an error. */
static bool forward(struct conn *conn, int len)
{
	if (conn->target_fd < 0 && target_connect(conn))
		return false;
	return write(conn->target_fd, srv.plain, (size_t)len) == len;
}

/* Serves what was read: handshake, then requests, until OpenSSL has consumed everything. */
static void client_consume(struct conn *conn)
{
	int n, error;

	for (;;) {
		n = SSL_read(conn->ssl, srv.plain, (int)srv.chunk_bytes);
		if (n <= 0)
			break;
		if (!forward(conn, n)) {
			conn_close(conn);
			return;
		}
	}
	error = SSL_get_error(conn->ssl, n);
	if (error == SSL_ERROR_ZERO_RETURN)
		SSL_shutdown(conn->ssl);
	if (flush(conn) && error != SSL_ERROR_WANT_READ)
		conn_close(conn);
}

static void client_readable(struct conn *conn)
{
	ssize_t n;

	do {
		n = read(conn->client_fd, srv.in, srv.chunk_bytes);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			conn_close(conn);
			return;
		}
		wire.in = srv.in;
		wire.in_len = (size_t)n;
		client_consume(conn);
	} while (n == (ssize_t)srv.chunk_bytes && !conn->dead);
}

static void accept_one(const struct listener *listener)
{
	struct conn *conn;
	int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		die("out of memory");
	conn->client_fd = fd;
	conn->target_fd = -1;
	conn->ssl = SSL_new(listener->ctx);
	if (!conn->ssl || wire_attach(conn->ssl, srv.wire_method))
		die("out of memory");
	SSL_set_accept_state(conn->ssl);
	client_readable(conn);
	if (!conn->dead)
		watch(fd, conn, EVENT_CLIENT);
}

static void serve_event(const struct epoll_event *event)
{
	void *object = (void *)(uintptr_t)(event->data.u64 & ~(uint64_t)EVENT_MASK);
	int kind = (int)(event->data.u64 & EVENT_MASK);
	struct conn *conn = object;

	if (kind == EVENT_LISTENER) {
		accept_one(object);
		return;
	}
	if (conn->dead)
		return;
	if (kind == EVENT_TARGET) {
		if (!conn->rest && (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)))
			relay(conn);
		return;
	}
	if (conn->rest && flush_rest(conn))
		relay(conn); /* what arrived while there was no room */
	if (!conn->dead && (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP)))
		client_readable(conn);
}

static void serve(void)
{
	struct epoll_event events[BATCH];
	struct conn *conn;
	int i, n;

	for (;;) {
		n = epoll_wait(srv.epoll_fd, events, BATCH, -1);
		for (i = 0; i < n; i++)
			serve_event(&events[i]);
		while ((conn = srv.dead) != NULL) {
			srv.dead = conn->next_dead;
			free(conn);
		}
	}
}

/* The one protocol the rows speak. */
static int choose_protocol(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
	const unsigned char *offered, unsigned int offered_len, void *unused)
{
	static const unsigned char http1[] = "\x08http/1.1";

	return SSL_select_next_proto((unsigned char **)ret_name, ret_len, http1, sizeof(http1) - 1,
		       offered, offered_len) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_NOACK;
}

static SSL_CTX *ctx_new(const char *cert, const char *key)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
		SSL_CTX_set1_groups_list(ctx, "X25519MLKEM768:X25519") != 1 ||
		SSL_CTX_set_num_tickets(ctx, 1) != 1)
		die("TLS context");
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
	return ctx;
}

/* "PORT,CERT,KEY"; cut into its parts. */
static void listener_add(char *spec)
{
	struct listener *listener = &srv.listeners[srv.listeners_len];
	struct sockaddr_in address = {.sin_family = AF_INET};
	char *port = strtok(spec, ","), *cert = strtok(NULL, ","), *key = strtok(NULL, ",");
	int on = 1, wait_s = 5;

	if (!key || srv.listeners_len++ == LISTENERS_MAX) {
		fprintf(stderr, "floor: --listen PORT,CERT,KEY, twice at most\n");
		exit(2);
	}
	listener->ctx = ctx_new(cert, key);
	listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	address.sin_port = htons((uint16_t)atoi(port));
	if (listener->fd < 0 ||
		setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		setsockopt(listener->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
		setsockopt(listener->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &wait_s, sizeof(wait_s)) ||
		bind(listener->fd, (struct sockaddr *)&address, sizeof(address)) ||
		listen(listener->fd, 4096))
		die("listen");
	watch(listener->fd, listener, EVENT_LISTENER);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"target", required_argument, NULL, 't'},
		{"chunk", required_argument, NULL, 'c'},
		{0},
	};
	int option;

	signal(SIGPIPE, SIG_IGN);
	srv.chunk_bytes = CHUNK_BYTES;
	srv.target.sin_family = AF_INET;
	srv.target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	srv.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	while ((option = getopt_long(argc, argv, "", options, NULL)) > 0) {
		if (option == 'l') {
			listener_add(optarg);
		} else if (option == 't') {
			srv.target.sin_port = htons((uint16_t)atoi(optarg));
		} else if (option == 'c') {
			srv.chunk_bytes = (size_t)atol(optarg);
		} else {
			fprintf(stderr, "usage: floor --listen PORT,CERT,KEY --target PORT\n");
			return 2;
		}
	}
	srv.wire_method = wire_init(srv.chunk_bytes);
	srv.in = malloc(srv.chunk_bytes);
	srv.plain = malloc(srv.chunk_bytes);
	if (!srv.wire_method || !srv.in || !srv.plain)
		die("out of memory");
	serve();
}
