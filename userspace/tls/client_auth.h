/*
 * Certificates of clients, as one listener wants them (mutual TLS): what is asked for, how chains
 * are judged, when a session may be resumed. Immutable, part of a tls_server; handshakes on any
 * worker. Modes are those of ALB:
 *
 *	off          no certificate is asked for
 *	optional     one is asked for; if one comes it must be good
 *	verify       a good one must come
 *	passthrough  one is asked for, whatever comes is handed on to the target, unjudged
 */
#ifndef SLUICE_TLS_CLIENT_AUTH_H
#define SLUICE_TLS_CLIENT_AUTH_H

#include "core/attr.h"
#include "core/err.h"
#include "tls/trust.h"
#include <stdbool.h>
#include <stdint.h>

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;
struct tls_stream;

enum tls_client_auth {
	TLS_CLIENT_AUTH_OFF,
	TLS_CLIENT_AUTH_OPTIONAL,
	TLS_CLIENT_AUTH_VERIFY,
	TLS_CLIENT_AUTH_PASSTHROUGH,
};

enum {
	/* Of a client's Certificate message: as a header it is 1.4 times as long; with passthrough that is
	 * kept as long as its connection. */
	CLIENT_AUTH_BYTES_MAX = 32 * 1024,
	CLIENT_AUTH_DEPTH_DEFAULT = 4,
	CLIENT_AUTH_NAMES_BYTES_MAX =
		60 * 1024, /* of a CertificateRequest; the field has 16 bits */
	CLIENT_AUTH_TEXT_BYTES = 2 * TLS_TRUST_DIGEST_BYTES + 32,
};

struct tls_client_auth_spec {
	enum tls_client_auth mode;
	struct tls_trust *trust; /* optional and verify: whom to believe; a count is taken */
	uint32_t max_depth; /* CAs of a chain, the trusted one included; 0: the default */
	bool ignore_expiry; /* of the client's own certificate, both ways */
	bool advertise_ca_names; /* subjects of the CAs in the CertificateRequest */
};

struct client_auth {
	struct tls_client_auth_spec spec;
};

/* Sets up a context. `auth` must outlive it. */
int client_auth_init(struct client_auth *auth, const struct tls_client_auth_spec *spec,
	struct ssl_ctx_st *ctx, struct err *err) must_check;
void client_auth_fini(struct client_auth *auth);
/* Sessions made under another text must not be resumed: mode, limits, what is trusted. */
void client_auth_text(const struct client_auth *auth, char ret_text[static CLIENT_AUTH_TEXT_BYTES]);
/* Whether a session that was made under the same text may go on now. */
bool client_auth_may_resume(const struct client_auth *auth, const struct ssl_session_st *session);
/* At the end of a handshake: the certificate of a resumed session. False: no memory for it. */
bool client_auth_note_resumed(struct tls_stream *ts) must_check;
/* Does `now` turn away clients that `before` let in? */
bool client_auth_is_tighter(const struct client_auth *before, const struct client_auth *now);
/* Does `now` not vouch for what clients have shown until `before`? They may go on without. */
bool client_auth_is_another(const struct client_auth *before, const struct client_auth *now);

static inline bool client_auth_is_on(const struct client_auth *auth)
{
	return auth->spec.mode != TLS_CLIENT_AUTH_OFF;
}

static inline bool client_auth_verifies(const struct client_auth *auth)
{
	return auth->spec.mode == TLS_CLIENT_AUTH_VERIFY ||
	       auth->spec.mode == TLS_CLIENT_AUTH_OPTIONAL;
}

#endif
