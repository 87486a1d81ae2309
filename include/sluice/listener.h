/* The `listeners` map: what is served, and under which limits. Written by the control thread. */
#ifndef SLUICE_LISTENER_H
#define SLUICE_LISTENER_H

#include <sluice/types.h>
#include <sluice/limits.h>
#include <sluice/limit.h>

/* IPv4 is stored mapped (::ffff:a.b.c.d). The wildcard addresses are :: (IPv6 only) and
 * ::ffff:0.0.0.0; they are looked up after the exact address. */
struct sluice_listener_key {
	__u32 addr_be[4];
	__u16 port_be;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 pad;
};
SLUICE_SIZE(struct sluice_listener_key, 20);

enum listener_state {
	LISTENER_ACTIVE,
	LISTENER_DRAINING, /* no new connections are accepted, the old ones live on */
};

enum listener_flags {
	LISTENER_SOURCE_CHARGES_SYN = 1, /* SYNs spend a token of their source */
	LISTENER_SOURCE_CHARGES_OTHER = 2, /* so do other packets that belong to no connection */
};

struct sluice_listener {
	char name[SLUICE_NAME_BYTES];
	char address_text[SLUICE_ADDRESS_BYTES];
	__u32 id;               /* < SLUICE_MAX_LISTENERS: row of the per-listener arrays */
	enum listener_state state;
	__u32 flags;            /* enum listener_flags */
	__u32 socket_base; /* worker_sockets slot of worker 0: socket row * SLUICE_MAX_WORKERS */
	struct sluice_limit
		source; /* per source address (/32, /64), packets without a connection */
	struct sluice_limit packets; /* whole listener, packets without a connection */
	struct sluice_limit connections; /* whole listener, SYNs */
};
SLUICE_SIZE(struct sluice_listener, 240);

/* The `listener_ports` array: one byte per destination port, so that packets for ports nobody
 * serves leave after one load. Index: protocol row * 65536 + port in host order. */
enum listener_port_flags {
	LISTENER_PORT_EXACT = 1, /* some listener names an address */
	LISTENER_PORT_ANY_V4 = 2, /* 0.0.0.0 */
	LISTENER_PORT_ANY_V6 = 4, /* :: */
};

enum { LISTENER_PORTS_TCP, LISTENER_PORTS_UDP, LISTENER_PORTS_ROWS };

struct sluice_listener_ports {
	__u8 flags[65536];
};
SLUICE_SIZE(struct sluice_listener_ports, 65536);

#endif
