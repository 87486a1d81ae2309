/*
 * PKCS#12 files (RFC 7292): a key, its certificate and the chain, taken apart without trusting what is
 * in them: the work that a file asks for (iterations) is bounded. Any thread; some 100 ms.
 */
#ifndef SLUICE_TLS_PKCS12_H
#define SLUICE_TLS_PKCS12_H

#include "core/attr.h"
#include "core/err.h"
#include "tls/keys.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of all keys and parts of a file together; what OpenSSL and others write is 2,000 to 600,000 each. */
enum { PKCS12_ITERATIONS_MAX = 2000000 };

struct pkcs12_content {
	uint8_t *certs; /* DER one behind the other: the leaf, then each one's issuer */
	size_t certs_len, leaf_len;
	struct key_der key;
};

/* Whether some bytes are such a file at all. */
bool pkcs12_is(const uint8_t *bytes, size_t len);
/* `bytes` are the content of `path`. 0, or -EINVAL with a sentence. */
int pkcs12_read(const uint8_t *bytes, size_t len, const char *path,
	const struct key_password_source *password, struct pkcs12_content *ret_content,
	struct err *err) must_check;
void pkcs12_content_fini(struct pkcs12_content *content);

#endif
