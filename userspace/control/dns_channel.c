/* Asking for the addresses of host names: see dns_channel.h. */
#include "control/dns_channel.h"

#include "control/config_scalar.h"
#include "core/confine.h"
#include "core/mem.h"

#include <ares.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { TRIES = 3 };

struct dns_channel {
	ares_channel_t *ares;
};

struct asking {
	dns_done *done;
	void *arg;
};

/* --- terms */

struct dns_terms dns_terms_of(const struct config_dns *dns)
{
	struct dns_terms terms = {.timeout_ms = dns->timeout_ms};
	char text[ADDRESS_TEXT_BYTES], *more;
	uint32_t i;

	for (i = 0; i < dns->servers_count; i++) {
		address_text(&dns->servers[i], text, sizeof(text));
		more = mem_printf("%s%s%s", terms.servers ? terms.servers : "", i ? "," : "", text);
		free(terms.servers);
		terms.servers = more;
	}
	return terms;
}

struct dns_terms dns_terms_copy(const struct dns_terms *terms)
{
	return (struct dns_terms){
		terms->servers ? mem_strdup(terms->servers) : NULL, terms->timeout_ms};
}

bool dns_terms_eq(const struct dns_terms *a, const struct dns_terms *b)
{
	return a->timeout_ms == b->timeout_ms &&
	       (a->servers && b->servers ? strcmp(a->servers, b->servers) == 0
					 : a->servers == b->servers);
}

void dns_terms_fini(struct dns_terms *terms)
{
	free(terms->servers);
	terms->servers = NULL;
}

/* --- the channel */

struct opening {
	struct dns_channel *channel;
	uint32_t timeout_ms;
	int status;
};

/* On a thread that may little: the one that the library starts, to read answers, comes of it. */
static void open_channel(void *arg)
{
	struct opening *opening = arg;
	struct ares_options options = {
		.timeout = (int)opening->timeout_ms,
		.tries = TRIES,
		.qcache_max_ttl = 0, /* who asks again wants to know */
		.evsys = ARES_EVSYS_DEFAULT,
	};

	pthread_setname_np(pthread_self(), "sluice-names");
	opening->status = ares_init_options(&opening->channel->ares, &options,
		ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_QUERY_CACHE | ARES_OPT_EVENT_THREAD);
}

int dns_channel_new(
	const struct dns_terms *terms, struct dns_channel **ret_channel, struct err *err)
{
	struct dns_channel *channel = mem_zalloc(sizeof(*channel));
	struct opening opening = {channel, terms->timeout_ms, ARES_ENOMEM};
	int status = ares_library_init(ARES_LIB_INIT_ALL);

	if (status != ARES_SUCCESS)
		goto fail;
	if (confine_run(CONFINE_NAMES, open_channel, &opening) == 0)
		status = opening.status;
	else
		status = ARES_ENOMEM;
	if (status != ARES_SUCCESS)
		goto cleanup;
	if (terms->servers)
		status = ares_set_servers_ports_csv(channel->ares, terms->servers);
	if (status != ARES_SUCCESS)
		goto destroy;
	*ret_channel = channel;
	return 0;
destroy:
	ares_destroy(channel->ares);
cleanup:
	ares_library_cleanup();
fail:
	free(channel);
	return err_set(err, -EIO, "host names cannot be looked up: %s", ares_strerror(status));
}

void dns_channel_free(struct dns_channel *channel)
{
	if (!channel)
		return;
	ares_destroy(channel->ares);
	ares_library_cleanup();
	free(channel);
}

/* --- answers */

static void add_address(const struct ares_addrinfo_node *node, struct dns_answer *answer)
{
	union addr *addr = &answer->addresses[answer->n];

	if (node->ai_family != AF_INET && node->ai_family != AF_INET6)
		return;
	*addr = (union addr){0};
	if (node->ai_family == AF_INET)
		memcpy(&addr->v4, node->ai_addr, sizeof(addr->v4));
	else
		memcpy(&addr->v6, node->ai_addr, sizeof(addr->v6));
	addr_port_set(addr, 0);
	answer->n++;
}

static void note_ttl(struct dns_answer *answer, int ttl_s, bool is_first)
{
	uint32_t given = ttl_s > 0 ? (uint32_t)ttl_s : 0;

	if (is_first || given < answer->ttl_s)
		answer->ttl_s = given;
}

static void read_answer(const struct ares_addrinfo *info, struct dns_answer *answer)
{
	const struct ares_addrinfo_node *node;
	const struct ares_addrinfo_cname *cname;
	uint32_t n = 0;

	for (node = info->nodes; node; node = node->ai_next)
		n++;
	answer->addresses = mem_alloc((n + 1) * sizeof(*answer->addresses));
	for (node = info->nodes; node; node = node->ai_next) {
		note_ttl(answer, node->ai_ttl, node == info->nodes);
		add_address(node, answer);
	}
	for (cname = info->cnames; cname; cname = cname->next)
		note_ttl(answer, cname->ttl, false);
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
	struct dns_answer answer = {0};
	struct asking *asking = arg;

	if (status == ARES_SUCCESS)
		read_answer(info, &answer);
	else
		answer.fault = ares_strerror(status);
	answer.says_none = status == ARES_ENODATA || status == ARES_ENOTFOUND;
	if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
		asking->done(asking->arg, NULL);
	else
		asking->done(asking->arg, &answer);
	free(answer.addresses);
	free(asking);
	if (info)
		ares_freeaddrinfo(info);
}

void dns_channel_ask(
	struct dns_channel *channel, const char *host, int family, dns_done *done, void *arg)
{
	struct ares_addrinfo_hints hints = {
		.ai_family = family,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = ARES_AI_NOSORT,
	};
	struct asking *asking = mem_alloc(sizeof(*asking));

	*asking = (struct asking){done, arg};
	ares_getaddrinfo(channel->ares, host, NULL, &hints, answered, asking);
}
