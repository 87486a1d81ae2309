/* Which answers about a name count, and for how long: see resolver_name.h. */
#define LOG_MODULE "dns"
#include "control/resolver_name.h"

#include "core/log.h"
#include "core/mem.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/* --- addresses of an answer */

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

/* --- addresses that are missing */

static enum name_family family_of(const union addr *addr)
{
	return addr->any.sa_family == AF_INET ? NAME_V4 : NAME_V6;
}

/* The last time that the name was surely there, as far as a family's own answers have come since. */
static uint64_t proven_ms(const struct name *name, enum name_family family)
{
	uint64_t latest_ms = 0;
	uint32_t i;

	for (i = 0; i < name->n; i++) {
		const struct name_address *address = &name->addresses[i];

		if (!address->missing_ms && address->seen_ms <= name->half[family].checked_ms &&
			address->seen_ms > latest_ms)
			latest_ms = address->seen_ms;
	}
	return latest_ms;
}

/* An answer without it is believed once another address of the name was seen since, and its own family's
 * answer after that was still without it: a server that knows nothing of the name for a while takes none
 * away, whichever family is asked first. UINT64_MAX: it does not go. */
static uint64_t goes_ms(const struct name *name, const struct name_address *address,
	const uint64_t proven[static NAME_FAMILIES])
{
	if (!address->missing_ms || proven[family_of(&address->addr)] < address->missing_ms)
		return UINT64_MAX;
	return address->missing_ms + name->hold_ms;
}

uint64_t name_expires_ms(const struct name *name)
{
	const uint64_t proven[NAME_FAMILIES] = {proven_ms(name, NAME_V4), proven_ms(name, NAME_V6)};
	uint64_t earliest_ms = UINT64_MAX, ms;
	uint32_t i;

	for (i = 0; i < name->n; i++) {
		ms = goes_ms(name, &name->addresses[i], proven);
		if (ms < earliest_ms)
			earliest_ms = ms;
	}
	return earliest_ms;
}

bool name_expire(struct name *name, uint64_t now_ms)
{
	const uint64_t proven[NAME_FAMILIES] = {proven_ms(name, NAME_V4), proven_ms(name, NAME_V6)};
	uint32_t i, kept = 0, before = name->n;

	for (i = 0; i < before; i++)
		if (goes_ms(name, &name->addresses[i], proven) > now_ms)
			name->addresses[kept++] = name->addresses[i];
	if (kept == before)
		return false;
	name->n = kept;
	log_info("%s: %u addresses, before %u", name->host, kept, before);
	return true;
}

uint32_t name_read(const struct name *name, union addr *ret_addresses, uint32_t max)
{
	uint32_t n = name->n < max ? name->n : max, i;

	for (i = 0; i < n; i++)
		ret_addresses[i] = name->addresses[i].addr;
	if (n)
		qsort(ret_addresses, n, sizeof(*ret_addresses), compare_addresses);
	return n;
}

void name_facts(const struct name *name, struct resolver_facts *ret_facts)
{
	const struct name_half *half;
	uint32_t i;

	*ret_facts = (struct resolver_facts){.n_addresses = name->n};
	for (i = 0; i < name->n; i++)
		ret_facts->n_missing += name->addresses[i].missing_ms != 0;
	for (half = name->half; half < name->half + NAME_FAMILIES; half++)
		if (half->answered_unix_s > ret_facts->answered_unix_s) {
			ret_facts->answered_unix_s = half->answered_unix_s;
			ret_facts->ttl_s = half->ttl_s;
		}
	snprintf(ret_facts->fault, sizeof(ret_facts->fault), "%s", name->told);
}

/* --- what is wrong */

static struct name_half *other_of(const struct name_half *half)
{
	struct name *name = half->name;

	return half == &name->half[NAME_V4] ? &name->half[NAME_V6] : &name->half[NAME_V4];
}

/* Its last look-up ended with addresses. */
static bool has_some(const struct name_half *half)
{
	return half->checked_ms && !half->is_none && !*half->fault;
}

bool name_is_settled(const struct name *name)
{
	int i;

	for (i = 0; i < NAME_FAMILIES; i++)
		if (name->half[i].is_wanted && !name->half[i].is_settled)
			return false;
	return true;
}

void name_give_up(struct name *name)
{
	int i;

	for (i = 0; i < NAME_FAMILIES; i++)
		name->half[i].is_settled = true;
}

/* A name that has addresses of one family alone is as good as any. */
const char *name_fault(const struct name *name)
{
	const char *none = "";
	bool has_any = false;
	int i;

	for (i = 0; i < NAME_FAMILIES; i++) {
		const struct name_half *half = &name->half[i];

		if (*half->fault && !half->is_none)
			return half->fault;
		if (half->is_none)
			none = half->fault;
		has_any |= has_some(half);
	}
	return has_any ? "" : none;
}

/* A server that is out of order is told of once; what the other family's look-up says is waited for. */
static void tell(struct name *name)
{
	const char *fault = name_fault(name);

	if (name_is_asking(name) || strcmp(fault, name->told) == 0)
		return;
	snprintf(name->told, sizeof(name->told), "%s", fault);
	if (!*fault)
		log_info("%s: it is known again", name->host);
	else if (name->n)
		log_warn("%s: %s: the %u addresses it had stay", name->host, fault, name->n);
	else
		log_warn("%s: %s: it has no targets", name->host, fault);
}

/* --- answers */

static void try_again(struct name_half *half, const char *fault, uint64_t now_ms)
{
	half->retry_ms = half->retry_ms ? 2 * half->retry_ms : NAME_RETRY_MS;
	if (half->retry_ms > NAME_RETRY_MAX_MS)
		half->retry_ms = NAME_RETRY_MAX_MS;
	half->due_ms = now_ms + half->retry_ms;
	snprintf(half->fault, sizeof(half->fault), "%s", fault);
}

static void take_times(struct name_half *half, const struct dns_answer *answer, uint64_t now_ms,
	int64_t now_unix_s)
{
	uint32_t pause_ms = 1000 * (answer->ttl_s ? answer->ttl_s : NAME_TTL_NONE_S);
	const struct name *name = half->name;

	if (answer->ttl_s > NAME_TTL_MAX_S)
		pause_ms = 1000 * NAME_TTL_MAX_S;
	if (name->interval_ms && (!name->goes_by_ttl || name->interval_ms < pause_ms))
		pause_ms = name->interval_ms;
	half->ttl_s = answer->ttl_s;
	half->answered_unix_s = now_unix_s;
	half->checked_ms = now_ms;
	half->due_ms = now_ms + pause_ms;
	half->retry_ms = 0;
	half->is_none = false;
	half->fault[0] = '\0';
}

static void note_missing(struct name *name, enum name_family family, uint64_t now_ms)
{
	struct name_address *address;
	uint32_t i;

	for (i = 0; i < name->n; i++) {
		address = &name->addresses[i];
		if (family_of(&address->addr) == family && !address->missing_ms)
			address->missing_ms = now_ms;
	}
}

/* There are no more than so many at a time, whatever a server makes up. Nothing is missing before `from`. */
static struct name_address *make_room(struct name *name, uint32_t *from)
{
	if (name->n < NAME_ADDRESSES_MAX) {
		name->addresses =
			mem_realloc(name->addresses, (name->n + 1) * sizeof(*name->addresses));
		return &name->addresses[name->n++];
	}
	for (; *from < name->n; (*from)++)
		if (name->addresses[*from].missing_ms)
			return &name->addresses[*from];
	return NULL;
}

/* `addresses` are sorted. Sets what of them is there already. */
static void note_known(struct name *name, const union addr *addresses, uint32_t n, uint64_t now_ms,
	bool ret_is_known[])
{
	const union addr *known;
	uint32_t i;

	for (i = 0; i < name->n; i++) {
		known = bsearch(&name->addresses[i].addr, addresses, n, sizeof(*addresses),
			compare_addresses);
		if (!known)
			continue;
		name->addresses[i] = (struct name_address){*known, now_ms, 0};
		ret_is_known[known - addresses] = true;
	}
}

/* Returns whether one is new. */
static bool note_seen(struct name *name, const union addr *addresses, uint32_t n, uint64_t now_ms)
{
	bool *is_known = mem_zalloc(n * sizeof(*is_known)), has_new = false;
	struct name_address *address;
	uint32_t i, from = 0;

	note_known(name, addresses, n, now_ms, is_known);
	for (i = 0; i < n; i++) {
		address = is_known[i] ? NULL : make_room(name, &from);
		if (!address)
			continue;
		*address = (struct name_address){addresses[i], now_ms, 0};
		has_new = true;
	}
	free(is_known);
	return has_new;
}

static enum name_family which(const struct name_half *half)
{
	return (enum name_family)(half - half->name->half);
}

static bool has_addresses(const struct name_half *half)
{
	uint32_t i;

	for (i = 0; i < half->name->n; i++)
		if (family_of(&half->name->addresses[i].addr) == which(half))
			return true;
	return false;
}

/* That a family has none, and had none, is asked about as often as the other one. */
static void follow(struct name_half *half, const struct name_half *other, uint64_t now_ms)
{
	if (half->is_none && has_some(other) && other->due_ms > now_ms && !has_addresses(half)) {
		half->due_ms = other->due_ms;
		half->retry_ms = 0;
	}
}

/* That a family is gone is soon asked about again, both ways (goes()). */
static void take_none(struct name_half *half, const char *fault, uint64_t now_ms)
{
	struct name_half *other = other_of(half);
	bool is_news = has_some(half);

	try_again(half, fault, now_ms);
	half->is_none = true;
	half->checked_ms = now_ms;
	note_missing(half->name, which(half), now_ms);
	follow(half, other, now_ms);
	if ((is_news || other->is_none) && other->due_ms > half->due_ms)
		other->due_ms = half->due_ms;
}

static bool take_addresses(struct name_half *half, const struct dns_answer *answer, uint32_t n,
	uint64_t now_ms, int64_t now_unix_s)
{
	struct name *name = half->name;
	uint32_t before = name->n;
	bool has_new;

	note_missing(name, family_of(&answer->addresses[0]), now_ms);
	has_new = note_seen(name, answer->addresses, n, now_ms);
	take_times(half, answer, now_ms, now_unix_s);
	follow(other_of(half), half, now_ms);
	if (has_new)
		log_info("%s: %u addresses, before %u", name->host, name->n, before);
	return has_new;
}

/* A server's fault says nothing about the name. */
static void take_fault(struct name_half *half, const char *fault, uint64_t now_ms)
{
	half->is_none = false;
	try_again(half, fault, now_ms);
}

bool name_take(struct name_half *half, const struct dns_answer *answer, uint64_t now_ms,
	int64_t now_unix_s)
{
	uint32_t n = answer->fault ? 0 : sort(answer->addresses, answer->n);
	bool is_other = false;

	half->is_settled = true;
	half->is_asking = false;
	if (n)
		is_other = take_addresses(half, answer, n, now_ms, now_unix_s);
	else if (answer->fault && answer->says_none)
		take_none(half, answer->fault, now_ms);
	else
		take_fault(half, answer->fault ? answer->fault : "it has no addresses", now_ms);
	if (name_expire(half->name, now_ms))
		is_other = true;
	tell(half->name);
	return is_other;
}
