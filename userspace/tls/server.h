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
#include "tls/certstore.h"
#include "tls/client_auth.h"
#include "tls/ktls.h"
#include "tls/policy.h"
#include "tls/tickets.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	TLS_CLIENT_HELLO_BYTES_MAX = 16 * 1024, /* also the limit of any message of a client */
	TLS_ALPN_BYTES_MAX = 255,
};

struct tls_server_spec {
	const char *name; /* the listener's; sessions are resumed under the same name only */
	struct certstore *certs; /* a count is taken */
	const struct tls_policy *policy; /* copied; NULL: the default one */
	enum tls_version version_min, version_max; /* narrow the policy; 0: as it says */
	const char *const
		*alpn; /* by preference; {"http/1.1"}; clients offering others only are refused */
	size_t n_alpn;           /* 0: ALPN is ignored */
	struct tls_tickets *tickets; /* NULL: no session resumption */
	uint32_t ticket_life_s;      /* 0: 2 hours */
	uint32_t session_age_max_s; /* since the last full handshake; 0: a day */
	uint32_t n_workers;          /* iothread.worker is below this */
	enum tls_ktls ktls;
	struct tls_client_auth_spec client_auth;
};

struct tls_server;

int tls_server_new(const struct tls_server_spec *spec, struct tls_server **ret_server,
	struct err *err) must_check;
struct tls_server *tls_server_get(struct tls_server *server);
void tls_server_put(struct tls_server *server);

/* Does `now` turn away clients that `before` let in (for existing connections: keep, drain, close)? */
bool tls_server_is_tighter(const struct tls_server *before, const struct tls_server *now);
/* Is a certificate that a client has shown until `before` nothing to `now`? */
bool tls_server_is_another_auth(const struct tls_server *before, const struct tls_server *now);

/* The policy in force: narrowed, and without what this OpenSSL cannot. Lives as long as the server. */
const struct tls_policy *tls_server_policy(const struct tls_server *server);

enum tls_name_match { TLS_NAME_UNKNOWN, TLS_NAME_EXACT, TLS_NAME_WILDCARD };

/* Whether a certificate has this name, other than by default. Ignores case and a trailing dot,
 * allocates nothing; any thread. */
enum tls_name_match tls_server_match_name(const struct tls_server *server, struct slice name);

static inline bool tls_server_knows_name(const struct tls_server *server, struct slice name)
{
	return tls_server_match_name(server, name) != TLS_NAME_UNKNOWN;
}

#endif
