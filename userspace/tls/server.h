/*
 * The server side of TLS for one listener: certificates, versions, ciphers, tickets. Immutable,
 * counted; a changed listener gets a new one, connections keep theirs. Any thread may take and
 * put; handshakes on any worker.
 */
#ifndef SLUICE_TLS_SERVER_H
#define SLUICE_TLS_SERVER_H

#include "core/attr.h"
#include "core/err.h"
#include "core/shared.h"
#include "core/slice.h"
#include "tls/cert.h"
#include "tls/ktls.h"
#include "tls/tickets.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_version { TLS_VERSION_1_2 = 0x0303, TLS_VERSION_1_3 = 0x0304 };

enum {
	TLS_CLIENT_HELLO_BYTES_MAX = 16 * 1024, /* also the limit of any message of a client */
	TLS_ALPN_BYTES_MAX = 255,
};

struct tls_server_spec {
	const char *name; /* the listener's; sessions are resumed under the same name only */
	struct cert *const *certs; /* the first is the default; a count is taken on each */
	size_t n_certs;
	enum tls_version version_min, version_max; /* 0: 1.2 and 1.3 */
	const char *const
		*alpn; /* by preference; {"http/1.1"}; clients offering others only are refused */
	size_t n_alpn;           /* 0: ALPN is ignored */
	struct tls_tickets *tickets; /* NULL: no session resumption */
	uint32_t ticket_life_s;      /* 0: 2 hours */
	uint32_t n_workers;          /* iothread.worker is below this */
	enum tls_ktls ktls;
};

struct tls_server;

int tls_server_new(const struct tls_server_spec *spec, struct tls_server **ret_server,
	struct err *err) must_check;
struct tls_server *tls_server_get(struct tls_server *server);
void tls_server_put(struct tls_server *server);

enum tls_name_match { TLS_NAME_UNKNOWN, TLS_NAME_EXACT, TLS_NAME_WILDCARD };

/* Whether a certificate has this name, other than by default. Ignores case and a trailing dot,
 * allocates nothing; any thread. */
enum tls_name_match tls_server_match_name(const struct tls_server *server, struct slice name);

static inline bool tls_server_knows_name(const struct tls_server *server, struct slice name)
{
	return tls_server_match_name(server, name) != TLS_NAME_UNKNOWN;
}

#endif
