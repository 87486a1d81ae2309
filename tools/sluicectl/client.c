/* One request to the daemon's admin API: see client.h. */
#include "client.h"

#include "core/mem.h"
#include "http/h1_body.h"
#include "http/h1_head.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	ANSWER_BYTES_MAX = 1024 * 1024 * 1024, /* a list of two million prefixes is a third of it */
	HEAD_BYTES_MAX = 16 * 1024,
	HEADERS_MAX = 32,
	RECEIVE_BYTES = 64 * 1024,
};

static int explain_connect(const char *path, int code, struct err *err)
{
	if (code == -ENOENT || code == -ECONNREFUSED)
		return err_set(err, code,
			"no daemon answers on %s (%s): is sluiced running? Another socket is named "
			"with -s PATH",
			path, strerror(-code));
	if (code == -EACCES || code == -EPERM)
		return err_set(err, code, "%s: %s: run it as root or as the user of the daemon",
			path, strerror(-code));
	return err_set(err, code, "%s: %s", path, strerror(-code));
}

/* The connected socket, which gives up waiting after `timeout_s`. */
static int connect_to(const char *path, unsigned int timeout_s, struct err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = timeout_s};
	int fd, rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG, "%s: a socket's path has at most %zu bytes",
			path, sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket: %s", strerror(errno));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
		connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	rc = explain_connect(path, -errno, err);
	close(fd);
	return rc;
}

/* Why a connected daemon is silent. */
static int explain_io(int fd, const char *path, int code, unsigned int timeout_s, struct err *err)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	if (code != -EAGAIN)
		return err_set(err, code, "%s: the daemon closed the connection: %s", path,
			strerror(-code));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		peer.pid = 0;
	return err_set(err, -ETIMEDOUT,
		"%s: the daemon (pid %d) did not answer within %u s: is it stopped or hung?", path,
		(int)peer.pid, timeout_s);
}

static int send_all(int fd, const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* --- receiving */

/* An answer on its way. What has come and was not used yet is in `bytes`. */
struct receiving {
	int fd;
	char bytes[RECEIVE_BYTES];
	size_t len;
	unsigned int status;
	struct h1_body body;
};

static void consume(struct receiving *in, size_t len)
{
	in->len -= len;
	memmove(in->bytes, in->bytes + len, in->len);
}

/* 0, or a negative errno; -EBADMSG: the daemon has closed. */
static int receive_more(struct receiving *in)
{
	ssize_t n;

	do
		n = recv(in->fd, in->bytes + in->len, sizeof(in->bytes) - in->len, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	in->len += (size_t)n;
	return n > 0 ? 0 : -EBADMSG;
}

static int receive_head(struct receiving *in)
{
	struct h1_limits limits = {HEAD_BYTES_MAX, HEAD_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX};
	struct http_header items[HEADERS_MAX];
	struct http_response response = {0};
	struct h1_expected expected = {0};
	struct h1_head head = {0};
	enum h1_error fault;
	int len, rc;

	do {
		rc = receive_more(in);
		if (rc)
			return rc;
		http_headers_lend(&response.headers, items, HEADERS_MAX);
		len = h1_head_response(
			&head, &limits, &expected, in->bytes, in->len, &response, &fault);
	} while (len == -EAGAIN);
	if (len < 0 || response.body == HTTP_BODY_UNTIL_CLOSE)
		return -EBADMSG;
	in->status = response.status;
	h1_body_init(&in->body, response.body, response.content_length);
	consume(in, (size_t)len);
	return 0;
}

/* Whoever takes the body; a negative errno ends it. */
struct sink {
	int (*take)(void *arg, const char *bytes, size_t len);
	void *arg;
};

static int receive_body(struct receiving *in, const struct sink *sink)
{
	union h1_body_out out;
	enum h1_error fault;
	size_t skip;
	int rc = 0;

	while (rc == 0) {
		switch (h1_body_next(&in->body, in->bytes, in->len, &skip, &out, &fault)) {
		case H1_BODY_DATA:
			rc = sink->take(sink->arg, out.data.ptr, out.data.len);
			h1_body_take(&in->body, out.data.len);
			consume(in, skip + out.data.len);
			break;
		case H1_BODY_MORE:
			consume(in, skip);
			rc = receive_more(in);
			break;
		case H1_BODY_END:
			return 0;
		case H1_BODY_TRAILER:
		case H1_BODY_ERROR:
			return -EBADMSG;
		}
	}
	return rc;
}

/* --- a text in memory */

struct text {
	char *bytes;
	size_t len, size;
};

static int append(void *arg, const char *bytes, size_t len)
{
	struct text *text = arg;

	if (len > ANSWER_BYTES_MAX - text->len)
		return -EMSGSIZE;
	while (text->size < text->len + len + 1) {
		text->size = text->size ? text->size * 2 : RECEIVE_BYTES;
		text->bytes = mem_realloc(text->bytes, text->size);
	}
	memcpy(text->bytes + text->len, bytes, len);
	text->len += len;
	text->bytes[text->len] = '\0';
	return 0;
}

static int text_to_answer(struct text *text, unsigned int status, struct answer *ret_answer)
{
	ret_answer->status = status;
	ret_answer->text = text->bytes;
	ret_answer->len = text->len;
	ret_answer->doc = yyjson_read(text->bytes, text->len, 0);
	if (yyjson_is_obj(yyjson_doc_get_root(ret_answer->doc)))
		return 0;
	client_answer_free(ret_answer);
	return -EBADMSG;
}

/* --- asking */

static int send_request(int fd, const struct client_request *request)
{
	char *head = mem_printf("%s %s HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n",
		request->method, request->target);
	char length[64];
	int rc = send_all(fd, head, strlen(head));

	free(head);
	snprintf(length, sizeof(length),
		strcmp(request->method, "GET") != 0 ? "Content-Length: %zu\r\n\r\n" : "\r\n",
		request->body_len);
	if (rc == 0)
		rc = send_all(fd, length, strlen(length));
	if (rc == 0 && request->body)
		rc = send_all(fd, request->body, request->body_len);
	return rc;
}

static void wait_for_ever(int fd)
{
	struct timeval never = {0};

	/* If it cannot be had, a pause is taken for a hung daemon. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
}

/* `sink` gets a good answer, `refusal` one that is an error. */
static int exchange(struct receiving *in, const struct client_request *request,
	const struct sink *sink, const struct sink *refusal)
{
	int rc = send_request(in->fd, request);

	if (rc && rc != -EPIPE && rc != -ECONNRESET) /* it may have said why before it closed */
		return rc;
	rc = receive_head(in);
	if (rc)
		return rc;
	if (in->status >= 300)
		return receive_body(in, refusal);
	if (request->is_endless)
		wait_for_ever(in->fd);
	if (request->begin)
		request->begin();
	return receive_body(in, sink);
}

static int explain(int fd, const struct client_request *request, int code, struct err *err)
{
	if (code == -EBADMSG)
		return err_set(err, code,
			"%s: what answers there is not sluiced, or it died meanwhile",
			request->socket_path);
	return explain_io(fd, request->socket_path, code, request->timeout_s, err);
}

static int fetch(const struct client_request *request, const struct sink *sink,
	const struct sink *refusal, unsigned int *ret_status, struct err *err)
{
	struct receiving *in;
	int fd = connect_to(request->socket_path, request->timeout_s, err), rc;

	if (fd < 0)
		return fd;
	in = mem_zalloc(sizeof(*in));
	in->fd = fd;
	rc = exchange(in, request, sink, refusal);
	*ret_status = in->status;
	if (rc)
		explain(fd, request, rc, err);
	free(in);
	close(fd);
	return rc;
}

int client_ask(const struct client_request *request, struct answer *ret_answer, struct err *err)
{
	struct text text = {0};
	struct sink sink = {append, &text};
	unsigned int status = 0;
	int rc = fetch(request, &sink, &sink, &status, err);

	if (rc) {
		free(text.bytes);
		return rc;
	}
	rc = text_to_answer(&text, status, ret_answer);
	return rc ? explain(-1, request, rc, err) : 0;
}

struct taker {
	void (*take)(void *arg, const char *bytes, size_t len);
	void *arg;
};

static int hand_on(void *arg, const char *bytes, size_t len)
{
	const struct taker *taker = arg;

	taker->take(taker->arg, bytes, len);
	return 0;
}

int client_stream(const struct client_request *request,
	void (*take)(void *arg, const char *bytes, size_t len), void *arg,
	struct answer *ret_answer, struct err *err)
{
	struct taker taker = {take, arg};
	struct sink sink = {hand_on, &taker};
	struct text text = {0};
	struct sink refusal = {append, &text};
	unsigned int status = 0;
	int rc = fetch(request, &sink, &refusal, &status, err);

	*ret_answer = (struct answer){.status = status};
	if (rc == 0 && status >= 300) {
		rc = text_to_answer(&text, status, ret_answer);
		return rc ? explain(-1, request, rc, err) : 0;
	}
	free(text.bytes);
	return rc;
}

void client_answer_free(struct answer *answer)
{
	yyjson_doc_free(answer->doc);
	free(answer->text);
	*answer = (struct answer){0};
}
