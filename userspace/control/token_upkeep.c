/* Tokens that are asked again: see token_upkeep.h. */
#define LOG_MODULE "certificates"
#include "control/token_upkeep.h"

#include "control/build.h"
#include "control/loader.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/mem.h"
#include "tls/cert.h"
#include <stdlib.h>
#include <string.h>

enum { PAUSE_MS = 2000 };

struct certs {
	struct cert **list; /* counted */
	uint32_t n;
};

struct token_upkeep {
	struct loop *loop;
	struct loader *loader;
	struct timer timer;
	struct job job;
	bool is_asking, is_stopped;
	struct certs certs; /* of the generation in force, with keys in tokens */
	struct certs asked; /* the loader's while is_asking */
};

static void certs_fini(struct certs *certs)
{
	uint32_t i;

	for (i = 0; i < certs->n; i++)
		cert_put(certs->list[i]);
	free(certs->list);
	*certs = (struct certs){0};
}

static void certs_add(struct certs *certs, struct cert *cert)
{
	certs->list = mem_realloc(certs->list, (certs->n + 1) * sizeof(*certs->list));
	certs->list[certs->n++] = cert_get(cert);
}

/* Loader thread. */
static void ask(struct job *job)
{
	struct token_upkeep *upkeep = container_of(job, struct token_upkeep, job);
	char name[CERT_NAME_BYTES];
	struct err err;
	uint32_t i;

	for (i = 0; i < upkeep->asked.n; i++)
		if (cert_check(upkeep->asked.list[i], &err) == 0)
			log_info("certificate %s is served again: its token signs",
				cert_name(upkeep->asked.list[i], name));
}

static void asked(struct job *job)
{
	struct token_upkeep *upkeep = container_of(job, struct token_upkeep, job);

	upkeep->is_asking = false;
	certs_fini(&upkeep->asked);
}

static void time_is_up(struct timer *timer)
{
	struct token_upkeep *upkeep = container_of(timer, struct token_upkeep, timer);
	uint32_t i;

	timer_set(upkeep->loop, &upkeep->timer, PAUSE_MS);
	if (upkeep->is_asking)
		return;
	for (i = 0; i < upkeep->certs.n; i++)
		if (cert_state(upkeep->certs.list[i]) == CERT_BAD)
			certs_add(&upkeep->asked, upkeep->certs.list[i]);
	if (!upkeep->asked.n)
		return;
	upkeep->is_asking = true;
	loader_submit(upkeep->loader, &upkeep->job);
}

struct token_upkeep *token_upkeep_new(struct loop *loop, struct loader *loader)
{
	struct token_upkeep *upkeep = mem_zalloc(sizeof(*upkeep));

	upkeep->loop = loop;
	upkeep->loader = loader;
	upkeep->timer.fire = time_is_up;
	upkeep->job = (struct job){.run = ask, .done = asked};
	return upkeep;
}

void token_upkeep_look(struct token_upkeep *upkeep, const struct build *build)
{
	uint32_t i;

	certs_fini(&upkeep->certs);
	for (i = 0; i < build->config->certificates_count; i++)
		if (build->certs[i].cert && cert_is_in_token(build->certs[i].cert))
			certs_add(&upkeep->certs, build->certs[i].cert);
	if (upkeep->certs.n && !upkeep->is_stopped)
		timer_set(upkeep->loop, &upkeep->timer, PAUSE_MS);
	else
		timer_clear(&upkeep->timer);
}

void token_upkeep_stop(struct token_upkeep *upkeep)
{
	upkeep->is_stopped = true;
	timer_clear(&upkeep->timer);
}

void token_upkeep_free(struct token_upkeep *upkeep)
{
	certs_fini(&upkeep->certs);
	certs_fini(&upkeep->asked);
	free(upkeep);
}
