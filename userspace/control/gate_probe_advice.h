/* What a person may do about a packet filter that drops the flight of gate_probe.c. */
#ifndef SLUICE_CONTROL_GATE_PROBE_ADVICE_H
#define SLUICE_CONTROL_GATE_PROBE_ADVICE_H

#include "control/gate_probe.h"

enum { GATE_PROBE_ADVICE_BYTES = 320 };

/* The rule to add in front of each chain that drops anything at all. */
void gate_probe_advise(const struct gate_probe_way *way, const union addr *server,
	char ret_text[static GATE_PROBE_ADVICE_BYTES]);

#endif
