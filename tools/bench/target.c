/*
 * The target behind the products of the bench: plain HTTP/1.1 with keep-alive, as cheap as it can
 * be made, so that it takes little of the CPU it shares with the load generator.
 *   GET /small    100 bytes
 *   GET /bytes/N  N bytes, sent from page cache without a copy
 *   GET /chunked/N  N bytes, rounded up to whole chunks of CHUNK_BYTES, in the same way
 *   GET /hold     nothing: the request stays under way until the client goes
 * One request at a time per connection, heads up to HEAD_BYTES, no request bodies. Single-threaded;
 * serves until SIGTERM.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SMALL_BYTES = 100,
	HEAD_BYTES = 4096,
	FILE_BYTES = 1 << 20, /* a body is this file, over and over */
	CHUNK_BYTES = 1 << 16,
	CHUNK_LINE_BYTES = 7, /* "10000" and the line's end */
	CHUNK_WIRE_BYTES = CHUNK_LINE_BYTES + CHUNK_BYTES + 2,
	CHUNKS = 16, /* in the file with them, behind which is the last one */
	CHUNKS_BYTES = CHUNKS * CHUNK_WIRE_BYTES,
	CHUNK_LAST_BYTES = 5,
	BATCH = 64,
};

struct conn {
	int fd;
	bool close_after; /* "Connection: close" or HTTP/1.0 */
	bool is_chunked;
	size_t head_len;
	size_t body_left; /* on the wire */
	size_t body_sent;
	char head[HEAD_BYTES + 1];
};

static int epoll_fd, file_fd, chunks_fd;
static char small_response[256];
static size_t small_len;

static void die(const char *what)
{
	fprintf(stderr, "target: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void conn_close(struct conn *conn)
{
	close(conn->fd);
	free(conn);
}

/* Sends as much of the body as there is in one piece of a file. */
static ssize_t send_piece(struct conn *conn)
{
	size_t left = conn->body_left, from = 0, to = FILE_BYTES;
	off_t offset;

	if (conn->is_chunked && left > CHUNK_LAST_BYTES) {
		left -= CHUNK_LAST_BYTES;
		from = conn->body_sent % CHUNKS_BYTES;
		to = CHUNKS_BYTES;
	} else if (conn->is_chunked) {
		to = CHUNKS_BYTES + CHUNK_LAST_BYTES;
		from = to - left;
	}
	offset = (off_t)from;
	return sendfile(conn->fd, conn->is_chunked ? chunks_fd : file_fd, &offset,
		left < to - from ? left : to - from);
}

/* True while the connection lives. */
static bool send_body(struct conn *conn)
{
	while (conn->body_left) {
		ssize_t n = send_piece(conn);

		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false;
		conn->body_left -= (size_t)n;
		conn->body_sent += (size_t)n;
	}
	return !conn->close_after;
}

static bool send_head(struct conn *conn, const char *status, size_t body_bytes)
{
	char head[256], length[64];
	int len;

	snprintf(length, sizeof(length), "Content-Length: %zu", body_bytes);
	len = snprintf(head, sizeof(head),
		"HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\n%s\r\n\r\n", status,
		conn->is_chunked ? "Transfer-Encoding: chunked" : length);
	return send(conn->fd, head, (size_t)len, MSG_NOSIGNAL | (body_bytes ? MSG_MORE : 0)) == len;
}

static bool answer(struct conn *conn)
{
	conn->close_after = strcasestr(conn->head, "\r\nconnection: close") ||
			    strstr(conn->head, " HTTP/1.0\r\n");
	if (!strncmp(conn->head, "GET /small ", 11)) {
		if (send(conn->fd, small_response, small_len, MSG_NOSIGNAL) != (ssize_t)small_len)
			return false;
		return !conn->close_after;
	}
	if (!strncmp(conn->head, "GET /hold ", 10))
		return true;
	conn->is_chunked = !strncmp(conn->head, "GET /chunked/", 13);
	conn->body_sent = 0;
	if (conn->is_chunked) {
		conn->body_left = strtoul(conn->head + 13, NULL, 10);
		conn->body_left =
			(conn->body_left + CHUNK_BYTES - 1) / CHUNK_BYTES * CHUNK_WIRE_BYTES +
			CHUNK_LAST_BYTES;
		return send_head(conn, "200 OK", conn->body_left) && send_body(conn);
	}
	if (!strncmp(conn->head, "GET /bytes/", 11)) {
		conn->body_left = strtoul(conn->head + 11, NULL, 10);
		return send_head(conn, "200 OK", conn->body_left) && send_body(conn);
	}
	return send_head(conn, "404 Not Found", 0) && !conn->close_after;
}

static bool conn_readable(struct conn *conn)
{
	ssize_t n = recv(conn->fd, conn->head + conn->head_len, HEAD_BYTES - conn->head_len, 0);

	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	conn->head_len += (size_t)n;
	conn->head[conn->head_len] = 0;
	if (conn->head_len < 4 || memcmp(conn->head + conn->head_len - 4, "\r\n\r\n", 4) != 0)
		return conn->head_len < HEAD_BYTES;
	conn->head_len = 0;
	return answer(conn);
}

static void serve_conn(struct conn *conn, uint32_t events)
{
	bool alive = true;

	if (conn->body_left)
		alive = send_body(conn);
	if (alive && (events & EPOLLIN))
		alive = conn_readable(conn);
	if (!alive || (events & (EPOLLERR | EPOLLHUP)))
		conn_close(conn);
}

static void accept_one(int listen_fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct conn *conn;

	if (fd < 0)
		return;
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		die("out of memory");
	conn->fd = fd;
	event.data.ptr = conn;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct epoll_event event = {.events = EPOLLIN};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 4096) ||
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
		die("listen");
	return fd;
}

static void put_bytes(off_t offset, const char *bytes, size_t len)
{
	if (pwrite(chunks_fd, bytes, len, offset) != (ssize_t)len)
		die("memfd");
}

static void chunks_init(void)
{
	int i;

	chunks_fd = memfd_create("chunks", MFD_CLOEXEC);
	if (chunks_fd < 0 || fallocate(chunks_fd, 0, 0, CHUNKS_BYTES + CHUNK_LAST_BYTES))
		die("memfd");
	for (i = 0; i < CHUNKS; i++) {
		put_bytes(i * CHUNK_WIRE_BYTES, "10000\r\n", CHUNK_LINE_BYTES);
		put_bytes((i + 1) * CHUNK_WIRE_BYTES - 2, "\r\n", 2);
	}
	put_bytes(CHUNKS_BYTES, "0\r\n\r\n", CHUNK_LAST_BYTES);
}

static void responses_init(void)
{
	int head_len = snprintf(small_response, sizeof(small_response),
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n",
		SMALL_BYTES);

	memset(small_response + head_len, 'x', SMALL_BYTES);
	small_len = (size_t)head_len + SMALL_BYTES;
	file_fd = memfd_create("body", MFD_CLOEXEC);
	if (file_fd < 0 || fallocate(file_fd, 0, 0, FILE_BYTES))
		die("memfd");
}

int main(int argc, char **argv)
{
	struct epoll_event events[BATCH];
	int listen_fd, i, n;

	if (argc != 2) {
		fprintf(stderr, "usage: target PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	responses_init();
	chunks_init();
	listen_fd = listen_on((uint16_t)atoi(argv[1]));
	for (;;) {
		n = epoll_wait(epoll_fd, events, BATCH, -1);
		for (i = 0; i < n; i++) {
			if (!events[i].data.ptr)
				accept_one(listen_fd);
			else
				serve_conn(events[i].data.ptr, events[i].events);
		}
	}
}
