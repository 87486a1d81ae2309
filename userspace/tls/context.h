/* What server and client contexts have in common: ciphers, groups, versions, options. */
#ifndef SLUICE_TLS_CONTEXT_H
#define SLUICE_TLS_CONTEXT_H

#include "core/attr.h"
#include "core/err.h"
#include <openssl/ssl.h>

/* A context with the options, ciphers and groups of both sides. */
int tls_context_new(const SSL_METHOD *method, SSL_CTX **ret_ctx, struct err *err) must_check;
/* Sets `err` from OpenSSL's error queue: "what: reason". Returns -EINVAL. */
int tls_context_failed(struct err *err, const char *what);

#endif
