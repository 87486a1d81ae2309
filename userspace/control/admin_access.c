/* Who may do what through the admin API over TCP: see admin_access.h. */
#include "control/admin_access.h"

#include "core/base64.h"
#include "core/mem.h"
#include "core/shared.h"
#include "http/syntax.h"
#include "tls/certstore.h"
#include "tls/peer.h"
#include "tls/peer_names.h"
#include "tls/server.h"

#include <stdio.h>
#include <stdlib.h>

enum { BASIC_BYTES_MAX = 1024, NAME_SHOWN = ADMIN_NAME_BYTES - 16 };

struct access_client {
	enum admin_role role;
	char *subject, *san;
};

struct access_token {
	enum admin_role role;
	char name[ADMIN_NAME_BYTES];
	char sha256[DIGEST_HEX_BYTES];
};

struct admin_access {
	struct shared shared;
	struct tls_server *server;
	struct access_client *clients;
	uint32_t n_clients;
	struct access_token *tokens;
	uint32_t n_tokens;
};

static void free_access(struct shared *shared)
{
	struct admin_access *access = container_of(shared, struct admin_access, shared);
	uint32_t i;

	if (access->server)
		tls_server_put(access->server);
	for (i = 0; i < access->n_clients; i++) {
		free(access->clients[i].subject);
		free(access->clients[i].san);
	}
	free(access->clients);
	free(access->tokens);
	shared_fini(&access->shared);
	free(access);
}

/* A client without a certificate is let in where it may have a token. */
static int make_server(
	const struct admin_access_spec *spec, struct tls_server **ret_server, struct err *err)
{
	static const char *const alpn[] = {"http/1.1"};
	struct tls_server_spec server = {
		.name = "admin.listen",
		.alpn = alpn,
		.n_alpn = array_len(alpn),
		.n_workers = spec->n_workers,
		.ktls = TLS_KTLS_OFF,
		.client_auth = {.mode = !spec->trust     ? TLS_CLIENT_AUTH_OFF
					: spec->n_tokens ? TLS_CLIENT_AUTH_OPTIONAL
							 : TLS_CLIENT_AUTH_VERIFY,
			.trust = spec->trust},
	};
	int r = certstore_new(&spec->cert, 1, &server.certs, err);

	if (r < 0)
		return r;
	r = tls_server_new(&server, ret_server, err);
	certstore_put(server.certs);
	return r;
}

static char *copy(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

int admin_access_new(
	const struct admin_access_spec *spec, struct admin_access **ret_access, struct err *err)
{
	struct tls_server *server;
	struct admin_access *access;
	int r = make_server(spec, &server, err);
	uint32_t i;

	if (r < 0)
		return r;
	access = mem_zalloc(sizeof(*access));
	shared_init(&access->shared, 0, free_access);
	access->server = server;
	access->n_clients = spec->n_clients;
	access->clients = mem_zalloc((spec->n_clients + 1) * sizeof(*access->clients));
	for (i = 0; i < spec->n_clients; i++)
		access->clients[i] = (struct access_client){spec->clients[i].role,
			copy(spec->clients[i].subject), copy(spec->clients[i].san)};
	access->n_tokens = spec->n_tokens;
	access->tokens = mem_zalloc((spec->n_tokens + 1) * sizeof(*access->tokens));
	for (i = 0; i < spec->n_tokens; i++) {
		access->tokens[i].role = spec->tokens[i].role;
		snprintf(access->tokens[i].name, ADMIN_NAME_BYTES, "%s", spec->tokens[i].name);
		memcpy(access->tokens[i].sha256, spec->tokens[i].sha256, DIGEST_HEX_BYTES);
	}
	*ret_access = access;
	return 0;
}

struct admin_access *admin_access_get(struct admin_access *access)
{
	shared_get(&access->shared);
	return access;
}

void admin_access_put(struct admin_access *access)
{
	if (access)
		shared_put(&access->shared);
}

struct tls_server *admin_access_server(const struct admin_access *access)
{
	return access->server;
}

/* --- certificates */

static bool has_name(const struct tls_peer_names *names, const char *wanted)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		if (strcmp(names->texts[i], wanted) == 0)
			return true;
	return false;
}

/* An empty subject stands for one that is too long, too: it is nobody's. */
static bool fits(const struct access_client *client, const struct tls_peer *peer,
	const struct tls_peer_names *names)
{
	if (client->subject &&
		(peer->subject.len == 0 || !slice_eq(peer->subject, slice_of(client->subject))))
		return false;
	return !client->san || has_name(names, client->san);
}

/* As logs and the history show who it was: the subject, or the name by which it was let in. */
static void set_name(const struct access_client *client, const struct tls_peer *peer,
	char ret_name[static ADMIN_NAME_BYTES])
{
	struct slice name = client->san ? slice_of(client->san) : peer->subject;
	int len = (int)(name.len < NAME_SHOWN ? name.len : NAME_SHOWN);

	snprintf(ret_name, ADMIN_NAME_BYTES, "%.*s%s", len, name.ptr,
		(size_t)len < name.len ? "..." : "");
}

void admin_access_judge_cert(const struct admin_access *access, const struct tls_peer *peer,
	struct admin_known *ret_known)
{
	struct tls_peer_names names = {0};
	uint32_t i;

	*ret_known = (struct admin_known){.role = ADMIN_ROLE_NONE};
	if (!peer || tls_peer_names_read(peer, &names) < 0)
		return;
	for (i = 0; i < access->n_clients; i++) {
		if (!fits(&access->clients[i], peer, &names))
			continue;
		ret_known->role = access->clients[i].role;
		set_name(&access->clients[i], peer, ret_known->name);
		break;
	}
	tls_peer_names_fini(&names);
}

/* --- tokens */

/* Takes as long whatever is the same. */
static bool is_same_digest(const char *a, const char *b)
{
	volatile unsigned char differs = 0;
	size_t i;

	for (i = 0; i < DIGEST_HEX_BYTES; i++)
		differs |= (unsigned char)(a[i] ^ b[i]);
	return differs == 0;
}

void admin_access_judge_again(const struct admin_access *access, struct admin_known *known)
{
	const struct access_token *found = NULL;
	uint32_t i;

	for (i = 0; i < access->n_tokens; i++)
		if (is_same_digest(access->tokens[i].sha256, known->token_sha256))
			found = &access->tokens[i];
	known->role = found ? found->role : ADMIN_ROLE_NONE;
	snprintf(known->name, sizeof(known->name), "%s", found ? found->name : "");
}

static void judge_token(
	const struct admin_access *access, struct slice token, struct admin_known *ret_known)
{
	if (token.len < ADMIN_TOKEN_BYTES_MIN || token.len > ADMIN_TOKEN_BYTES_MAX)
		return;
	digest_hex(token.ptr, token.len, ret_known->token_sha256);
	admin_access_judge_again(access, ret_known);
}

/* RFC 7617: base64 of "user:password". */
static void judge_basic(
	const struct admin_access *access, struct slice value, struct admin_known *ret_known)
{
	uint8_t bytes[BASIC_BYTES_MAX / 4 * 3 + 3];
	const uint8_t *colon;
	size_t len;

	if (value.len > BASIC_BYTES_MAX || base64_decode(value.ptr, value.len, bytes, &len) < 0)
		return;
	colon = memchr(bytes, ':', len);
	if (colon)
		judge_token(access,
			(struct slice){(const char *)colon + 1, (size_t)(bytes + len - colon - 1)},
			ret_known);
	explicit_bzero(bytes, sizeof(bytes));
}

static bool begins_with(struct slice *value, struct slice scheme)
{
	if (value->len <= scheme.len || value->ptr[scheme.len] != ' ' ||
		!slice_eq_nocase((struct slice){value->ptr, scheme.len}, scheme))
		return false;
	*value = syntax_trim((struct slice){value->ptr + scheme.len, value->len - scheme.len});
	return true;
}

void admin_access_judge_header(const struct admin_access *access, struct slice authorization,
	struct admin_known *ret_known)
{
	*ret_known = (struct admin_known){.role = ADMIN_ROLE_NONE};
	if (begins_with(&authorization, SLICE("Bearer")))
		judge_token(access, authorization, ret_known);
	else if (begins_with(&authorization, SLICE("Basic")))
		judge_basic(access, authorization, ret_known);
}
