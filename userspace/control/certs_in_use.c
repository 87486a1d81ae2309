/* Certificates of a generation that serve: see certs_in_use.h. */
#include "control/certs_in_use.h"

#include "control/build.h"
#include "control/certdir.h"
#include "core/mem.h"
#include "tls/cert.h"

#include <stdlib.h>

static bool has_certificate(
	const struct config_listener *listener, const struct config_certificate *certificate)
{
	uint32_t i;

	for (i = 0; i < listener->certificates_count; i++)
		if (listener->certificates[i] == certificate)
			return true;
	return false;
}

static bool is_admins(const struct config *config, const struct config_certificate *certificate)
{
	return config->admin.listen_count && config->admin.certificate == certificate;
}

static void mark_used(const struct config *config, bool *used)
{
	const struct config_listener *listener;
	uint32_t i, at;

	for (i = 0; i < config->listeners_count; i++) {
		listener = &config->listeners[i];
		for (at = 0; at < listener->certificates_count; at++)
			used[listener->certificates[at] - config->certificates] = true;
	}
	if (config->admin.listen_count)
		used[config->admin.certificate - config->certificates] = true;
}

static void add(struct certs_in_use *certs, const struct build *build, uint32_t index)
{
	const struct built_cert *built = &build->certs[index];

	certs->entries[certs->n++] = (struct certs_entry){
		.cert = built->cert ? cert_get(built->cert) : NULL,
		.dir = built->dir ? certdir_get(built->dir) : NULL,
		.config = &build->config->certificates[index],
	};
}

struct certs_in_use *certs_in_use_new(const struct build *build)
{
	uint32_t i, n = build->config->certificates_count;
	struct certs_in_use *certs = mem_zalloc(sizeof(*certs));
	bool *used = mem_zalloc((n + 1) * sizeof(*used));

	certs->config = config_get(build->config);
	certs->entries = mem_zalloc((n + 1) * sizeof(*certs->entries));
	mark_used(build->config, used);
	for (i = 0; i < n; i++)
		if (used[i])
			add(certs, build, i);
	free(used);
	return certs;
}

void certs_in_use_free(struct certs_in_use *certs)
{
	uint32_t i;

	if (!certs)
		return;
	for (i = 0; i < certs->n; i++) {
		if (certs->entries[i].cert)
			cert_put(certs->entries[i].cert);
		certdir_put(certs->entries[i].dir);
	}
	free(certs->entries);
	config_free(certs->config);
	free(certs);
}

/* The next one of the entry that the cursor is in. */
static struct cert *next_inside(const struct certs_entry *entry, struct certs_cursor *cursor)
{
	struct certdir_cursor inside = {cursor->segment, cursor->at};
	struct cert *cert;

	if (!entry->dir)
		return cursor->at++ == 0 ? entry->cert : NULL;
	cert = certdir_next(entry->dir, &inside);
	cursor->segment = inside.segment;
	cursor->at = inside.at;
	return cert;
}

struct cert *certs_in_use_next(const struct certs_in_use *certs, struct certs_cursor *cursor)
{
	struct cert *cert;

	for (; cursor->entry < certs->n; *cursor = (struct certs_cursor){cursor->entry + 1}) {
		cert = next_inside(&certs->entries[cursor->entry], cursor);
		if (cert)
			return cert;
	}
	return NULL;
}

const char *certs_in_use_listener(
	const struct certs_in_use *certs, const struct certs_entry *entry, uint32_t *cursor)
{
	const struct config *config = certs->config;
	const struct config_listener *listener;

	while (*cursor < config->listeners_count) {
		listener = &config->listeners[(*cursor)++];
		if (has_certificate(listener, entry->config))
			return listener->name;
	}
	if ((*cursor)++ == config->listeners_count && is_admins(config, entry->config))
		return "admin.listen";
	return NULL;
}
