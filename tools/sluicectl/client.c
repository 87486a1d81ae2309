/* One request to the daemon's admin API: see client.h. */
#include "client.h"
#include "connection.h"

#include "core/mem.h"
#include "http/h1_body.h"
#include "http/h1_head.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ANSWER_BYTES_MAX = 1024 * 1024 * 1024, /* a list of two million prefixes is a third of it */
	HEAD_BYTES_MAX = 16 * 1024,
	HEADERS_MAX = 32,
	RECEIVE_BYTES = 64 * 1024,
};

/* --- receiving */

/* An answer on its way. What has come and was not used yet is in `bytes`. */
struct receiving {
	struct connection *connection;
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
	ssize_t n =
		connection_read(in->connection, in->bytes + in->len, sizeof(in->bytes) - in->len);

	if (n < 0)
		return (int)n;
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

static int send_request(struct connection *connection, const struct client_request *request)
{
	char *head = mem_printf("%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s",
		request->method, request->target, connection_host(connection),
		connection_headers(connection));
	char length[64];
	int rc = connection_write(connection, head, strlen(head));

	explicit_bzero(head, strlen(head)); /* a token is in it */
	free(head);
	snprintf(length, sizeof(length),
		strcmp(request->method, "GET") != 0 ? "Content-Length: %zu\r\n\r\n" : "\r\n",
		request->body_len);
	if (rc == 0)
		rc = connection_write(connection, length, strlen(length));
	if (rc == 0 && request->body)
		rc = connection_write(connection, request->body, request->body_len);
	return rc;
}

/* `sink` gets a good answer, `refusal` one that is an error. */
static int exchange(struct receiving *in, const struct client_request *request,
	const struct sink *sink, const struct sink *refusal)
{
	int rc = send_request(in->connection, request);

	if (rc && rc != -EPIPE && rc != -ECONNRESET) /* it may have said why before it closed */
		return rc;
	rc = receive_head(in);
	if (rc)
		return rc;
	if (in->status >= 300)
		return receive_body(in, refusal);
	if (request->is_endless)
		connection_wait_for_ever(in->connection);
	if (request->begin)
		request->begin();
	return receive_body(in, sink);
}

static int fetch(const struct client_request *request, const struct sink *sink,
	const struct sink *refusal, unsigned int *ret_status, struct err *err)
{
	struct receiving *in;
	struct connection *connection;
	int rc = connection_new(request->where, request->timeout_s, &connection, err);

	if (rc < 0)
		return rc;
	in = mem_zalloc(sizeof(*in));
	in->connection = connection;
	rc = exchange(in, request, sink, refusal);
	*ret_status = in->status;
	if (rc)
		connection_explain(connection, rc, err);
	free(in);
	connection_free(connection);
	return rc;
}

static int is_not_sluiced(const struct client_request *request, int code, struct err *err)
{
	return err_set(err, code, "%s: what answers there is not sluiced, or it died meanwhile",
		request->where->address ? request->where->address : request->where->socket_path);
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
	return rc ? is_not_sluiced(request, rc, err) : 0;
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
		return rc ? is_not_sluiced(request, rc, err) : 0;
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
