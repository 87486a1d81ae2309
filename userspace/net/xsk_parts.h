/* What xsk.c and xsk_handover.c share; nobody else includes it. */
#ifndef SLUICE_NET_XSK_PARTS_H
#define SLUICE_NET_XSK_PARTS_H

#include "net/xsk.h"

#include <sluice/gate.h>
#include <xdp/xsk.h>

enum {
	/* The kernel keeps XDP_PACKET_HEADROOM (256 bytes) of each chunk for itself, and chunks are
	 * powers of two: 2048 would be too few. */
	CHUNK_BYTES = 4096,
	FRAMES = XSK_RX_FRAMES + XSK_TX_FRAMES,
	XSK_RINGS = 4,
};

_Static_assert(XSK_FRAME_BYTES == SLUICE_GATE_FRAME_BYTES, "what the XDP program may send here");
_Static_assert(XSK_FRAME_BYTES <= CHUNK_BYTES - 256, "a frame is one chunk");

struct xsk_mapped {
	void *at; /* NULL: not mapped */
	size_t bytes;
};

struct xsk {
	uint8_t *area; /* FRAMES chunks */
	int memory_fd, fd;
	struct xsk_umem *umem;
	struct xsk_socket *socket; /* NULL, as umem: it was made by another process */
	bool is_taken; /* `mapped` is ours, `fd` is */
	struct xsk_mapped mapped[XSK_RINGS];
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons completion, rx;
	bool zero_copy;
	uint32_t lent_len; /* frames of the last xsk_receive */
	uint64_t lent[XSK_BATCH_MAX];
	uint32_t spare_len;
	bool sending;
	uint64_t sending_at; /* the frame being written */
	uint64_t spare[XSK_TX_FRAMES];
};

struct xsk *xsk_new(void);
/* The frames on memory_fd. */
int xsk_area_map(struct xsk *xsk, struct err *err) must_check;
/* Asks the kernel whether it copies. */
void xsk_look_at_mode(struct xsk *xsk);
/* Rings and descriptor of one that came from another process. */
void xsk_taken_close(struct xsk *xsk);

#endif
