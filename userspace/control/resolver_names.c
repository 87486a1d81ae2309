/* What is known about names: see resolver_names.h. */
#define LOG_MODULE "dns"
#include "control/resolver_names.h"

#include "core/log.h"
#include "core/mem.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static struct list *bucket_of(struct names *names, const char *host)
{
	uint32_t hash = 2166136261u; /* FNV-1a: the names are the operator's own */

	while (*host)
		hash = (hash ^ (unsigned char)*host++) * 16777619u;
	return &names->buckets[hash % NAME_BUCKETS];
}

void names_init(struct names *names)
{
	struct list *list;

	for_each_name_list(list, names) list_init(list);
}

struct name *names_find(struct names *names, const char *host, enum config_family family)
{
	struct list *link;

	list_for_each(link, bucket_of(names, host)) {
		struct name *name = container_of(link, struct name, link);

		if (name->family == family && strcmp(name->host, host) == 0)
			return name;
	}
	return NULL;
}

static struct name *make(struct names *names, const char *host, enum config_family family)
{
	struct name *name = mem_zalloc(sizeof(*name));

	name->host = mem_strdup(host);
	name->family = family;
	list_add_tail(bucket_of(names, host), &name->link);
	return name;
}

struct name *names_want(struct names *names, const char *host, const struct config_group_dns *how)
{
	struct name *name = names_find(names, host, how->family);

	if (!name)
		name = make(names, host, how->family);
	name->is_wanted = true;
	if (!how->interval_ms)
		name->goes_by_ttl = true;
	else if (!name->interval_ms || how->interval_ms < name->interval_ms)
		name->interval_ms = how->interval_ms;
	return name;
}

void names_unwant(struct names *names)
{
	struct list *list, *link;

	for_each_name_list(list, names) list_for_each(link, list)
	{
		struct name *name = container_of(link, struct name, link);

		name->is_wanted = name->goes_by_ttl = false;
		name->interval_ms = 0;
	}
}

static void name_free(struct name *name)
{
	list_del(&name->link);
	free(name->host);
	free(name->addresses);
	free(name);
}

void names_forget(struct names *names)
{
	struct list *list, *link, *after;

	for_each_name_list(list, names) list_for_each_safe(link, after, list)
	{
		struct name *name = container_of(link, struct name, link);

		if (!name->is_wanted && !name->is_asking)
			name_free(name);
	}
}

void names_fini(struct names *names)
{
	names_unwant(names);
	names_forget(names);
}

/* --- answers */

static int compare_addresses(const void *a, const void *b)
{
	const union addr *x = a, *y = b;

	if (x->any.sa_family != y->any.sa_family)
		return x->any.sa_family == AF_INET ? -1 : 1;
	if (x->any.sa_family == AF_INET)
		return memcmp(&x->v4.sin_addr, &y->v4.sin_addr, sizeof(x->v4.sin_addr));
	return memcmp(&x->v6.sin6_addr, &y->v6.sin6_addr, sizeof(x->v6.sin6_addr));
}

/* Names are blocked by such answers, and nobody's target is there. */
static bool is_target(const union addr *addr)
{
	uint32_t v4;

	if (addr->any.sa_family == AF_INET6)
		return !IN6_IS_ADDR_UNSPECIFIED(&addr->v6.sin6_addr) &&
		       !IN6_IS_ADDR_MULTICAST(&addr->v6.sin6_addr) &&
		       !IN6_IS_ADDR_V4MAPPED(&addr->v6.sin6_addr);
	v4 = ntohl(addr->v4.sin_addr.s_addr);
	return v4 >> 24 != 0 && v4 >> 28 < 14;
}

static uint32_t sort(union addr *addresses, uint32_t n)
{
	uint32_t i, kept = 0;

	for (i = 0; i < n; i++)
		if (is_target(&addresses[i]))
			addresses[kept++] = addresses[i];
	n = kept;
	qsort(addresses, n, sizeof(*addresses), compare_addresses);
	for (i = kept = 0; i < n; i++)
		if (!kept || compare_addresses(&addresses[kept - 1], &addresses[i]) != 0)
			addresses[kept++] = addresses[i];
	return kept;
}

static bool has_family(const union addr *addresses, uint32_t n, sa_family_t family)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (addresses[i].any.sa_family == family)
			return true;
	return false;
}

static bool lost_family(
	const struct name *name, const struct dns_answer *answer, uint32_t n, sa_family_t family)
{
	return has_family(name->addresses, name->n, family) &&
	       !has_family(answer->addresses, n, family);
}

static bool is_same(const struct name *name, const struct dns_answer *answer, uint32_t n)
{
	uint32_t i;

	if (name->n != n)
		return false;
	for (i = 0; i < n; i++)
		if (compare_addresses(&name->addresses[i], &answer->addresses[i]) != 0)
			return false;
	return true;
}

/* A server that is out of order is told of once. */
static void take_fault(struct name *name, const char *fault, uint64_t now_ms)
{
	name->retry_ms = name->retry_ms ? 2 * name->retry_ms : NAME_RETRY_MS;
	if (name->retry_ms > NAME_RETRY_MAX_MS)
		name->retry_ms = NAME_RETRY_MAX_MS;
	name->due_ms = now_ms + name->retry_ms;
	if (strcmp(name->fault, fault) == 0)
		return;
	snprintf(name->fault, sizeof(name->fault), "%s", fault);
	if (name->n)
		log_warn("%s: %s: the %u addresses it had stay", name->host, fault, name->n);
	else
		log_warn("%s: %s: it has no targets", name->host, fault);
}

static void replace(struct name *name, const struct dns_answer *answer, uint32_t n)
{
	size_t bytes = n * sizeof(*answer->addresses);

	log_info("%s: %u addresses, before %u", name->host, n, name->n);
	free(name->addresses);
	name->addresses = memcpy(mem_alloc(bytes), answer->addresses, bytes);
	name->n = n;
}

static void take_times(
	struct name *name, const struct dns_answer *answer, uint64_t now_ms, int64_t now_unix_s)
{
	uint32_t pause_ms = 1000 * (answer->ttl_s ? answer->ttl_s : NAME_TTL_NONE_S);

	if (answer->ttl_s > NAME_TTL_MAX_S)
		pause_ms = 1000 * NAME_TTL_MAX_S;
	if (name->interval_ms && (!name->goes_by_ttl || name->interval_ms < pause_ms))
		pause_ms = name->interval_ms;
	name->ttl_s = answer->ttl_s;
	name->answered_unix_s = now_unix_s;
	name->due_ms = now_ms + pause_ms;
	name->retry_ms = 0;
	if (*name->fault)
		log_info("%s: it is known again", name->host);
	name->fault[0] = '\0';
}

bool name_take(
	struct name *name, const struct dns_answer *answer, uint64_t now_ms, int64_t now_unix_s)
{
	uint32_t n = answer->fault ? 0 : sort(answer->addresses, answer->n);

	name->is_settled = true;
	if (!n) {
		take_fault(name, answer->fault ? answer->fault : "it has no addresses", now_ms);
		return false;
	}
	take_times(name, answer, now_ms, now_unix_s);
	/* A name has IPv4 and IPv6 addresses of two queries, one of which may have failed. */
	if (!name->lacks_family &&
		(lost_family(name, answer, n, AF_INET) || lost_family(name, answer, n, AF_INET6))) {
		name->lacks_family = true;
		name->due_ms = now_ms + NAME_RETRY_MS;
		return false;
	}
	name->lacks_family = false;
	if (is_same(name, answer, n))
		return false;
	replace(name, answer, n);
	return true;
}
