/* Checks of client_auth and tls_headers of listeners: see config_read.h. */
#include "control/config_read.h"

#include "http/message.h"
#include "http/syntax.h"
#include "http/headers.h"
#include "proxy/tls_headers.h"

enum { NAMES_MAX = 8 };

struct header_name {
	const char *section, *setting;
	char *const *field;
	struct config_mark object;
};

static bool is_off(const char *name)
{
	return !name || strcmp(name, "off") == 0;
}

static void refuse_name(
	struct config_checker *checker, const struct header_name *name, const char *text)
{
	size_t before = config_path_enter(&checker->path, name->section);

	config_refuse(checker, name->field, name->object, name->setting, "%s", text);
	config_path_cut(&checker->path, before);
}

static void check_names(struct config_checker *checker, const struct header_name *names)
{
	uint32_t i, j;

	for (i = 0; i < NAMES_MAX; i++) {
		const char *name = *names[i].field;

		if (is_off(name))
			continue;
		if (!syntax_is_token(slice_of(name)))
			refuse_name(checker, &names[i], "is not the name of a header");
		else if (http_header_id(slice_of(name)) != HTTP_HEADER_UNKNOWN)
			refuse_name(checker, &names[i],
				"is the name of a header that has a meaning of its own");
		for (j = 0; j < i; j++)
			if (!is_off(*names[j].field) &&
				http_name_is_alike(slice_of(name), slice_of(*names[j].field)))
				refuse_name(checker, &names[i],
					"is the name of another header of this listener");
	}
}

static void check_mode(struct config_checker *checker, const struct config_listener *listener)
{
	const struct config_client_auth *auth = &listener->client_auth;
	bool verifies = auth->mode == CONFIG_CLIENT_AUTH_VERIFY ||
			auth->mode == CONFIG_CLIENT_AUTH_OPTIONAL;

	if (auth->mode > CONFIG_CLIENT_AUTH_PASSTHROUGH)
		return; /* has its error */
	if (verifies && !config_is_given(checker->config, &auth->trust_store))
		config_refuse(checker, &auth->mode, auth->mark, "client_auth.trust_store",
			"is required with mode verify and optional");
	if (!verifies && auth->trust_store)
		config_refuse(checker, &auth->trust_store, auth->mark, "client_auth.trust_store",
			"has no effect with mode off and passthrough");
}

static void check_listener(struct config_checker *checker, const struct config_listener *listener)
{
	const struct config_auth_headers *auth = &listener->client_auth.headers;
	const struct config_tls_headers *tls = &listener->tls_headers;
	const struct header_name names[NAMES_MAX] = {
		{"client_auth.headers", "serial_number", &auth->serial_number, auth->mark},
		{"client_auth.headers", "issuer", &auth->issuer, auth->mark},
		{"client_auth.headers", "subject", &auth->subject, auth->mark},
		{"client_auth.headers", "validity", &auth->validity, auth->mark},
		{"client_auth.headers", "leaf", &auth->leaf, auth->mark},
		{"client_auth.headers", "chain", &auth->chain, auth->mark},
		{"tls_headers", "version", &tls->version, tls->mark},
		{"tls_headers", "cipher_suite", &tls->cipher_suite, tls->mark},
	};

	check_mode(checker, listener);
	check_names(checker, names);
}

void config_check_client_auth(const struct config *config, struct config_errors *errors)
{
	struct config_checker checker = {.config = config, .errors = errors};
	uint32_t i;

	for (i = 0; i < config->listeners_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		if (listener->protocol != CONFIG_HTTPS && listener->protocol != CONFIG_TLS)
			continue;
		config_path_enter(&checker.path, "listeners");
		config_path_item(&checker.path, listener->name, i);
		check_listener(&checker, listener);
		config_path_cut(&checker.path, 0);
	}
}
