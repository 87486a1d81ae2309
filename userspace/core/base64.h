/* Base64 (RFC 4648 section 4). Pure. */
#ifndef SLUICE_CORE_BASE64_H
#define SLUICE_CORE_BASE64_H

#include "core/attr.h"
#include <stddef.h>
#include <stdint.h>

/* Room for what `len` characters decode to, or for `len` bytes encoded and a NUL. */
static inline size_t base64_decoded_max(size_t len)
{
	return len / 4 * 3 + 3;
}

static inline size_t base64_encoded_size(size_t len)
{
	return (len + 2) / 3 * 4 + 1;
}

/* Spaces and ends of lines between the characters are passed over, padding must be there. -EINVAL: it
 * is no base64. */
int base64_decode(const char *text, size_t len, uint8_t *ret_bytes, size_t *ret_len) must_check;
/* In one line. */
void base64_encode(const uint8_t *bytes, size_t len, char *ret_text);

#endif
