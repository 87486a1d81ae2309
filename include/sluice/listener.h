/*
 * What is served, and under which limits. Written by the control thread, three times over:
 * `listeners` for people and for the choice of the worker, `listener_ports` and `listener_table`
 * for the XDP program, which reads them with plain loads.
 */
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
	__u8 pad[5]; /* hashed and compared in words of eight bytes */
};
SLUICE_SIZE(struct sluice_listener_key, 24);

enum listener_state {
	LISTENER_ACTIVE,
	LISTENER_DRAINING, /* no new connections are accepted, the old ones live on */
};

/* How SYNs are answered: bits 0-1 of listener_flags are one of these. */
enum listener_syn_mode {
	SYN_ALWAYS,       /* a cookie from XDP, no state anywhere */
	SYN_UNDER_ATTACK, /* the kernel, until limits.syns is exceeded; then cookies */
	SYN_KERNEL,       /* the kernel */
};

enum listener_flags {
	LISTENER_SYN_MODE = 3,
	LISTENER_GATED = 4, /* first flights go to the gate; nothing reaches the kernel around it */
	LISTENER_DRY_RUN = 8, /* limits only count */
	LISTENER_LAST_OF_CELL = 16, /* sluice_guard: the next one belongs to another cell */
};

/* Bits 16-31 of the flags: the low bits of the epoch in which the gate was switched on or off last.
 * A listener of which that is not known has one that is as far away as can be; after some weeks an
 * old one comes round again, which costs a second look at bad cookies for a few minutes. */
#define LISTENER_GATE_EPOCH_SHIFT 16
#define LISTENER_GATE_EPOCH_MASK  0xffffu
#define LISTENER_GATE_EPOCH_NEVER 0x8000u /* to be added to the present one */
/* Epochs after that one in which cookies of before may come in: they live for two, and clocks of
 * nodes that share a secret may be one apart. */
#define LISTENER_GATE_EPOCHS 3

/*
 * Which limit; the order of sluice_listener.limits. Sources are charged only where their address is
 * proven: by a cookie, or, in SYN_KERNEL, by a socket (connections are then charged at the SYN).
 * `connections` are charged when a socket is about to be made, once each.
 */
enum listener_limit {
	LIMIT_SOURCE_PACKETS, /* per /32 or /64: packets that belong to no connection */
	LIMIT_SOURCE_CONNECTIONS,
	LIMIT_PREFIX_PACKETS, /* per /24 or /56 */
	LIMIT_PREFIX_CONNECTIONS,
	LIMIT_PACKETS, /* the whole listener, proven or not */
	LIMIT_CONNECTIONS,
	LIMIT_SYNS, /* what counts as an attack (SYN_UNDER_ATTACK); never drops */
	LISTENER_LIMITS,
};

struct sluice_listener {
	char name[SLUICE_NAME_BYTES];
	char address_text[SLUICE_ADDRESS_BYTES];
	__u32 id; /* < SLUICE_MAX_LISTENERS: row of the per-listener arrays */
	enum listener_state state;
	__u32 flags; /* enum listener_flags */
	__u32 socket_base; /* worker_sockets slot of worker 0: socket row * SLUICE_MAX_WORKERS */
	struct sluice_limit limits[LISTENER_LIMITS];
};
SLUICE_SIZE(struct sluice_listener, 368);

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

/* What the XDP program needs of one address of a listener. A row with port 0 stands for every gated
 * listener of that address: fragments, which have no ports, are judged by it. */
struct sluice_guard {
	struct sluice_listener_key key;
	__u32 id;
	__u32 flags; /* enum listener_flags */
	struct sluice_limit limits[LISTENER_LIMITS];
};
SLUICE_SIZE(struct sluice_guard, 256);

#define SLUICE_GUARD_CELL_BITS 12
#define SLUICE_GUARD_CELLS     (1u << SLUICE_GUARD_CELL_BITS)
#define SLUICE_GUARD_CHAIN     8 /* guards that share a cell; user space finds factors that do */

/* A hash table without pointers or calls: a cell names the first of the guards that hash to it,
 * which lie side by side. The `listener_table` array has two of them; settings.guard_slot says
 * which one is in force, and every change is written into the other one. */
struct sluice_guard_table {
	__u64 factors[3]; /* odd */
	__u64 pad[5];
	__u16 first[SLUICE_GUARD_CELLS]; /* row + 1, 0: none */
	struct sluice_guard guards[SLUICE_MAX_LISTENERS];
};
SLUICE_SIZE(struct sluice_guard_table, 64 + 2 * SLUICE_GUARD_CELLS + 256 * SLUICE_MAX_LISTENERS);

#define SLUICE_GUARD_SLOTS 2

/* The words of a key: address, address, port and protocol as they lie in memory. */
static inline __attribute__((always_inline)) __u32 sluice_guard_cell(
	const __u64 factors[3], const __u64 key_words[3])
{
	__u64 sum =
		key_words[0] * factors[0] + key_words[1] * factors[1] + key_words[2] * factors[2];

	return sum >> (64 - SLUICE_GUARD_CELL_BITS);
}

#endif
