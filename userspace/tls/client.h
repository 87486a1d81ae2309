/*
 * The client side of TLS towards the targets of one group or for health checks. Immutable,
 * counted; any thread. Sessions are resumed per thread.
 */
#ifndef SLUICE_TLS_CLIENT_H
#define SLUICE_TLS_CLIENT_H

#include "core/attr.h"
#include "core/err.h"
#include "tls/ktls.h"
#include "tls/policy.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_client_spec {
	const char *name;        /* of the target group, for error texts */
	bool verify;             /* chain and name; false: any certificate will do */
	const char *ca_path;     /* PEM bundle; NULL: the system's */
	struct cert *cert; /* shown to peers that ask for one; NULL: none */
	const char
		*server_name; /* SNI and name to verify unless the stream gives one; may be NULL */
	const struct tls_policy *policy; /* copied; NULL: the default one */
	const char *const *alpn; /* offered, by preference */
	size_t n_alpn;
	uint32_t n_workers; /* iothread.worker is below this */
	enum tls_ktls ktls;
};

struct cert;
struct tls_client;

int tls_client_new(const struct tls_client_spec *spec, struct tls_client **ret_client,
	struct err *err) must_check;
struct tls_client *tls_client_get(struct tls_client *client);
void tls_client_put(struct tls_client *client);
/* False: the certificate's token has its key open anew, or no more; a client made now would have that. */
bool tls_client_is_current(const struct tls_client *client);

#endif
