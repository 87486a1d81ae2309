/* What server and client contexts have in common: ciphers, groups, versions, options. */
#ifndef SLUICE_TLS_CONTEXT_H
#define SLUICE_TLS_CONTEXT_H

#include "core/attr.h"
#include "core/err.h"
#include "tls/policy.h"
#include <openssl/ssl.h>

/* A context with the options of both sides. `offered`: a policy without what this OpenSSL cannot. */
int tls_context_new(const SSL_METHOD *method, const struct tls_policy *offered, SSL_CTX **ret_ctx,
	struct err *err) must_check;
/* X509_verify_cert(), as strict about the peer's chain as ever, whatever the policy allows in
 * handshakes: what a context has for a callback, and what any other callback has to call. */
int tls_context_verify(X509_STORE_CTX *store, void *arg);
/* Sets `err` from OpenSSL's error queue: "what: reason". Returns -EINVAL, or the
 * system's error. */
int tls_context_failed(struct err *err, const char *what);

#endif
