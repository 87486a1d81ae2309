/*
 * A first flight of nobody's: see gate_probe.h. Its client is an address that nobody has, routed
 * into the TUN device for the moment, so that no answer leaves the host.
 */
#include "control/gate_probe.h"

#include "control/gate_probe_flight.h"
#include "core/hash.h"
#include "core/mem.h"
#include "dataplane/dp_counters.h"
#include "dataplane/dp_gate.h"
#include "dataplane/dp_listeners.h"
#include "net/firewall.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The socket is there when the flight is written; but a loaded host puts such work off. */
enum { PATIENCE_MS = 250 };

/* Addresses that are nobody's: for documentation (RFC 5737, RFC 3849), and, where filters drop
 * these for being that, of a service that answers to no one (RFC 7534). */
static const char *const clients_v4[] = {"198.51.100.77:9", "192.175.48.77:9"};
static const char *const clients_v6[] = {"[2001:db8:5:77::77]:9", "[2620:4f:8000::77]:9"};

static bool is_unspecified(const union addr *address)
{
	if (address->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
	return address->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

static bool is_useful(const struct ifaddrs *row, sa_family_t family)
{
	if (!row->ifa_addr || row->ifa_addr->sa_family != family || !(row->ifa_flags & IFF_UP) ||
		row->ifa_flags & IFF_LOOPBACK)
		return false;
	return family == AF_INET ||
	       !IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)row->ifa_addr)->sin6_addr);
}

/* Keeps the port. */
static int address_of_host(union addr *address, struct err *err)
{
	struct ifaddrs *rows, *row;
	union addr found;
	int code = -EADDRNOTAVAIL;

	if (getifaddrs(&rows))
		return err_set(err, -errno, "addresses of the host: %s", strerror(errno));
	for (row = rows; row && code; row = row->ifa_next) {
		if (!is_useful(row, address->any.sa_family))
			continue;
		found = (union addr){0};
		memcpy(&found, row->ifa_addr,
			row->ifa_addr->sa_family == AF_INET ? sizeof(found.v4) : sizeof(found.v6));
		addr_port_set(&found, addr_port(address));
		*address = found;
		code = 0;
	}
	freeifaddrs(rows);
	return code ? err_set(err, code, "no %s address but loopback",
			      address->any.sa_family == AF_INET ? "IPv4" : "IPv6")
		    : 0;
}

static int socket_listen(int fd, union addr *address)
{
	socklen_t len = sizeof(*address);
	int one = 1;

	if (address->any.sa_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)))
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		return -errno;
	if (bind(fd, &address->any, addr_len(address))) {
		if (errno != EADDRINUSE)
			return -errno;
		addr_port_set(address, 0);
		if (bind(fd, &address->any, addr_len(address)))
			return -errno;
	}
	if (listen(fd, 8) || getsockname(fd, &address->any, &len))
		return -errno;
	return 0;
}

/* Returns the descriptor; *address becomes what it listens on. */
static int probe_listen(union addr *address, struct err *err)
{
	char text[ADDR_TEXT_BYTES];
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int code = fd < 0 ? -errno : socket_listen(fd, address);

	if (!code)
		return fd;
	if (fd >= 0)
		close(fd);
	return err_set(err, code, "%s: %s", addr_format(address, text), strerror(-code));
}

/* Whether it is the probe's that is accepted. It is reset: nothing stays in TIME_WAIT. */
static bool accept_client(int listener, const union addr *client)
{
	const struct linger reset = {.l_onoff = 1};
	bool found = false;

	for (;;) {
		union addr peer = {0}, expected = *client;
		socklen_t len = sizeof(peer);
		int fd = accept4(listener, &peer.any, &len, SOCK_CLOEXEC);

		if (fd < 0)
			return found;
		addr_port_set(&peer, 0);
		addr_port_set(&expected, 0);
		found |= addr_eq(&peer, &expected);
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
}

static int flight_send(struct dataplane *dp, const struct tun *tun, int listener,
	union addr *client, const union addr *server)
{
	struct pollfd polled = {.fd = listener, .events = POLLIN};
	struct gate_probe_flight flight;
	uint16_t port;
	int code;

	hash_random(&port, sizeof(port));
	addr_port_set(client, (uint16_t)(32768 | port));
	gate_probe_flight_build(&flight, dp_settings(dp), client, server);
	code = tun_write(tun_queue_fd(tun, 0), &(struct iovec){flight.bytes, flight.len}, 1,
		flight.head, true);
	if (code)
		return code;
	if (poll(&polled, 1, PATIENCE_MS) < 0)
		return -errno;
	return accept_client(listener, client) ? 0 : -EHOSTUNREACH;
}

static int client_try(struct dataplane *dp, const struct tun *tun, int listener,
	const char *client_text, const union addr *server, struct err *err)
{
	union addr client;
	int code = addr_parse(client_text, &client), removed;

	if (!code)
		code = tun_route(tun, &client, true);
	if (code)
		return err_set(err, code, "route to %s on %s: %s", client_text, tun_name(tun),
			strerror(-code));
	code = flight_send(dp, tun, listener, &client, server);
	if (code)
		err_set(err, code, "writing to %s: %s", tun_name(tun), strerror(-code));
	addr_port_set(&client, 0);
	removed = tun_route(tun, &client, false);
	tun_drain(tun);
	return removed ? err_set(err, removed, "taking the route to %s away: %s", client_text,
				 strerror(-removed))
		       : code;
}

/* "sluice" of "sluice0": the number may be another one after the next start. */
static int tun_prefix(const struct tun *tun)
{
	size_t len = strlen(tun_name(tun));

	while (len && tun_name(tun)[len - 1] >= '0' && tun_name(tun)[len - 1] <= '9')
		len--;
	return (int)len;
}

static bool has_iptables(int family)
{
	FILE *tables = fopen(
		family == AF_INET6 ? "/proc/net/ip6_tables_names" : "/proc/net/ip_tables_names",
		"re");
	bool some = tables && fgetc(tables) != EOF;

	if (tables)
		fclose(tables);
	return some;
}

/* The rule to add in front of each chain that drops anything at all. */
static void advise(const struct tun *tun, int family, char *text, size_t size)
{
	struct firewall_chain chains[FIREWALL_CHAINS_MAX];
	size_t count = firewall_droppers(family, chains), len = 0;
	const int prefix = tun_prefix(tun);

	for (size_t i = 0; i < count && len < size; i++)
		len += (size_t)snprintf(text + len, size - len,
			"%snft insert rule %s %s %s iifname \"%.*s*\" accept", i ? "; " : "",
			chains[i].family, chains[i].table, chains[i].name, prefix, tun_name(tun));
	if (!count && has_iptables(family))
		len += (size_t)snprintf(text, size, "%s -I INPUT -i %.*s+ -j ACCEPT",
			family == AF_INET6 ? "ip6tables" : "iptables", prefix, tun_name(tun));
	if (!len)
		snprintf(text, size,
			"no chain of nftables drops anything, so it is something else that looks at "
			"packets from interface %s",
			tun_name(tun));
}

static int dropped(const struct tun *tun, const union addr *server, bool made,
	const struct dp_counters *before, const struct dp_counters *after, struct err *err)
{
	char address[ADDR_TEXT_BYTES], advice[320];

	addr_format(server, address);
	if (made) {
		advise(tun, server->any.sa_family, advice, sizeof(advice));
		return err_set(err, -EHOSTUNREACH,
			"a packet filter drops what the gate releases to %s: %s", address, advice);
	}
	for (int id = 0; id < COUNTER_COUNT; id++)
		if (after->value[id] > before->value[id] &&
			dp_counter_describe((enum sluice_counter)id)->verdict == COUNTER_DROP &&
			strncmp(dp_counter_describe((enum sluice_counter)id)->name, "release", 7) ==
				0)
			return err_set(err, -EIO, "no socket was made for %s: %s", address,
				dp_counter_describe((enum sluice_counter)id)->help);
	return err_set(err, -EIO, "no socket was made for %s, and no reason was counted", address);
}

static int probe(struct dataplane *dp, const struct tun *tun, int listener,
	const union addr *server, struct err *err)
{
	const bool v6 = server->any.sa_family == AF_INET6;
	const char *const *clients = v6 ? clients_v6 : clients_v4;
	size_t n = v6 ? array_len(clients_v6) : array_len(clients_v4);
	struct dp_counters before, after;
	int code = dp_counters_read(dp, &before, err);

	if (code)
		return code;
	code = -EHOSTUNREACH;
	for (size_t i = 0; i < n && code == -EHOSTUNREACH; i++)
		code = client_try(dp, tun, listener, clients[i], server, err);
	if (code != -EHOSTUNREACH)
		return code;
	code = dp_counters_read(dp, &after, err);
	return code ? code
		    : dropped(tun, server,
			      after.value[COUNTER_released] > before.value[COUNTER_released],
			      &before, &after, err);
}

/* The tc program makes sockets for listeners that are guarded, no others. */
static int guard(struct dataplane *dp, const union addr *server, struct err *err)
{
	struct dp_listener listener = {
		.id = SLUICE_MAX_LISTENERS - 1,
		.socket_row = SLUICE_MAX_LISTENERS - 1,
		.name = "gate_probe",
		.protocol = IPPROTO_TCP,
		.gated = true,
	};

	memcpy(&listener.address, server, sizeof(*server));
	return dp_listeners_set(dp, &listener, 1, err);
}

static int probe_guarded(struct dataplane *dp, const struct tun *tun, int listener,
	const union addr *server, struct err *err)
{
	struct err other = {};
	int code = guard(dp, server, err), removed;

	if (code)
		return code;
	code = probe(dp, tun, listener, server, err);
	removed = dp_listeners_set(dp, NULL, 0, &other);
	return removed ? err_set(err, removed, "%s", other.text) : code;
}

int gate_probe_run(struct dataplane *dp, const struct tun *tun, const union addr *target,
	union addr *ret_address, struct err *err)
{
	struct dp_handover_report report;
	union addr server = *target;
	int listener, code = 0;

	dp_handover_report(dp, &report);
	if (report.reached != HANDOVER_OWN_COOKIES)
		return err_set(err, -ENOTSUP, "%s", report.why);
	if (is_unspecified(target))
		code = address_of_host(&server, err);
	if (code)
		return code;
	listener = probe_listen(&server, err);
	if (listener < 0)
		return listener;
	code = probe_guarded(dp, tun, listener, &server, err);
	close(listener);
	*ret_address = server;
	return code;
}
