/* The usual form of ECDSA keys, parsed quickly. Used by keys.c only; any thread. */
#ifndef SLUICE_TLS_KEYS_EC_H
#define SLUICE_TLS_KEYS_EC_H

#include "core/attr.h"
#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

/* PKCS#8 or RFC 5915, with a named curve of ours and the public key beside the private one. NULL: it
 * is something else, or not right: OpenSSL's own parser may look at it. */
EVP_PKEY *keys_ec_parse(const uint8_t *der, size_t len) must_check;

#endif
