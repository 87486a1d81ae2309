/* Who may use the admin interface over TCP, and where it and the metrics are: see config_read.h. */
#include "control/config_read.h"

#include <ctype.h>
#include <string.h>

/* --- addresses */

static bool is_wildcard(const struct config_address *address)
{
	static const uint8_t zeros[16];

	return memcmp(address->ip, zeros, sizeof(zeros)) == 0;
}

static bool meet(const struct config_address *a, const struct config_address *b)
{
	return a->family && a->port == b->port && a->family == b->family &&
	       (is_wildcard(a) || is_wildcard(b) || memcmp(a->ip, b->ip, sizeof(a->ip)) == 0);
}

static void refuse_address(struct config_checker *checker, const struct config_address *address,
	struct config_mark object, const char *other)
{
	char text[ADDRESS_TEXT_BYTES];

	address_text(address, text, sizeof(text));
	config_refuse(
		checker, address, object, "listen", "%s is already served by %s", text, other);
}

static void check_among_listeners(struct config_checker *checker,
	const struct config_address *address, struct config_mark object)
{
	const struct config *config = checker->config;

	for (uint32_t i = 0; i < config->listeners_count; i++) {
		const struct config_listener *l = &config->listeners[i];
		char other[160];

		snprintf(other, sizeof(other), "listener \"%.100s\"", l->name ?: "");
		for (uint32_t at = 0; at < l->address_count; at++)
			if (meet(address, &l->address[at]))
				refuse_address(checker, address, object, other);
	}
}

/* Those of the admin interface come first. */
static void check_addresses(struct config_checker *checker, const struct config_address *list,
	uint32_t n, struct config_mark object, const struct config_address *others,
	uint32_t n_others)
{
	for (uint32_t i = 0; i < n; i++) {
		check_among_listeners(checker, &list[i], object);
		for (uint32_t at = 0; at < i; at++)
			if (meet(&list[i], &list[at]))
				refuse_address(checker, &list[i], object, "another one of these");
		for (uint32_t at = 0; at < n_others; at++)
			if (meet(&list[i], &others[at]))
				refuse_address(checker, &list[i], object, "admin.listen");
	}
}

/* --- clients and tokens */

static void check_client(struct config_checker *checker, const struct config_admin_client *client)
{
	static const char *const kinds[] = {"dns:", "email:", "uri:", "ip:"};

	for (size_t i = 0; client->san && i < array_len(kinds); i++)
		if (strncmp(client->san, kinds[i], strlen(kinds[i])) == 0 &&
			client->san[strlen(kinds[i])])
			return;
	if (client->san)
		config_refuse(checker, &client->san, client->mark, "san",
			"begins with dns:, email:, uri: or ip:");
}

static bool is_digest(const char *text)
{
	while (isxdigit((unsigned char)*text))
		text++;
	return !*text;
}

static void check_token(struct config_checker *checker, const struct config_admin_token *token)
{
	if (token->path && token->sha256)
		config_refuse(checker, &token->sha256, token->mark, "sha256",
			"has no effect beside file");
	else if (!token->path && !token->sha256 && !config_is_unread(checker, &token->path) &&
		 !config_is_unread(checker, &token->sha256))
		config_refuse(checker, &token->path, token->mark, "file",
			"is required (or sha256, of the token)");
	else if (token->sha256 && !is_digest(token->sha256))
		config_refuse(checker, &token->sha256, token->mark, "sha256",
			"is no SHA-256: 64 hexadecimal digits");
}

static void check_lists(struct config_checker *checker, const struct config_admin *admin)
{
	size_t before = config_path_enter(&checker->path, "clients"), list;

	for (uint32_t i = 0; i < admin->clients_count; i++) {
		list = config_path_item(&checker->path, NULL, i);
		check_client(checker, &admin->clients[i]);
		config_path_cut(&checker->path, list);
	}
	config_path_cut(&checker->path, before);
	config_path_enter(&checker->path, "tokens");
	for (uint32_t i = 0; i < admin->tokens_count; i++) {
		list = config_path_item(&checker->path, admin->tokens[i].name, i);
		check_token(checker, &admin->tokens[i]);
		config_path_cut(&checker->path, list);
	}
	config_path_cut(&checker->path, before);
}

/* A signature of a token would hold the control thread up. */
static void check_certificate(struct config_checker *checker, const struct config_admin *admin)
{
	const struct config_certificate *certificate = admin->certificate;

	if (!certificate) {
		if (admin->listen_count && !config_is_given(checker->config, &admin->certificate))
			config_refuse(checker, &admin->certificate, admin->mark, "certificate",
				"is required for listen");
	} else if (certificate->directory_path) {
		config_refuse(checker, &admin->certificate, admin->mark, "certificate",
			"is the directory \"%s\": one pair is needed", certificate->name ?: "");
	} else if (certificate->key_path && !strncmp(certificate->key_path, "pkcs11:", 7)) {
		config_refuse(checker, &admin->certificate, admin->mark, "certificate",
			"has its key in a token, which may take its time to sign: use one with a file");
	}
}

static void check_admin(struct config_checker *checker, const struct config_admin *admin)
{
	check_certificate(checker, admin);
	check_lists(checker, admin);
	if (admin->listen_count && !admin->tokens_count && !admin->clients_count)
		config_refuse(checker, &admin->listen, admin->mark, "listen",
			"nobody may come in: give clients (with trust_store) or tokens");
	if (admin->clients_count && !admin->trust_store &&
		!config_is_given(checker->config, &admin->trust_store))
		config_refuse(checker, &admin->clients, admin->mark, "trust_store",
			"is required for clients");
	check_addresses(checker, admin->listen, admin->listen_count, admin->mark, NULL, 0);
}

void config_check_admin(const struct config *config, struct config_errors *errors)
{
	struct config_checker checker = {.config = config, .errors = errors};
	size_t before = config_path_enter(&checker.path, "admin");

	check_admin(&checker, &config->admin);
	config_path_cut(&checker.path, before);
	config_path_enter(&checker.path, "metrics");
	check_addresses(&checker, config->metrics.listen, config->metrics.listen_count,
		config->metrics.mark, config->admin.listen, config->admin.listen_count);
	config_path_cut(&checker.path, before);
}
