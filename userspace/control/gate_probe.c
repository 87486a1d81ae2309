/*
 * A first flight of nobody's: see gate_probe.h. Its client is an address that nobody has, routed
 * into the TUN device for the moment, so that no answer leaves the host; or to the interface and,
 * there, to the interface's own hardware address, so that no answer passes the next switch.
 */
#include "control/gate_probe.h"

#include "control/gate_probe_advice.h"
#include "control/gate_probe_flight.h"
#include "core/hash.h"
#include "core/mem.h"
#include "dataplane/dp_counters.h"
#include "net/rtnl.h"

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

/* `interface` NULL: any. */
static bool is_useful(const struct ifaddrs *row, sa_family_t family, const char *interface)
{
	if (interface && strcmp(row->ifa_name, interface) != 0)
		return false;
	if (!row->ifa_addr || row->ifa_addr->sa_family != family || !(row->ifa_flags & IFF_UP) ||
		row->ifa_flags & IFF_LOOPBACK)
		return false;
	return family == AF_INET ||
	       !IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)row->ifa_addr)->sin6_addr);
}

/* Keeps the port. */
static int address_of_host(const char *interface, union addr *address, struct err *err)
{
	struct ifaddrs *rows, *row;
	union addr found;
	int code = -EADDRNOTAVAIL;

	if (getifaddrs(&rows))
		return err_set(err, -errno, "addresses of the host: %s", strerror(errno));
	for (row = rows; row && code; row = row->ifa_next) {
		if (!is_useful(row, address->any.sa_family, interface))
			continue;
		found = (union addr){0};
		memcpy(&found, row->ifa_addr,
			row->ifa_addr->sa_family == AF_INET ? sizeof(found.v4) : sizeof(found.v6));
		addr_port_set(&found, addr_port(address));
		*address = found;
		code = 0;
	}
	freeifaddrs(rows);
	return code ? err_set(err, code, "%s%sno %s address but loopback",
			      interface ? interface : "", interface ? ": " : "",
			      address->any.sa_family == AF_INET ? "IPv4" : "IPv6")
		    : 0;
}

/* The TUN device's address (see net/tun.c), which nobody connects to: the port of a listener that
 * is open already can be tried there. */
static int bind_beside(int fd, union addr *address)
{
	union addr beside;
	int one = 1, code;

	if (address->any.sa_family != AF_INET)
		return -EADDRINUSE;
	code = addr_parse(TUN_ADDRESS ":1", &beside);
	if (code)
		return code;
	addr_port_set(&beside, addr_port(address));
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) ||
		bind(fd, &beside.any, addr_len(&beside)))
		return -errno;
	*address = beside;
	return 0;
}

static int socket_bind(int fd, union addr *address)
{
	if (bind(fd, &address->any, addr_len(address)) == 0)
		return 0;
	if (errno != EADDRINUSE)
		return -errno;
	if (bind_beside(fd, address) == 0)
		return 0;
	addr_port_set(address, 0);
	return bind(fd, &address->any, addr_len(address)) ? -errno : 0;
}

static int socket_listen(int fd, union addr *address)
{
	socklen_t len = sizeof(*address);
	int one = 1, code;

	if (address->any.sa_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)))
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
		return -errno;
	code = socket_bind(fd, address);
	if (code)
		return code;
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

static int flight_write(const struct gate_probe_way *way, const struct gate_probe_flight *flight,
	const uint8_t mac[static DP_MAC_BYTES], struct err *err)
{
	uint8_t frame[GATE_PROBE_FRAME_BYTES];
	int code;

	if (way->interface)
		return dp_gate_inject(way->dp, way->interface->ifindex, frame,
			gate_probe_frame_build(flight, mac, frame), err);
	code = tun_write(tun_queue_fd(way->tun, 0),
		&(struct iovec){(void *)(uintptr_t)flight->bytes, flight->len}, 1, flight->head,
		true);
	return code ? err_set(err, code, "writing to %s: %s", tun_name(way->tun), strerror(-code))
		    : 0;
}

static int flight_send(const struct gate_probe_way *way, int listener, union addr *client,
	const union addr *server, const uint8_t mac[static DP_MAC_BYTES], struct err *err)
{
	struct pollfd polled = {.fd = listener, .events = POLLIN};
	struct gate_probe_flight flight;
	uint16_t port;
	int code;

	hash_random(&port, sizeof(port));
	addr_port_set(client, (uint16_t)(32768 | port));
	gate_probe_flight_build(&flight, dp_settings(way->dp), client, server, !way->interface);
	code = flight_write(way, &flight, mac, err);
	if (code)
		return code;
	if (poll(&polled, 1, PATIENCE_MS) < 0)
		return err_set(err, -errno, "waiting for accept(): %s", strerror(errno));
	return accept_client(listener, client)
		       ? 0
		       : err_set(err, -EHOSTUNREACH, "nothing was accepted");
}

static const char *way_name(const struct gate_probe_way *way)
{
	return way->interface ? way->interface->name : tun_name(way->tun);
}

static int route(const struct gate_probe_way *way, const union addr *client, bool there,
	const uint8_t mac[static DP_MAC_BYTES], struct err *err)
{
	int code, other = 0;

	if (!way->interface) {
		code = tun_route(way->tun, client, there);
	} else {
		code = rtnl_route(way->interface->ifindex, client, there);
		if (!code || !there)
			other = rtnl_neighbour(way->interface->ifindex, client, mac, there);
		if (there && other && !code)
			(void)rtnl_route(way->interface->ifindex, client, false);
		code = code ? code : other;
	}
	return code ? err_set(err, code, "route to the probe's client on %s: %s%s", way_name(way),
			      there ? "" : "it stays there: ", strerror(-code))
		    : 0;
}

static int client_try(const struct gate_probe_way *way, int listener, const char *client_text,
	const union addr *server, struct err *err)
{
	uint8_t mac[DP_MAC_BYTES] = {};
	struct err other = {};
	union addr client;
	int code = addr_parse(client_text, &client), removed;

	if (!code && way->interface)
		code = dp_gate_mac(way->interface->ifindex, mac);
	if (code)
		return err_set(err, code, "%s: %s", way_name(way), strerror(-code));
	code = route(way, &client, true, mac, err);
	if (code)
		return code;
	code = flight_send(way, listener, &client, server, mac, err);
	removed = route(way, &client, false, mac, &other);
	if (!way->interface)
		tun_drain(way->tun);
	return removed ? err_set(err, removed, "%s", other.text) : code;
}

static int dropped(const struct gate_probe_way *way, const union addr *server, bool made,
	const struct dp_counters *before, const struct dp_counters *after, struct err *err)
{
	char address[ADDR_TEXT_BYTES], advice[GATE_PROBE_ADVICE_BYTES];

	addr_format(server, address);
	if (made) {
		gate_probe_advise(way, server, advice);
		return err_set(err, -EHOSTUNREACH, "a packet filter drops what %s to %s: %s",
			way->interface ? "XDP lets in without a SYN" : "the gate releases", address,
			advice);
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

static int probe(
	const struct gate_probe_way *way, int listener, const union addr *server, struct err *err)
{
	const bool v6 = server->any.sa_family == AF_INET6;
	const char *const *clients = v6 ? clients_v6 : clients_v4;
	size_t n = v6 ? array_len(clients_v6) : array_len(clients_v4);
	struct dp_counters before, after;
	int code = dp_counters_read(way->dp, &before, err);

	if (code)
		return code;
	code = -EHOSTUNREACH;
	for (size_t i = 0; i < n && code == -EHOSTUNREACH; i++)
		code = client_try(way, listener, clients[i], server, err);
	if (code != -EHOSTUNREACH)
		return code;
	code = dp_counters_read(way->dp, &after, err);
	return code ? code
		    : dropped(way, server,
			      after.value[COUNTER_released] > before.value[COUNTER_released],
			      &before, &after, err);
}

/* Sockets are made for listeners that are guarded, no others. What is let in directly is what goes
 * to a listener without a gate. */
static int guard(const struct gate_probe_way *way, const union addr *server, struct err *err)
{
	struct dp_listener listener = {
		.id = SLUICE_MAX_LISTENERS - 1,
		.socket_row = SLUICE_MAX_LISTENERS - 1,
		.name = "gate_probe",
		.protocol = IPPROTO_TCP,
		.gated = !way->interface,
	};

	if (server)
		memcpy(&listener.address, server, sizeof(*server));
	if (way->guard)
		return way->guard(way->arg, server ? &listener : NULL, err);
	return dp_listeners_set(way->dp, server ? &listener : NULL, server ? 1 : 0, err);
}

static int probe_guarded(
	const struct gate_probe_way *way, int listener, const union addr *server, struct err *err)
{
	struct err other = {};
	int code = guard(way, server, err), removed;

	if (code)
		return code;
	code = probe(way, listener, server, err);
	removed = guard(way, NULL, &other);
	return removed ? err_set(err, removed, "%s", other.text) : code;
}

int gate_probe_run(const struct gate_probe_way *way, const union addr *target,
	union addr *ret_address, struct err *err)
{
	struct dp_handover_report report;
	union addr server = *target;
	int listener, code = 0;

	dp_handover_report(way->dp, &report);
	if (report.reached != HANDOVER_OWN_COOKIES)
		return err_set(err, -ENOTSUP, "%s", report.why);
	if (is_unspecified(target))
		code = address_of_host(way->interface ? way->interface->name : NULL, &server, err);
	if (code)
		return code;
	listener = probe_listen(&server, err);
	if (listener < 0)
		return listener;
	code = probe_guarded(way, listener, &server, err);
	close(listener);
	*ret_address = server;
	return code;
}
