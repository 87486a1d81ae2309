/* A connection to the daemon: see connection.h. */
#include "connection.h"

#include "core/mem.h"
#include "net/socket.h"
#include "tls/key_password.h"
#include "tls/link.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct connection {
	const struct client_where *where;
	const char *name; /* of the other end */
	unsigned int timeout_s;
	int fd;
	struct tls_link *link; /* NULL: a unix socket */
	char *headers;
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

static bool set_time_out(int fd, unsigned int timeout_s)
{
	struct timeval timeout = {.tv_sec = timeout_s};

	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
	       setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0;
}

/* A process that cannot be seen from here has no number. */
static int check_own(int fd, const char *path, struct err *err)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return err_set(err, -errno, "%s: %s", path, strerror(errno));
	if (peer.pid == 0)
		return err_set(err, -ENOENT, "%s is served by a daemon of another container", path);
	return 0;
}

static int connect_local(const char *path, bool is_own, unsigned int timeout_s, struct err *err)
{
	struct sockaddr_un address;
	int fd, rc = socket_unix_addr(path, &address);

	if (rc < 0)
		return err_set(err, rc, "%s: a socket's path has 1 to %zu bytes", path,
			sizeof(address.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "socket: %s", strerror(errno));
	if (set_time_out(fd, timeout_s) &&
		connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		rc = is_own ? check_own(fd, path, err) : 0;
	else
		rc = explain_connect(path, -errno, err);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

/* --- TCP */

/* "HOST:PORT", "[ADDRESS]:PORT": two texts of one allocation. */
static char *split(const char *address, const char **ret_port)
{
	char *copy = mem_strdup(address), *colon = strrchr(copy, ':'), *host = copy;
	size_t len;

	if (!colon || colon == copy || !colon[1]) {
		free(copy);
		return NULL;
	}
	*colon = '\0';
	*ret_port = colon + 1;
	len = strlen(host);
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		memmove(host, host + 1, len - 1);
	}
	return copy;
}

static int connect_one(const struct addrinfo *place, unsigned int timeout_s)
{
	int fd = socket(place->ai_family, place->ai_socktype | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	if (set_time_out(fd, timeout_s) && connect(fd, place->ai_addr, place->ai_addrlen) == 0)
		return fd;
	r = errno == EINPROGRESS ? -ETIMEDOUT : -errno; /* the time-out of a connect() */
	close(fd);
	return r;
}

static int connect_remote(const char *address, const char *host, const char *port,
	unsigned int timeout_s, struct err *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *places, *place;
	int r = getaddrinfo(host, port, &hints, &places), fd = -ENOENT;

	if (r)
		return err_set(err, -ENOENT, "%s: %s", address, gai_strerror(r));
	for (place = places; place && fd < 0; place = place->ai_next)
		fd = connect_one(place, timeout_s);
	freeaddrinfo(places);
	return fd >= 0 ? fd : err_set(err, fd, "%s: %s", address, strerror(-fd));
}

static int add_token(struct connection *connection, struct err *err)
{
	struct key_password_source source = {.path = connection->where->token_file};
	struct key_password token;
	int r;

	if (!source.path)
		return 0;
	r = key_password_ask(&source, &token, err);
	if (r < 0)
		return r;
	if (strpbrk(token.text, "\r\n"))
		return err_set(err, -EINVAL, "%s: this is no token", source.path);
	free(connection->headers);
	connection->headers = mem_printf("Authorization: Bearer %s\r\n", token.text);
	key_password_wipe(&token);
	return 0;
}

static int open_remote(struct connection *connection, struct err *err)
{
	const struct client_where *where = connection->where;
	struct tls_link_spec spec = {.ca_path = where->ca_file,
		.cert_path = where->cert_file,
		.key_path = where->key_file};
	const char *port;
	char *host = split(where->address, &port);
	int r;

	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	if (!host)
		return err_set(err, -EINVAL, "%s: an address is HOST:PORT", where->address);
	spec.server = host;
	r = add_token(connection, err);
	if (r == 0)
		r = connect_remote(where->address, host, port, connection->timeout_s, err);
	if (r >= 0) {
		connection->fd = r;
		r = tls_link_new(connection->fd, &spec, &connection->link, err);
		if (r < 0)
			err_context(err, r, "%s", where->address);
	}
	free(host);
	return r;
}

int connection_new(const struct client_where *where, unsigned int timeout_s,
	struct connection **ret_connection, struct err *err)
{
	struct connection *connection = mem_zalloc(sizeof(*connection));
	int r;

	*connection = (struct connection){.where = where,
		.name = where->address ? where->address : where->socket_path,
		.timeout_s = timeout_s,
		.fd = -1,
		.headers = mem_strdup("")};
	if (where->address) {
		r = open_remote(connection, err);
	} else {
		r = connect_local(where->socket_path, where->is_own, timeout_s, err);
		connection->fd = r;
	}
	if (r < 0) {
		connection_free(connection);
		return r;
	}
	*ret_connection = connection;
	return 0;
}

void connection_free(struct connection *connection)
{
	tls_link_free(connection->link);
	if (connection->fd >= 0)
		close(connection->fd);
	explicit_bzero(connection->headers, strlen(connection->headers));
	free(connection->headers);
	free(connection);
}

const char *connection_host(const struct connection *connection)
{
	return connection->where->address ? connection->where->address : "sluice";
}

const char *connection_headers(const struct connection *connection)
{
	return connection->headers;
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

int connection_write(struct connection *connection, const char *bytes, size_t len)
{
	return connection->link ? tls_link_write(connection->link, bytes, len)
				: send_all(connection->fd, bytes, len);
}

ssize_t connection_read(struct connection *connection, char *bytes, size_t len)
{
	ssize_t n;

	if (connection->link)
		return tls_link_read(connection->link, bytes, len);
	do
		n = recv(connection->fd, bytes, len, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void connection_wait_for_ever(struct connection *connection)
{
	struct timeval never = {0};

	/* If it cannot be had, a pause is taken for a hung daemon. */
	(void)setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
}

static int explain_silence(const struct connection *connection, struct err *err)
{
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);

	if (connection->link)
		return err_set(err, -ETIMEDOUT, "%s: the daemon did not answer within %u s",
			connection->name, connection->timeout_s);
	if (getsockopt(connection->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		peer.pid = 0;
	return err_set(err, -ETIMEDOUT,
		"%s: the daemon (pid %d) did not answer within %u s: is it stopped or hung?",
		connection->name, (int)peer.pid, connection->timeout_s);
}

int connection_explain(const struct connection *connection, int code, struct err *err)
{
	if (code == -EAGAIN)
		return explain_silence(connection, err);
	if (code == -EBADMSG)
		return err_set(err, code,
			"%s: what answers there is not sluiced, or it died meanwhile",
			connection->name);
	if (code == -EPROTO && connection->link)
		return err_set(
			err, code, "%s: %s", connection->name, tls_link_failure(connection->link));
	return err_set(err, code, "%s: the daemon closed the connection: %s", connection->name,
		strerror(-code));
}
