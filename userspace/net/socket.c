/* Sockets: see socket.h. */
#include "net/socket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static const char *bind_failure(int code)
{
	switch (code) {
	case EADDRINUSE:
		return "address already in use by another program";
	case EADDRNOTAVAIL:
		return "no interface of this host has the address";
	case EACCES:
		return "Permission denied (a low port: root or CAP_NET_BIND_SERVICE is needed)";
	default:
		return strerror(code);
	}
}

int socket_probe(const union addr *addr, struct err *err)
{
	int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), r = 0;
	char text[ADDR_TEXT_BYTES];

	if (fd < 0)
		return err_set(err, -errno, "cannot make a socket for %s: %s",
			addr_format(addr, text), strerror(errno));
	if (set(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
		(addr->any.sa_family == AF_INET6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0) ||
		bind(fd, &addr->any, addr_len(addr)) < 0)
		r = err_set(err, -errno, "cannot bind %s: %s", addr_format(addr, text),
			bind_failure(errno));
	close(fd);
	return r;
}

int socket_listen(const union addr *addr, int backlog, int defer_s, struct err *err)
{
	char text[ADDR_TEXT_BYTES];
	int fd, r;

	fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot make a socket for %s: %s",
			addr_format(addr, text), strerror(errno));
	if (set(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 || set(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0 ||
		(addr->any.sa_family == AF_INET6 && set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0) ||
		set(fd, IPPROTO_TCP, TCP_NODELAY, 1) < 0 || /* accepted sockets inherit it */
		(defer_s && set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, defer_s) < 0)) {
		r = err_set(err, -errno, "cannot set socket options for %s: %s",
			addr_format(addr, text), strerror(errno));
		goto fail;
	}
	if (bind(fd, &addr->any, addr_len(addr)) < 0) {
		r = err_set(err, -errno, "cannot bind %s: %s", addr_format(addr, text),
			bind_failure(errno));
		goto fail;
	}
	if (listen(fd, backlog) < 0) {
		r = err_set(err, -errno, "cannot listen on %s: %s", addr_format(addr, text),
			strerror(errno));
		goto fail;
	}
	return fd;
fail:
	close(fd);
	return r;
}

int socket_accept(int listen_fd, union addr *ret_peer)
{
	union addr peer = {0};
	socklen_t len = sizeof(peer);
	int fd = accept4(listen_fd, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_peer = peer;
	return fd;
}

int socket_connect(const union addr *addr)
{
	int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (connect(fd, &addr->any, addr_len(addr)) < 0 && errno != EINPROGRESS) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

void socket_close(struct loop *loop, struct watch *watch, bool abort)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (watch->fd < 0)
		return;
	if (abort)
		setsockopt(watch->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	loop_close(loop, watch);
}

int socket_local_addr(int fd, union addr *ret_addr)
{
	union addr addr = {0};
	socklen_t len = sizeof(addr);

	if (getsockname(fd, &addr.any, &len) < 0)
		return -errno;
	*ret_addr = addr;
	return 0;
}

int socket_unix_addr(const char *path, struct sockaddr_un *ret_addr)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	if (len == 0)
		return -EINVAL;
	memcpy(addr.sun_path, path, len + 1);
	*ret_addr = addr;
	return 0;
}
