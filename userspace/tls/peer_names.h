/*
 * Names in a client's certificate beside its subject: the subject alternative names, as texts
 * "dns:NAME" (lower case), "email:ADDRESS", "uri:URI", "ip:ADDRESS". Read from what is kept of the
 * certificate, when somebody asks. Any thread.
 */
#ifndef SLUICE_TLS_PEER_NAMES_H
#define SLUICE_TLS_PEER_NAMES_H

#include "core/attr.h"
#include <stddef.h>

struct tls_peer;

enum { TLS_PEER_NAMES_MAX = 256 };

struct tls_peer_names {
	char **texts;
	size_t n;
};

/* 0, or -EINVAL: what is kept is not the whole certificate, or it has more names than that. */
int tls_peer_names_read(const struct tls_peer *peer, struct tls_peer_names *ret_names) must_check;
void tls_peer_names_fini(struct tls_peer_names *names);

#endif
