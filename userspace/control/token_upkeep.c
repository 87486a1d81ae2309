/* Tokens that are asked again: see token_upkeep.h. */
#include "control/token_upkeep.h"

#include "control/build.h"
#include "core/mem.h"
#include "tls/cert.h"
#include "tls/cert_token.h"
#include <stdlib.h>

enum { PAUSE_MS = 2000, PAUSE_MAX_MS = 60 * 1000 };

struct asked {
	struct cert *cert; /* counted */
	uint64_t next_ms;
	uint32_t pause_ms; /* before the one after the next; 0: it is good */
	bool was_looked_at;
};

struct token_upkeep {
	struct asked *list; /* certificates of the generation in force with keys in tokens */
	uint32_t n;
};

static void list_free(struct asked *list, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		cert_put(list[i].cert);
	free(list);
}

struct token_upkeep *token_upkeep_new(void)
{
	return mem_zalloc(sizeof(struct token_upkeep));
}

/* What was known of it; entries mostly keep their order. */
static struct asked find(
	const struct token_upkeep *upkeep, const struct cert *cert, uint32_t *cursor)
{
	uint32_t i, at;

	for (i = 0; i < upkeep->n; i++) {
		at = (*cursor + i) % upkeep->n;
		if (upkeep->list[at].cert != cert)
			continue;
		*cursor = at + 1;
		return upkeep->list[at];
	}
	return (struct asked){0};
}

void token_upkeep_look(struct token_upkeep *upkeep, const struct build *build)
{
	uint32_t i, n = 0, cursor = 0;
	struct asked *list = NULL;
	struct cert *cert;

	for (i = 0; i < build->config->certificates_count; i++) {
		cert = build->certs[i].cert;
		if (!cert || !cert_is_in_token(cert))
			continue;
		list = mem_realloc(list, (n + 1) * sizeof(*list));
		list[n] = find(upkeep, cert, &cursor);
		list[n++].cert = cert_get(cert);
	}
	list_free(upkeep->list, upkeep->n);
	upkeep->list = list;
	upkeep->n = n;
}

static void ask(struct asked *asked, uint64_t now_ms)
{
	if (asked->pause_ms && now_ms < asked->next_ms)
		return;
	asked->pause_ms = asked->pause_ms ? 2 * asked->pause_ms : PAUSE_MS;
	if (asked->pause_ms > PAUSE_MAX_MS)
		asked->pause_ms = PAUSE_MAX_MS;
	asked->next_ms = now_ms + asked->pause_ms;
	cert_token_ask(asked->cert);
}

bool token_upkeep_tick(struct token_upkeep *upkeep, uint64_t now_ms)
{
	bool has_opened = false;
	struct asked *asked;
	uint32_t i;

	for (i = 0; i < upkeep->n; i++) {
		asked = &upkeep->list[i];
		/* Its key may have been opened after those who want it had given it up. */
		has_opened |= !asked->was_looked_at && cert_state(asked->cert) != CERT_BAD;
		asked->was_looked_at = true;
		if (cert_state(asked->cert) == CERT_BAD) {
			ask(asked, now_ms);
		} else if (asked->pause_ms) {
			asked->pause_ms = 0;
			has_opened = true;
		}
	}
	return has_opened;
}

void token_upkeep_free(struct token_upkeep *upkeep)
{
	list_free(upkeep->list, upkeep->n);
	free(upkeep);
}
