/* Application protocols in the order of preference of one side, in the form TLS sends them. */
#ifndef SLUICE_TLS_ALPN_H
#define SLUICE_TLS_ALPN_H

#include "core/attr.h"
#include "core/err.h"
#include <openssl/ssl.h>
#include <stdint.h>

enum { ALPN_PROTOCOLS_MAX = 8, ALPN_WIRE_BYTES = 128 };

struct alpn {
	uint8_t wire[ALPN_WIRE_BYTES]; /* length byte and name, repeated */
	uint32_t wire_len;
	char *names[ALPN_PROTOCOLS_MAX];
	uint32_t n;
};

int alpn_init(struct alpn *alpn, const char *const *names, size_t n, struct err *err) must_check;
void alpn_fini(struct alpn *alpn);
/* The agreed protocol as one of `names`, or "". */
const char *alpn_agreed(const struct alpn *alpn, const SSL *ssl);

#endif
