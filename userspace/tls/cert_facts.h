/* Reads the facts (tls/cert.h) out of a parsed certificate. Used by cert.c only; any thread. */
#ifndef SLUICE_TLS_CERT_FACTS_H
#define SLUICE_TLS_CERT_FACTS_H

#include "tls/cert.h"
#include <openssl/x509.h>

/* Fills what comes from the certificate (not: paths, key, chain); the strings are allocated. */
void cert_facts_read(X509 *leaf, struct cert_facts *ret_facts);
void cert_facts_free(struct cert_facts *facts);
/* "CN=www.example.com,O=Example", allocated. */
char *cert_facts_name_text(const X509_NAME *name);

#endif
