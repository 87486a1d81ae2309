/*
 * AF_XDP sockets: frames that an XDP program redirected, and frames sent past the kernel's stack.
 * One socket per interface and receive queue, each with its own UMEM on a memfd (frames and rings
 * can so be handed to another process). Copy mode unless the driver can do without; need_wakeup.
 * Owned by one worker; xsk_open and xsk_close on the control thread while no worker uses it.
 */
#ifndef SLUICE_NET_XSK_H
#define SLUICE_NET_XSK_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	XSK_FRAME_BYTES = 2048, /* longest frame received, Ethernet header included */
	XSK_RX_FRAMES = 2048,   /* a power of two */
	XSK_TX_FRAMES = 256,    /* a power of two */
	XSK_BATCH_MAX = 64,
};

struct xsk;

struct xsk_spec {
	const char *interface;
	uint32_t queue;
};

struct xsk_frame {
	uint8_t *bytes; /* from the Ethernet header; writable */
	uint32_t len_bytes;
};

/* XDP_STATISTICS: why frames did not arrive. Copy mode counts fill_empty in dropped, too. */
struct xsk_counts {
	uint64_t dropped, ring_full, fill_empty;
};

/* -EBUSY: somebody else has the queue; -ENOBUFS: RLIMIT_MEMLOCK. */
int xsk_open(const struct xsk_spec *spec, struct xsk **ret_xsk, struct err *err) must_check;
void xsk_close(struct xsk *xsk);
int xsk_fd(const struct xsk *xsk); /* for epoll (EPOLLIN) and the XSKMAP */
bool xsk_is_zero_copy(const struct xsk *xsk);
int xsk_counts(const struct xsk *xsk, struct xsk_counts *ret_counts) must_check;

/* --- from one process to the next */

/* Where a socket stands that nobody uses at the moment, beside what is in its rings: what goes with its
 * descriptor and that of its memory. */
struct xsk_state {
	uint32_t rx_frames, tx_frames, chunk_bytes; /* of whoever made it */
	uint32_t n_spare;
	uint32_t spare[XSK_TX_FRAMES]; /* frames that can be written into, by number */
};

enum { XSK_FDS = 2 }; /* the socket, its memory */

/* The descriptors stay ours: until it is closed, or used again, the other process may have it. */
void xsk_give(struct xsk *xsk, struct xsk_state *ret_state, int ret_fds[static XSK_FDS]);
/* Goes on with it. The descriptors are its own then; of one that cannot be had (-EPROTO: it is of another
 * layout) they stay the caller's. */
int xsk_take(const struct xsk_state *state, const int fds[static XSK_FDS], struct xsk **ret_xsk,
	struct err *err) must_check;

/* Takes up to `max` (XSK_BATCH_MAX) received frames. They are the caller's until xsk_put_back,
 * which takes all of the last batch. Returns how many. */
size_t xsk_receive(struct xsk *xsk, struct xsk_frame ret_frames[], size_t max);
void xsk_put_back(struct xsk *xsk);

/* A frame to write into; NULL: all are under way (count it and do without). */
uint8_t *xsk_send_begin(struct xsk *xsk);
void xsk_send_end(struct xsk *xsk, uint32_t len_bytes);
/* Once per loop turn, after the last xsk_send_end: makes the kernel send. */
void xsk_flush(struct xsk *xsk);

#endif
