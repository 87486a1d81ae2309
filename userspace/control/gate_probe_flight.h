/* The packet of gate_probe.c: a first flight of one byte with a valid SYN cookie. No state. */
#ifndef SLUICE_CONTROL_GATE_PROBE_FLIGHT_H
#define SLUICE_CONTROL_GATE_PROBE_FLIGHT_H

#include "net/addr.h"

#include <sluice/settings.h>

enum {
	GATE_PROBE_FLIGHT_BYTES = 40 + 20 + 12 + 1,
	GATE_PROBE_FRAME_BYTES = 14 + GATE_PROBE_FLIGHT_BYTES,
};

struct gate_probe_flight {
	uint8_t bytes[GATE_PROBE_FLIGHT_BYTES];
	uint32_t head; /* bytes of the IP header */
	uint32_t len;
};

/* Its TCP checksum is the sum of the pseudo header. `gated`: as the listener is guarded. */
void gate_probe_flight_build(struct gate_probe_flight *flight,
	const struct sluice_settings *settings, const union addr *client, const union addr *server,
	bool gated);
/* The same as an Ethernet frame to that address, its checksum whole. Returns its length. */
uint32_t gate_probe_frame_build(const struct gate_probe_flight *flight, const uint8_t mac[static 6],
	uint8_t ret_frame[static GATE_PROBE_FRAME_BYTES]);

#endif
