/*
 * The reasons a TLS connection can fail for, as numbers, words and sentences. Any thread.
 */
#ifndef SLUICE_TLS_FAILURE_H
#define SLUICE_TLS_FAILURE_H

enum tls_failure {
#define TLS_FAILURE(id, help) TLS_FAILURE_##id,
#include "tls/tls_failures.def"
#undef TLS_FAILURE
	TLS_FAILURES,
};

/* The word for logs and counters: "no_shared_cipher". */
const char *tls_failure_name(enum tls_failure failure);
/* The sentence for people. */
const char *tls_failure_help(enum tls_failure failure);

#endif
