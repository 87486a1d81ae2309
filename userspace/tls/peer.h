/*
 * What is kept of a client's certificate: texts for targets and logs, in one allocation. Made when
 * the certificate comes, good or not, and freed with its stream. What a stranger can make us keep is
 * bounded: of a certificate that is refused, the texts for the log; never a name of any length.
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

/* Of a subject or an issuer, in DER; as a text it may have six times as many. */
enum { TLS_PEER_NAME_BYTES_MAX = 2048 };

/* Subject or issuer is longer: its text is left empty. */
bool tls_peer_has_long_names(const struct x509_st *leaf);
/* `chain` (may be NULL): what the client sent, leaf included; then `leaf` is left empty. NULL: out
 * of memory. */
struct tls_peer *tls_peer_new(struct x509_st *leaf, const struct stack_st_X509 *chain) must_check;
/* The same without any PEM, for the log. */
struct tls_peer *tls_peer_new_brief(struct x509_st *leaf) must_check;
void tls_peer_free(struct tls_peer *peer);
/* Appends an integer in hexadecimal, without the line breaks that OpenSSL puts into long ones. */
bool tls_peer_put_hex(struct bio_st *out, const struct asn1_string_st *integer) must_check;

#endif
