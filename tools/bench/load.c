/*
 * Load generator of the bench: one thread, epoll and OpenSSL, closed loop (the next operation of
 * a connection starts when the last one ended). Driven by its caller in steps, so that the server's
 * CPU is read when nothing is under way:
 *   1. a probe (full handshake, one request) tells what was negotiated; connections that the mode
 *      keeps are opened and used once; one JSON line is printed
 *   2. a line on stdin starts the operations; after --seconds no new ones start, those under way
 *      end; one JSON line with the result is printed
 *   3. end of file on stdin ends the program; connections stay open until then
 * Modes: handshake (connect, handshake, close), request (keep-alive GETs), idle (nothing happens
 * between steps 1 and 3; a connection that did not survive is an error).
 * handshake also tells how long after connect() the server's first byte came; with --requests it
 * makes that many requests before it closes.
 * paced: --rate keep-alive GETs a second over all connections, whether those before were answered or
 * not (open loop); how long after the time it was due a request's answer came.
 * Every failed operation is an error; what hangs is one after GRACE_MS.
 */
#include "wire.h"
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	READ_BYTES = 256 * 1024,
	HEAD_BYTES = 4096,
	BATCH = 64,
	GRACE_MS = 10000, /* for the set-up, and for the last operations to end */
	ERRORS_MAX = 100, /* a server that fails more often is not worth the time */
	ADDRESSES = 200,  /* 127.0.0.1 and up are called in turn: more ports than one has */
	OPENING_MAX = 32, /* handshakes in flight while opening */
	WAITS_MAX = 65536, /* first bytes that are remembered */
};

#define NOBODY_FREE_S 0.1 /* of mode paced: an event comes before that */

#define REQUEST_FORMAT                                                                             \
	"GET %s HTTP/1.1\r\nHost: www.example.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"

enum mode { MODE_HANDSHAKE, MODE_REQUEST, MODE_PACED, MODE_IDLE };

enum state {
	STATE_FREE,      /* not open */
	STATE_HANDSHAKE, /* connecting, or TLS handshake */
	STATE_RESPONSE,  /* a request is out */
	STATE_CLOSING,   /* our half is closed; the server's end is awaited */
	STATE_OPEN,      /* nothing under way */
};

enum chunk {
	CHUNK_NONE, /* the body has a length */
	CHUNK_SIZE, /* the line with the size */
	CHUNK_DATA,
	CHUNK_TAIL, /* the line behind the data */
	CHUNK_LAST, /* the line behind the last size, which was 0 */
};

struct conn {
	int fd;
	enum state state;
	bool in_body;
	enum chunk chunk;
	int requests_left; /* of a connection that is to be closed */
	double begin; /* of connect(), or when a paced request was due; 0 once a byte has come */
	SSL *ssl;
	size_t head_len;
	uint64_t body_left;
	char head[HEAD_BYTES + 1];
};

static struct load {
	/* options */
	enum mode mode;
	bool resume;
	struct in_addr address;
	int port;
	int conns_len;
	int requests; /* per connection, in mode handshake */
	double seconds;
	double rate; /* of mode paced, per second */
	int names_first, names_len; /* cNNNNNN.example.test, as pairs.c makes them; 0: one name */
	unsigned int next_name;
	char request[512];
	char request_small[512]; /* while setting up */
	/* state */
	SSL_CTX *ctx;
	BIO_METHOD *wire_method;
	int epoll_fd;
	struct conn *conns;
	struct conn probe;
	SSL_SESSION *session; /* of the probe, for resumption */
	unsigned int tickets; /* that the probe received */
	unsigned int next_address;
	int active; /* connections with an operation under way */
	bool more;  /* operations follow one another */
	double end; /* when no new ones start */
	uint8_t *in;
	uint8_t *plain;
	/* result */
	uint64_t ops, bytes, errors;
	char error[256]; /* the first one */
	double *waits;  /* for the first byte, in µs */
	size_t waits_len;
} load;

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	ERR_print_errors_fp(stderr);
	exit(1);
}

/* One after the other; without --names always the same. */
static const char *next_name(void)
{
	static char name[64];

	if (!load.names_len)
		return "www.example.test";
	snprintf(name, sizeof(name), "c%06d.example.test",
		load.names_first + (int)(load.next_name++ % (unsigned int)load.names_len));
	return name;
}

static void conn_open(struct conn *conn)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = conn,
	};
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)load.port)};
	int on = 1;

	address.sin_addr = load.address;
	if (!address.sin_addr.s_addr)
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + load.next_address++ % ADDRESSES);
	conn->begin = now(CLOCK_MONOTONIC);
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	conn->ssl = SSL_new(load.ctx);
	if (conn->fd < 0 || setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
		!conn->ssl || wire_attach(conn->ssl, load.wire_method))
		die("new connection");
	SSL_set_connect_state(conn->ssl);
	SSL_set_tlsext_host_name(conn->ssl, next_name());
	if (load.resume && load.session) {
		SSL_SESSION *copy = SSL_SESSION_dup(load.session);

		SSL_set_session(conn->ssl, copy);
		SSL_SESSION_free(copy);
	}
	conn->state = STATE_HANDSHAKE;
	load.active++;
	if ((connect(conn->fd, (struct sockaddr *)&address, sizeof(address)) &&
		    errno != EINPROGRESS) ||
		epoll_ctl(load.epoll_fd, EPOLL_CTL_ADD, conn->fd, &event))
		die("connect");
}

static void conn_close(struct conn *conn)
{
	if (conn->state == STATE_FREE)
		return;
	if (conn->state != STATE_OPEN)
		load.active--;
	conn->state = STATE_FREE;
	/* The probe's session is offered again: not spoilt by an abrupt end. */
	SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(conn->ssl);
	conn->ssl = NULL;
	close(conn->fd);
	ERR_clear_error();
}

static void conn_fail(struct conn *conn, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (load.errors++ == 0)
		snprintf(load.error, sizeof(load.error), "%s%s%s", what,
			reason || errno ? ": " : "",
			reason ? reason : (errno ? strerror(errno) : ""));
	conn_close(conn);
	if (load.mode == MODE_HANDSHAKE && load.more && load.errors < ERRORS_MAX)
		conn_open(conn);
}

/* Writes what was sealed: little, so no room in the socket is a failure. */
static bool flush(struct conn *conn)
{
	ssize_t n = wire.out_len ? send(conn->fd, wire.out, wire.out_len, MSG_NOSIGNAL) : 0;
	bool whole = n == (ssize_t)wire.out_len;

	wire.out_len = 0;
	if (!whole)
		conn_fail(conn, "send");
	return whole;
}

static void request_start(struct conn *conn)
{
	const char *request = load.more ? load.request : load.request_small;
	int len = (int)strlen(request);

	if (conn->state == STATE_OPEN)
		load.active++;
	conn->state = STATE_RESPONSE;
	conn->in_body = false;
	conn->head_len = 0;
	if (SSL_write(conn->ssl, request, len) != len)
		conn_fail(conn, "request");
}

static void conn_end(struct conn *conn)
{
	SSL_shutdown(conn->ssl);
	conn->state = STATE_CLOSING;
	if (flush(conn))
		shutdown(conn->fd, SHUT_WR);
}

static void response_done(struct conn *conn)
{
	if (load.mode == MODE_HANDSHAKE && conn != &load.probe) {
		if (--conn->requests_left)
			request_start(conn);
		else
			conn_end(conn);
		return;
	}
	load.ops++;
	conn->state = STATE_OPEN;
	load.active--;
	if (load.more && load.mode == MODE_REQUEST && conn != &load.probe &&
		now(CLOCK_MONOTONIC) < load.end)
		request_start(conn);
}

/* Takes the head out of `data`. Returns how much of it belonged to the head, or -1. */
static ssize_t response_head(struct conn *conn, const uint8_t *data, size_t len)
{
	size_t before = conn->head_len, room = HEAD_BYTES - before;
	const char *end, *length, *chunked;

	memcpy(conn->head + before, data, len < room ? len : room);
	conn->head_len += len < room ? len : room;
	conn->head[conn->head_len] = 0;
	end = strstr(conn->head, "\r\n\r\n");
	if (!end)
		return conn->head_len < HEAD_BYTES ? (ssize_t)len : -1;
	length = strcasestr(conn->head, "\r\ncontent-length:");
	chunked = strcasestr(conn->head, "\r\ntransfer-encoding: chunked\r\n");
	conn->chunk = chunked && chunked < end ? CHUNK_SIZE : CHUNK_NONE;
	if (strncmp(conn->head, "HTTP/1.1 200 ", 13) != 0 ||
		(!conn->chunk && (!length || length > end)))
		return -1;
	conn->body_left = conn->chunk ? 0 : strtoull(length + 17, NULL, 10);
	conn->in_body = true;
	return (ssize_t)((size_t)(end + 4 - conn->head) - before);
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of the lines around chunks; there are no extensions and no trailers. */
static bool chunk_line_byte(struct conn *conn, uint8_t c)
{
	if (c == '\r')
		return true;
	if (c != '\n') {
		conn->body_left = conn->body_left * 16 + (uint64_t)hex_digit(c);
		return conn->chunk == CHUNK_SIZE && hex_digit(c) >= 0;
	}
	if (conn->chunk == CHUNK_SIZE)
		conn->chunk = conn->body_left ? CHUNK_DATA : CHUNK_LAST;
	else if (conn->chunk == CHUNK_TAIL)
		conn->chunk = CHUNK_SIZE;
	else
		conn->chunk = CHUNK_NONE;
	return true;
}

static bool chunked_bytes(struct conn *conn, const uint8_t *data, size_t len)
{
	size_t i = 0, n;

	while (i < len && conn->chunk) {
		if (conn->chunk != CHUNK_DATA) {
			if (!chunk_line_byte(conn, data[i++]))
				return false;
			continue;
		}
		n = len - i < conn->body_left ? len - i : conn->body_left;
		conn->body_left -= n;
		load.bytes += n;
		i += n;
		if (!conn->body_left)
			conn->chunk = CHUNK_TAIL;
	}
	if (i < len)
		return false;
	if (!conn->chunk)
		response_done(conn);
	return true;
}

static bool response_bytes(struct conn *conn, const uint8_t *data, size_t len)
{
	ssize_t head = 0;

	if (!conn->in_body) {
		head = response_head(conn, data, len);
		if (head < 0)
			return false;
		if (!conn->in_body)
			return true;
	}
	len -= (size_t)head;
	if (conn->chunk)
		return chunked_bytes(conn, data + head, len);
	if (len > conn->body_left)
		return false;
	conn->body_left -= len;
	load.bytes += len;
	if (!conn->body_left)
		response_done(conn);
	return true;
}

static void handshake_done(struct conn *conn)
{
	if (load.resume && load.session && !SSL_session_reused(conn->ssl)) {
		errno = 0;
		conn_fail(conn, "the session was not resumed");
		return;
	}
	conn->requests_left = load.requests;
	if (load.mode != MODE_HANDSHAKE || conn == &load.probe || load.requests)
		request_start(conn);
	else
		conn_end(conn);
}

static void closing_done(struct conn *conn)
{
	load.ops++;
	conn_close(conn);
	if (load.more && now(CLOCK_MONOTONIC) < load.end)
		conn_open(conn);
}

/* Runs OpenSSL over what was read until it has taken everything. */
static void conn_consume(struct conn *conn)
{
	int n;

	if (conn->state == STATE_HANDSHAKE) {
		n = SSL_do_handshake(conn->ssl);
		if (n == 1)
			handshake_done(conn);
		else if (SSL_get_error(conn->ssl, n) != SSL_ERROR_WANT_READ)
			conn_fail(conn, "handshake");
	}
	while (conn->state == STATE_RESPONSE || conn->state == STATE_OPEN) {
		n = SSL_read(conn->ssl, load.plain, READ_BYTES);
		if (n <= 0 && SSL_get_error(conn->ssl, n) == SSL_ERROR_WANT_READ)
			break;
		if (n <= 0 || conn->state != STATE_RESPONSE ||
			!response_bytes(conn, load.plain, (size_t)n)) {
			errno = 0;
			conn_fail(conn, n > 0 ? "response is not what was asked for" : "TLS read");
		}
	}
	if (conn->state != STATE_FREE)
		flush(conn);
	wire.out_len = 0;
}

static void note_first_byte(struct conn *conn)
{
	if (conn->begin > 0 && load.waits_len < WAITS_MAX)
		load.waits[load.waits_len++] = (now(CLOCK_MONOTONIC) - conn->begin) * 1e6;
	conn->begin = 0;
}

static void conn_event(struct conn *conn, uint32_t events)
{
	ssize_t n;

	if (conn->state == STATE_HANDSHAKE && SSL_in_before(conn->ssl)) {
		if (!(events & (EPOLLERR | EPOLLHUP)))
			conn_consume(conn);
		else
			conn_fail(conn, "connect");
		return;
	}
	do {
		n = recv(conn->fd, load.in, READ_BYTES, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0 && conn->state == STATE_CLOSING) {
			closing_done(conn);
			return;
		}
		if (n <= 0) {
			errno = n ? errno : 0;
			conn_fail(conn, n ? "connection" : "closed by the server");
			return;
		}
		if (conn->state == STATE_CLOSING)
			continue;
		note_first_byte(conn);
		wire.in = load.in;
		wire.in_len = (size_t)n;
		conn_consume(conn);
	} while (conn->state != STATE_FREE && n == READ_BYTES);
	/* The server's end can come with its last bytes: no event tells of it again. */
	if (conn->state == STATE_CLOSING && (events & EPOLLRDHUP))
		closing_done(conn);
}

/* Serves events until nothing is under way or `deadline`. */
static void serve(double deadline)
{
	struct epoll_event events[BATCH];
	int i, n;

	while (load.active && load.errors < ERRORS_MAX) {
		if (now(CLOCK_MONOTONIC) > deadline) {
			load.errors += (uint64_t)load.active;
			snprintf(load.error, sizeof(load.error), "%d operations hang", load.active);
			return;
		}
		n = epoll_wait(load.epoll_fd, events, BATCH, 100);
		for (i = 0; i < n; i++) {
			struct conn *conn = events[i].data.ptr;

			if (conn->state != STATE_FREE)
				conn_event(conn, events[i].events);
		}
	}
}

/* Sends what is due. False: no connection is free for it. */
static bool send_due(double *due)
{
	static int at;
	int looked;

	while (*due <= now(CLOCK_MONOTONIC) && *due < load.end) {
		for (looked = 0; looked < load.conns_len; looked++, at++)
			if (load.conns[at % load.conns_len].state == STATE_OPEN)
				break;
		if (looked == load.conns_len)
			return false; /* later, and that counts */
		load.conns[at % load.conns_len].begin = *due;
		request_start(&load.conns[at % load.conns_len]);
		flush(&load.conns[at % load.conns_len]);
		at = (at + 1) % load.conns_len;
		*due += 1 / load.rate;
	}
	return true;
}

static void serve_paced(void)
{
	struct epoll_event events[BATCH];
	double due = now(CLOCK_MONOTONIC), wait;
	struct timespec time;
	bool is_free;
	int i, n;

	while (due < load.end && load.errors < ERRORS_MAX) {
		is_free = send_due(&due);
		wait = is_free ? due - now(CLOCK_MONOTONIC) : NOBODY_FREE_S;
		time = (struct timespec){.tv_nsec = wait > 0 && wait < 1 ? (long)(wait * 1e9) : 0};
		n = epoll_pwait2(load.epoll_fd, events, BATCH, &time, NULL);
		for (i = 0; i < n; i++) {
			struct conn *conn = events[i].data.ptr;

			if (conn->state != STATE_FREE)
				conn_event(conn, events[i].events);
		}
		if (now(CLOCK_MONOTONIC) > load.end + GRACE_MS / 1e3)
			return;
	}
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
	if (ssl != load.probe.ssl)
		return 0;
	load.tickets++;
	SSL_SESSION_free(load.session);
	load.session = session;
	return 1;
}

static void print_negotiated(SSL *ssl)
{
	EVP_PKEY *key = X509_get0_pubkey(SSL_get0_peer_certificate(ssl));
	const char *group = SSL_group_to_name(ssl, (int)SSL_get_negotiated_group(ssl));

	printf("{\"version\": \"%s\", \"cipher\": \"%s\", \"group\": \"%s\", \"key\": \"%s-%d\", "
	       "\"tickets\": %u, ",
		SSL_get_version(ssl), SSL_get_cipher_name(ssl), group ? group : "",
		EVP_PKEY_get0_type_name(key), EVP_PKEY_get_bits(key), load.tickets);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* A share of the waits for the first byte was shorter. */
static double wait_at(double share)
{
	return load.waits_len ? load.waits[(size_t)((double)load.waits_len * share)] : 0;
}

static void print_result(double elapsed, double cpu)
{
	qsort(load.waits, load.waits_len, sizeof(*load.waits), compare);
	printf("\"ops\": %lu, \"bytes\": %lu, \"errors\": %lu, \"error\": \"%s\", \"elapsed\": %.6f, "
	       "\"cpu\": %.6f, \"first_byte_us\": %.1f, \"first_byte_p99_us\": %.1f}\n",
		load.ops, load.bytes, load.errors, load.error, elapsed, cpu, wait_at(0.5),
		wait_at(0.99));
	fflush(stdout);
}

/* Connections that the mode keeps: opened a few at a time, each used once. */
static void open_kept(void)
{
	double deadline = now(CLOCK_MONOTONIC) + GRACE_MS / 1e3;
	int i, n;

	for (i = 0; i < load.conns_len; i += n) {
		for (n = 0; n < OPENING_MAX && i + n < load.conns_len; n++)
			conn_open(&load.conns[i + n]);
		serve(deadline);
	}
}

static void set_up(void)
{
	conn_open(&load.probe);
	serve(now(CLOCK_MONOTONIC) + GRACE_MS / 1e3);
	if (load.errors || load.probe.state != STATE_OPEN) {
		printf("{");
		print_result(0, 0);
		exit(1);
	}
	if (load.resume && !load.session) {
		fprintf(stderr, "load: the server gave no session ticket\n");
		exit(1);
	}
	print_negotiated(load.probe.ssl);
	conn_close(&load.probe);
	if (load.mode != MODE_HANDSHAKE)
		open_kept();
	print_result(0, 0);
}

static bool gone(const struct conn *conn)
{
	char byte;
	ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

static void run(void)
{
	double start = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	int i;

	load.ops = load.bytes = load.waits_len = 0;
	load.end = start + load.seconds;
	load.more = true;
	for (i = 0; i < load.conns_len; i++) {
		struct conn *conn = &load.conns[i];

		if (load.mode == MODE_HANDSHAKE) {
			conn_open(conn);
		} else if (conn->state == STATE_OPEN && load.mode == MODE_REQUEST) {
			request_start(conn);
			flush(conn);
		} else if (load.mode == MODE_IDLE && conn->state == STATE_OPEN && gone(conn)) {
			errno = 0;
			conn_fail(conn, "an idle connection was closed by the server");
		}
	}
	if (load.mode == MODE_PACED)
		serve_paced();
	serve(load.end + GRACE_MS / 1e3);
	printf("{");
	print_result(now(CLOCK_MONOTONIC) - start, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

/* `small_records`: asks for at most 512 bytes in one (RFC 6066). */
static void ctx_init(const char *group, const char *cipher, bool small_records)
{
	static const unsigned char http1[] = "\x08http/1.1";

	load.ctx = SSL_CTX_new(TLS_client_method());
	if (!load.ctx || (group && SSL_CTX_set1_groups_list(load.ctx, group) != 1) ||
		(cipher && SSL_CTX_set_ciphersuites(load.ctx, cipher) != 1) ||
		SSL_CTX_set_alpn_protos(load.ctx, http1, sizeof(http1) - 1) ||
		(small_records && SSL_CTX_set_tlsext_max_fragment_length(
					  load.ctx, TLSEXT_max_fragment_length_512) != 1))
		die("TLS context");
	SSL_CTX_set_session_cache_mode(
		load.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(load.ctx, keep_session);
	SSL_CTX_set_mode(load.ctx, SSL_MODE_RELEASE_BUFFERS);
}

static int usage(void)
{
	fprintf(stderr,
		"usage: load --mode handshake|request|paced|idle [--rate R] --port N [--address IPV4] "
		"[--conns N] [--requests N] [--seconds S] [--path /small] [--resume] [--group G] "
		"[--cipher C] [--small-records]\n");
	return 2;
}

static enum mode mode_of(const char *name)
{
	if (!strcmp(name, "handshake"))
		return MODE_HANDSHAKE;
	if (!strcmp(name, "paced"))
		return MODE_PACED;
	return strcmp(name, "idle") ? MODE_REQUEST : MODE_IDLE;
}

static void names_read(const char *text)
{
	if (sscanf(text, "%d,%d", &load.names_first, &load.names_len) != 2)
		die("--names FIRST,COUNT");
}

struct wish {
	const char *path, *group, *cipher;
	bool small_records;
};

/* 0 or -1: no such option, or its value is not one. */
static int option_take(int option, struct wish *wish)
{
	switch (option) {
	case 'm':
		load.mode = mode_of(optarg);
		return 0;
	case 'a':
		return inet_pton(AF_INET, optarg, &load.address) == 1 ? 0 : -1;
	case 'p':
		load.port = atoi(optarg);
		return 0;
	case 'c':
		load.conns_len = atoi(optarg);
		return 0;
	case 'n':
		load.requests = atoi(optarg);
		return 0;
	case 's':
		load.seconds = atof(optarg);
		return 0;
	case 'R':
		load.rate = atof(optarg);
		return load.rate > 0 ? 0 : -1;
	case 'P':
		wish->path = optarg;
		return 0;
	case 'r':
		load.resume = true;
		return 0;
	case 'g':
		wish->group = optarg;
		return 0;
	case 'C':
		wish->cipher = optarg;
		return 0;
	case 'S':
		wish->small_records = true;
		return 0;
	case 'N':
		names_read(optarg);
		return 0;
	default:
		return -1;
	}
}

static int options_read(int argc, char **argv)
{
	static const struct option options[] = {
		{"mode", required_argument, NULL, 'm'},
		{"address", required_argument, NULL, 'a'},
		{"port", required_argument, NULL, 'p'},
		{"conns", required_argument, NULL, 'c'},
		{"requests", required_argument, NULL, 'n'},
		{"seconds", required_argument, NULL, 's'},
		{"path", required_argument, NULL, 'P'},
		{"rate", required_argument, NULL, 'R'},
		{"resume", no_argument, NULL, 'r'},
		{"group", required_argument, NULL, 'g'},
		{"cipher", required_argument, NULL, 'C'},
		{"names", required_argument, NULL, 'N'},
		{"small-records", no_argument, NULL, 'S'},
		{0},
	};
	struct wish wish = {.path = "/small"};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) > 0)
		if (option_take(option, &wish))
			return -1;
	snprintf(load.request, sizeof(load.request), REQUEST_FORMAT, wish.path);
	snprintf(load.request_small, sizeof(load.request_small), REQUEST_FORMAT, "/small");
	ctx_init(wish.group, wish.cipher, wish.small_records);
	return load.port && load.conns_len && (load.mode != MODE_PACED || load.rate > 0) ? 0 : -1;
}

int main(int argc, char **argv)
{
	char line[16];

	load.mode = MODE_REQUEST;
	load.conns_len = 1;
	load.seconds = 1;
	if (options_read(argc, argv))
		return usage();
	signal(SIGPIPE, SIG_IGN);
	load.wire_method = wire_init(READ_BYTES);
	load.in = malloc(READ_BYTES);
	load.plain = malloc(READ_BYTES);
	load.waits = calloc(WAITS_MAX, sizeof(*load.waits));
	load.conns = calloc((size_t)load.conns_len, sizeof(*load.conns));
	load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!load.wire_method || !load.in || !load.plain || !load.waits || !load.conns ||
		load.epoll_fd < 0)
		die("out of memory");
	set_up();
	if (!fgets(line, sizeof(line), stdin))
		return 0;
	run();
	while (fgets(line, sizeof(line), stdin))
		;
	return load.errors != 0;
}
