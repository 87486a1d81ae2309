/*
 * Who may do what through the admin API over TCP: clients by the names in their certificates, and
 * bearer tokens by their SHA-256. Immutable, counted; made on the loader thread, used on the control
 * thread.
 */
#ifndef SLUICE_CONTROL_ADMIN_ACCESS_H
#define SLUICE_CONTROL_ADMIN_ACCESS_H

#include "control/admin.h"
#include "tls/digest.h"

struct cert;
struct tls_peer;
struct tls_server;
struct tls_trust;

enum { ADMIN_NAME_BYTES = 80, ADMIN_TOKEN_BYTES_MIN = 16, ADMIN_TOKEN_BYTES_MAX = 512 };

/* What is given must fit; nothing is: every certificate that is good. */
struct admin_client_spec {
	enum admin_role role;
	const char *subject; /* RFC 2253; NULL: any */
	const char *san; /* "dns:NAME", "email:...", "uri:...", "ip:..."; NULL: any */
};

struct admin_token_spec {
	enum admin_role role;
	const char *name;
	char sha256[DIGEST_HEX_BYTES]; /* of the token, lower case */
};

struct admin_access_spec {
	struct cert *cert; /* the server's */
	struct tls_trust *trust; /* of clients; NULL: tokens only */
	const struct admin_client_spec *clients; /* the first that fits counts */
	uint32_t n_clients;
	const struct admin_token_spec *tokens;
	uint32_t n_tokens;
	uint32_t n_workers; /* iothread.worker of who uses it is below this */
};

int admin_access_new(const struct admin_access_spec *spec, struct admin_access **ret_access,
	struct err *err) must_check;
struct admin_access *admin_access_get(struct admin_access *access);
/* NULL is ignored. */
void admin_access_put(struct admin_access *access);

struct tls_server *admin_access_server(const struct admin_access *access);

/* Somebody who has shown a certificate or a token. */
struct admin_known {
	enum admin_role role; /* NONE: nobody */
	char name[ADMIN_NAME_BYTES];
	char token_sha256[DIGEST_HEX_BYTES]; /* "": by a certificate */
};

/* `peer` was verified by the server of this access control, or by one that was not tighter. NULL: none
 * was shown. */
void admin_access_judge_cert(const struct admin_access *access, const struct tls_peer *peer,
	struct admin_known *ret_known);
/* The value of an Authorization header: "Bearer TOKEN", or "Basic" with the token for a password. */
void admin_access_judge_header(const struct admin_access *access, struct slice authorization,
	struct admin_known *ret_known);
/* Again, under this access control, who has shown a token before. */
void admin_access_judge_again(const struct admin_access *access, struct admin_known *known);

#endif
