/*
 * What follows a leaf in its file. Certificates of one CA have the same bytes there, which are kept
 * and parsed once. Immutable, counted; any thread.
 */
#ifndef SLUICE_TLS_CERTCHAIN_H
#define SLUICE_TLS_CERTCHAIN_H

#include "core/attr.h"
#include "core/err.h"
#include <stddef.h>
#include <stdint.h>

enum { CERTCHAIN_MAX = 9 };

struct certchain;
struct stack_st_X509;
struct x509_st;

/* `der`: certificates one behind the other. 0, or -EINVAL: number *ret_at (from 0) is damaged, or
 * more than CERTCHAIN_MAX. */
int certchain_new(
	const uint8_t *der, size_t len, struct certchain **ret_chain, uint32_t *ret_at) must_check;
struct certchain *certchain_get(struct certchain *chain);
/* NULL is ignored. */
void certchain_put(struct certchain *chain);

/* As in the file. */
const struct stack_st_X509 *certchain_all(const struct certchain *chain);
/* What is sent: without a root at the end, which is of no use to a client. */
struct stack_st_X509 *certchain_sent(const struct certchain *chain);
/* The place (from 0) of the first one that is not the issuer of the one before it (`leaf` comes before the
 * first), or -1. */
int certchain_broken_at(const struct certchain *chain, struct x509_st *leaf);
/* Bits of the weakest key or signature of what is sent. */
uint16_t certchain_strength(const struct certchain *chain);
const uint8_t *certchain_der(const struct certchain *chain, size_t *ret_len);

#endif
