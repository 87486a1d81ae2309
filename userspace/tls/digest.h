/* SHA-256 of bytes as text: what contents are named by. Any thread. */
#ifndef SLUICE_TLS_DIGEST_H
#define SLUICE_TLS_DIGEST_H

#include <stddef.h>

enum { DIGEST_HEX_BYTES = 65 }; /* with the final NUL */

void digest_hex(const void *bytes, size_t len, char ret_hex[static DIGEST_HEX_BYTES]);

#endif
