/*
 * JA4, the fingerprint of a TLS client by FoxIO ("t13d1516h2_8daaf6152771_e5627efa2ab1"): what the
 * ClientHello offers, independent of GREASE and of the order of cipher suites and extensions. Any
 * thread.
 */
#ifndef SLUICE_TLS_JA4_H
#define SLUICE_TLS_JA4_H

#include "tls/clienthello.h"

enum { JA4_BYTES = 37 }; /* with the final NUL */

/* `protocol`: 't' over TCP, 'q' over QUIC. */
void ja4_compute(const struct clienthello *hello, char protocol, char ret_text[static JA4_BYTES]);

#endif
