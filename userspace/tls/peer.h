/*
 * What is kept of a client's certificate: texts for targets and logs, in one allocation. Made when
 * the certificate comes, good or not, and freed with its stream.
 */
#ifndef SLUICE_TLS_PEER_H
#define SLUICE_TLS_PEER_H

#include "core/attr.h"
#include "core/slice.h"
#include <stdbool.h>

struct asn1_string_st;
struct bio_st;
struct x509_st;
struct stack_st_X509;

struct tls_peer {
	struct slice serial;   /* hexadecimal, upper case */
	struct slice subject, issuer; /* RFC 2253: printable ASCII, the rest is escaped */
	struct slice validity; /* "NotBefore=2026-11-22T04:37:00Z;NotAfter=..." */
	struct slice leaf;     /* PEM, URL-encoded but for + = / */
	struct slice chain;    /* the same of all it sent, its own first; empty unless wanted */
	char bytes[];
};

/* `chain` (may be NULL): what the client sent, leaf included; then `leaf` is left empty. NULL: out
 * of memory. */
struct tls_peer *tls_peer_new(struct x509_st *leaf, const struct stack_st_X509 *chain) must_check;
void tls_peer_free(struct tls_peer *peer);
/* Appends an integer in hexadecimal, without the line breaks that OpenSSL puts into long ones. */
bool tls_peer_put_hex(struct bio_st *out, const struct asn1_string_st *integer) must_check;

#endif
