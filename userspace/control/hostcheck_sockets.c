/* Sockets: what is tried on the loopback interface, and the kernel's settings for them. */
#include "control/hostcheck_parts.h"

#include "net/addr.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	BACKLOG = 4096, /* what proxy/listener.c asks for */
	PORTS_FEW = 16384,
};

void hostcheck_probe_close(struct hostcheck_probe *probe)
{
	int fds[] = {probe->listener, probe->client, probe->server, probe->pipe[0], probe->pipe[1]};
	size_t i;

	for (i = 0; i < array_len(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* A port that the kernel chooses. With SO_REUSEPORT, as the daemon binds. */
static int bind_any_port(in_addr_t ip)
{
	union addr addr = {.v4 = {.sin_family = AF_INET, .sin_addr = {htonl(ip)}}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, code;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0 &&
		bind(fd, &addr.any, addr_len(&addr)) == 0)
		return fd;
	code = -errno;
	close(fd);
	return code;
}

static void check_bind(struct hostcheck *check)
{
	int fd = bind_any_port(INADDR_ANY);

	if (fd >= 0)
		hostcheck_required(check, "sockets", true, "TCP with SO_REUSEPORT");
	else
		hostcheck_required(
			check, "sockets", false, "TCP with SO_REUSEPORT: %s", strerror(-fd));
	if (fd >= 0)
		close(fd);
}

static int connect_loopback(int listener)
{
	struct timeval patience = {.tv_sec = 2}; /* a packet filter may drop the connection */
	union addr addr = {0};
	socklen_t len = sizeof(addr);
	int fd, code;

	if (listen(listener, 1) < 0 || getsockname(listener, &addr.any, &len) < 0)
		return -errno;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
		connect(fd, &addr.any, addr_len(&addr)) == 0)
		return fd;
	code = errno == EINPROGRESS ? -ETIMEDOUT : -errno;
	close(fd);
	return code;
}

int hostcheck_probe_open(struct hostcheck_probe *ret_probe)
{
	*ret_probe = (struct hostcheck_probe){-1, -1, -1, {-1, -1}};
	ret_probe->listener = bind_any_port(INADDR_LOOPBACK);
	if (ret_probe->listener < 0)
		return ret_probe->listener;
	ret_probe->client = connect_loopback(ret_probe->listener);
	if (ret_probe->client < 0)
		return ret_probe->client;
	/* The connection is there: this does not wait. */
	ret_probe->server = accept4(ret_probe->listener, NULL, NULL, SOCK_CLOEXEC);
	if (ret_probe->server < 0 || pipe2(ret_probe->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

static void check_splice(struct hostcheck *check, const struct hostcheck_probe *probe)
{
	ssize_t moved = -1;

	if (send(probe->client, "x", 1, MSG_NOSIGNAL) == 1)
		moved = splice(probe->server, NULL, probe->pipe[1], NULL, 1, 0);
	if (moved == 1)
		hostcheck_row(
			check, "splice", true, "bytes between plain sockets stay in the kernel");
	else
		hostcheck_row(check, "splice", false,
			"splice(): %s: TCP tunnels cannot carry bytes", strerror(errno));
}

static void check_loopback(struct hostcheck *check)
{
	struct hostcheck_probe probe;
	int code = hostcheck_probe_open(&probe);

	if (code < 0) {
		hostcheck_row(check, "loopback", false,
			"TCP on 127.0.0.1: %s (is lo up?): splice and ktls were not tried",
			strerror(-code));
	} else {
		check_splice(check, &probe);
		hostcheck_ktls(check);
	}
	hostcheck_probe_close(&probe);
}

static void check_ipv6(struct hostcheck *check)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	hostcheck_row(check, "ipv6", fd >= 0, "%s",
		fd >= 0 ? "sockets can be made" : "no IPv6 listeners or targets");
	if (fd >= 0)
		close(fd);
}

/* Up to two numbers; how many were there. */
static int read_numbers(const char *path, unsigned int ret_numbers[2])
{
	FILE *file = fopen(path, "re");
	int n;

	if (!file)
		return 0;
	n = fscanf(file, "%u %u", &ret_numbers[0], &ret_numbers[1]);
	fclose(file);
	return n < 0 ? 0 : n;
}

static void check_backlog(struct hostcheck *check)
{
	unsigned int numbers[2];

	if (read_numbers("/proc/sys/net/core/somaxconn", numbers) < 1)
		hostcheck_row(check, "somaxconn", false, "net.core.somaxconn cannot be read");
	else if (numbers[0] < BACKLOG)
		hostcheck_row(check, "somaxconn", false,
			"%u: accept queues are that short instead of %d, bursts of connections "
			"overflow them (net.core.somaxconn)",
			numbers[0], BACKLOG);
	else
		hostcheck_row(
			check, "somaxconn", true, "%u, accept queues of %d", numbers[0], BACKLOG);
}

static void check_syncookies(struct hostcheck *check)
{
	unsigned int numbers[2];

	if (read_numbers("/proc/sys/net/ipv4/tcp_syncookies", numbers) < 1)
		hostcheck_row(check, "tcp_syncookies", false,
			"not in this kernel (or not visible here): a SYN flood fills the queue");
	else if (numbers[0] == 0)
		hostcheck_row(check, "tcp_syncookies", false,
			"0: no sockets from cookies, and a SYN flood fills the queue "
			"(net.ipv4.tcp_syncookies=1)");
	else
		hostcheck_row(check, "tcp_syncookies", true, "%u", numbers[0]);
}

static void check_ports(struct hostcheck *check)
{
	unsigned int numbers[2], n;

	if (read_numbers("/proc/sys/net/ipv4/ip_local_port_range", numbers) < 2) {
		hostcheck_row(
			check, "local_ports", false, "net.ipv4.ip_local_port_range cannot be read");
		return;
	}
	n = numbers[1] >= numbers[0] ? numbers[1] - numbers[0] + 1 : 0;
	hostcheck_row(check, "local_ports", n >= PORTS_FEW,
		"%u to %u: at most %u connections to one target at a time%s", numbers[0],
		numbers[1], n, n >= PORTS_FEW ? "" : " (net.ipv4.ip_local_port_range)");
}

void hostcheck_sockets(struct hostcheck *check)
{
	check_bind(check);
	check_loopback(check);
	check_ipv6(check);
	check_backlog(check);
	check_syncookies(check);
	check_ports(check);
}
