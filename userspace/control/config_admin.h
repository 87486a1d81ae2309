/* The admin interface in a configuration: see config.h, which is the header to include. */
#ifndef SLUICE_CONTROL_CONFIG_ADMIN_H
#define SLUICE_CONTROL_CONFIG_ADMIN_H

#include "control/config_errors.h"
#include "control/config_values.h"
#include <stdint.h>

struct config_certificate;
struct config_trust_store;

struct config_admin_client {
	struct config_mark mark;
	enum config_role role;
	char *subject, *san; /* NULL: any */
};

struct config_admin_token {
	struct config_mark mark;
	char *name;
	enum config_role role;
	char *path; /* of a file with the token; or NULL ... */
	char *sha256; /* ... and this, of the token */
};

struct config_admin {
	struct config_mark mark;
	char *socket_path;
	struct config_address *listen; /* with TLS */
	uint32_t listen_count;
	const struct config_certificate *certificate;
	const struct config_trust_store *trust_store; /* of clients; NULL: tokens only */
	struct config_admin_client *clients;
	uint32_t clients_count;
	struct config_admin_token *tokens;
	uint32_t tokens_count;
};

struct config_metrics {
	struct config_mark mark;
	struct config_address *listen; /* plain */
	uint32_t listen_count;
};

#endif
