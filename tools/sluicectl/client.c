/* One request to the daemon's admin API: see client.h. */
#include "client.h"

#include "core/mem.h"
#include "http/h1_head.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_BYTES_MAX = 256 * 1024 * 1024, HEAD_BYTES_MAX = 16 * 1024, HEADERS_MAX = 32 };

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

/* Appends what comes until the daemon closes. */
static int receive_all(int fd, char **ret_bytes, size_t *ret_len)
{
	size_t len = 0, size = 64 * 1024;
	char *bytes = mem_alloc(size);
	int rc = 0;

	for (;;) {
		ssize_t n = recv(fd, bytes + len, size - len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rc = n < 0 ? -errno : 0;
			break;
		}
		len += (size_t)n;
		if (len == ANSWER_BYTES_MAX) {
			rc = -EMSGSIZE;
			break;
		}
		if (len == size) {
			size *= 2;
			bytes = mem_realloc(bytes, size);
		}
	}
	if (rc)
		free(bytes);
	else
		*ret_bytes = bytes, *ret_len = len;
	return rc;
}

/* Splits the answer into status and body. 0, or -EBADMSG. */
static int parse(const char *bytes, size_t len, struct answer *ret_answer)
{
	struct h1_limits limits = {HEAD_BYTES_MAX, HEAD_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX};
	struct http_header items[HEADERS_MAX];
	struct h1_expected expected = {0};
	struct http_response response = {0};
	struct h1_head head = {0};
	enum h1_error fault;
	int head_len;

	http_headers_lend(&response.headers, items, HEADERS_MAX);
	head_len = h1_head_response(&head, &limits, &expected, bytes, len, &response, &fault);
	if (head_len < 0)
		return -EBADMSG;
	len -= (size_t)head_len;
	if (response.body != HTTP_BODY_LENGTH || response.content_length != len)
		return -EBADMSG;
	ret_answer->status = response.status;
	ret_answer->text = mem_strndup(bytes + head_len, len);
	ret_answer->len = len;
	ret_answer->doc = yyjson_read(ret_answer->text, len, 0);
	if (yyjson_is_obj(yyjson_doc_get_root(ret_answer->doc)))
		return 0;
	client_answer_free(ret_answer);
	return -EBADMSG;
}

int client_ask(const char *socket_path, const char *method, const char *target,
	unsigned int timeout_s, struct answer *ret_answer, struct err *err)
{
	char request[256], *bytes;
	size_t len;
	int fd, rc;

	fd = connect_to(socket_path, timeout_s, err);
	if (fd < 0)
		return fd;
	snprintf(request, sizeof(request),
		"%s %s HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\n%s\r\n", method, target,
		strcmp(method, "POST") == 0 ? "Content-Length: 0\r\n" : "");
	rc = send_all(fd, request, strlen(request));
	if (!rc || rc == -EPIPE) /* it may have said why before it closed */
		rc = receive_all(fd, &bytes, &len);
	if (rc) {
		rc = explain_io(fd, socket_path, rc, timeout_s, err);
		close(fd);
		return rc;
	}
	close(fd);
	rc = parse(bytes, len, ret_answer);
	free(bytes);
	if (rc)
		err_set(err, rc, "%s: what answers there is not sluiced, or it died meanwhile",
			socket_path);
	return rc;
}

void client_answer_free(struct answer *answer)
{
	yyjson_doc_free(answer->doc);
	free(answer->text);
	*answer = (struct answer){0};
}
