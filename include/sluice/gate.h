/*
 * The gate: how first flights reach user space and how they come back.
 *	xsks             XSKMAP, index = slot
 *	interface_slots  array, row = ifindex % SLUICE_INTERFACE_ROWS: slot of queue 0
 *	gate_slots       array, index = slot: the worker that owns it
 */
#ifndef SLUICE_GATE_H
#define SLUICE_GATE_H

#include <sluice/types.h>
#include <sluice/limits.h>

/* Longest frame that an AF_XDP socket of the gate takes, Ethernet header included. */
#define SLUICE_GATE_FRAME_BYTES 2048

/* Who answers SYNs and who makes the socket (sluice_settings.handover). */
enum handover {
	HANDOVER_NONE,           /* the kernel's listening socket does everything */
	HANDOVER_KERNEL_COOKIES, /* the kernel answers SYNs; XDP drops ACKs that carry no cookie of its own */
	HANDOVER_OWN_COOKIES, /* XDP answers SYNs, the tc program makes sockets */
};

/*
 * What frames may be addressed to for the kernel to take them as its own: the interface's address
 * and those of VLAN, macvlan, bridge and bond devices on top of it. All others are mirrored or
 * flooded traffic of another machine's, broadcast or multicast.
 */
struct sluice_interface_slots {
	__u32 ifindex; /* 0: row not used; another one: collision, that interface has no gate */
	__u32 first; /* slot of queue 0 */
	__u32 queues; /* AF_XDP sockets there are; other queues have none */
	__u16 mtu; /* decides the MSS that a SYN-ACK offers */
	__u16 mac_count; /* 0: not known, or more than there is room for: every frame is ours */
	__u64 macs[SLUICE_INTERFACE_MACS]; /* sluice_mac(); what is not used repeats the first */
};
SLUICE_SIZE(struct sluice_interface_slots, 64);

/* The first eight bytes of a frame, as they lie in memory, without those that are not of the
 * destination's address. */
SLUICE_INLINE __u64 sluice_mac(__u64 first_bytes)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return first_bytes & 0xffffffffffffull;
#else
	return first_bytes & ~0xffffull;
#endif
}

struct sluice_gate_slot {
	__u32 worker; /* owner, index into `workers` */
	__u32 ifindex; /* for people */
	__u32 queue;
	__u32 pad;
};
SLUICE_SIZE(struct sluice_gate_slot, 16);

/* Written by the XDP program in front of a frame that the tc program shall make a socket for. A
 * driver without room for metadata makes it set sluice_settings.meta_missing, and the tc program then looks at
 * every packet of a listener itself. */
struct sluice_meta {
	__u64 magic; /* settings.meta_magic */
};
SLUICE_SIZE(struct sluice_meta, 8);

#endif
