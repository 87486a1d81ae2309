/* The packet of gate_probe.c: a first flight of one byte with a valid SYN cookie. No state. */
#ifndef SLUICE_CONTROL_GATE_PROBE_FLIGHT_H
#define SLUICE_CONTROL_GATE_PROBE_FLIGHT_H

#include "net/addr.h"

#include <sluice/settings.h>

enum { GATE_PROBE_FLIGHT_BYTES = 40 + 20 + 12 + 1 };

struct gate_probe_flight {
	uint8_t bytes[GATE_PROBE_FLIGHT_BYTES];
	uint32_t head; /* bytes of the IP header */
	uint32_t len;
};

/* Its TCP checksum is the sum of the pseudo header. The listener must be guarded as a gated one. */
void gate_probe_flight_build(struct gate_probe_flight *flight,
	const struct sluice_settings *settings, const union addr *client, const union addr *server);

#endif
