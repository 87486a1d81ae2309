/*
 * What the gate itself says to a client: an acknowledgement, a RST, or the TLS alert that ends the
 * connection; written as the answer to a frame of the client (addresses turned round, VLAN tags
 * kept, timestamps echoed). Pure; any thread.
 */
#ifndef SLUICE_GATE_REPLY_H
#define SLUICE_GATE_REPLY_H

#include "gate/frame.h"

enum {
	REPLY_PAYLOAD_BYTES_MAX = 64,
	REPLY_BYTES_MAX = FRAME_HEADER_BYTES_MAX + REPLY_PAYLOAD_BYTES_MAX,
};

struct reply {
	const struct frame *to; /* only its headers are read */
	uint8_t flags; /* enum frame_tcp_flags */
	uint16_t window; /* not 0, but in a RST */
	uint32_t ack; /* host order; with FRAME_ACK */
	bool has_sack;
	uint32_t sack_from, sack_to; /* sequence numbers */
	const void *payload;
	size_t payload_bytes; /* at most REPLY_PAYLOAD_BYTES_MAX */
};

/* Returns the length of the frame. */
uint32_t reply_write(const struct reply *reply, uint8_t ret_frame[static REPLY_BYTES_MAX]);

#endif
