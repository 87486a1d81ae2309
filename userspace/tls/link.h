/*
 * TLS as a client over a connected socket that blocks, for programs with nothing else to do meanwhile.
 * The time-outs are the socket's (SO_RCVTIMEO, SO_SNDTIMEO). One thread.
 */
#ifndef SLUICE_TLS_LINK_H
#define SLUICE_TLS_LINK_H

#include "core/attr.h"
#include "core/err.h"
#include <stddef.h>
#include <sys/types.h>

struct tls_link;

struct tls_link_spec {
	const char *server; /* DNS name or address in text: what the certificate must be for */
	const char *ca_path; /* PEM; NULL: the system's */
	const char *cert_path, *key_path; /* PEM; shown if the server asks; both or none */
};

/* Shakes hands. `fd` stays the caller's, and open for as long as the link. 0 or -errno; -EAGAIN: the
 * time-out. */
int tls_link_new(int fd, const struct tls_link_spec *spec, struct tls_link **ret_link,
	struct err *err) must_check;
/* Bytes, 0 at the end, or -errno (-EAGAIN: the time-out; -EPROTO: tls_link_failure() says why). */
ssize_t tls_link_read(struct tls_link *link, void *bytes, size_t len) must_check;
/* All of it: 0, or as above. */
int tls_link_write(struct tls_link *link, const void *bytes, size_t len) must_check;
const char *tls_link_failure(const struct tls_link *link);
/* NULL is ignored. */
void tls_link_free(struct tls_link *link);

#endif
