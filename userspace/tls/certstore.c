/*
 * Certificates by name: see certstore.h. The map has an item for each name of each certificate,
 * whose note is where the name stands in the certificate; a wildcard ("*.example.com") is found
 * under "example.com".
 */
#include "tls/certstore.h"

#include "core/mem.h"
#include "tls/cert_parts.h"
#include "tls/certmap.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct certstore {
	atomic_uint refs;
	struct certmap *names;
	struct certstore *next; /* laid aside */
	uint32_t n_defaults;
	struct cert *defaults[]; /* the default, then others with the same names */
};

/* --- names */
static struct slice name_at(const struct cert *cert, uint32_t at)
{
	const uint8_t *name = cert->record.bytes + at;

	return (struct slice){(const char *)name + 1, *name};
}

static bool take_wildcard(struct slice *name)
{
	if (name->len <= 2 || name->ptr[0] != '*')
		return false;
	name->ptr += 2;
	name->len -= 2;
	return true;
}

static uint64_t hash_name(const struct hash_key *key, struct slice name, bool is_wildcard)
{
	/* The one and the other in segments of their own. */
	return hash_bytes(key, name.ptr, name.len) ^ (is_wildcard ? ~UINT64_C(0) : 0);
}

static uint64_t hash_item(const struct hash_key *key, const struct certmap_item *item)
{
	struct slice name = name_at(item->value, item->note);
	bool is_wildcard = take_wildcard(&name);

	return hash_name(key, name, is_wildcard);
}

static void item_get(const struct certmap_item *item)
{
	cert_get(item->value);
}

static void item_put(const struct certmap_item *item)
{
	cert_put(item->value);
}

static const struct certmap_ops ops = {hash_item, item_get, item_put};

static bool is_named(const struct certmap_item *item, struct slice name, bool is_wildcard)
{
	struct slice own = name_at(item->value, item->note);

	return take_wildcard(&own) == is_wildcard && slice_eq(own, name);
}

/* --- making */
static struct certmap_item *list_items(struct cert *const *certs, size_t n, size_t *ret_n)
{
	size_t i, n_items = 0, total = 0;
	struct certmap_item *items;
	uint32_t cursor, at;
	struct slice name;

	for (i = 0; i < n; i++)
		total += cert_facts(certs[i])->n_names;
	items = mem_alloc((total + 1) * sizeof(*items));
	for (i = 0; i < n; i++) {
		cursor = 0;
		while (at = cursor, cert_next_name(certs[i], &cursor, &name))
			items[n_items++] = (struct certmap_item){certs[i], 0, at};
	}
	*ret_n = n_items;
	return items;
}

static bool has_name(const struct cert *cert, struct slice wanted)
{
	uint32_t cursor = 0;
	struct slice name;

	while (cert_next_name(cert, &cursor, &name))
		if (slice_eq(name, wanted))
			return true;
	return false;
}

static bool has_same_names(const struct cert *a, const struct cert *b)
{
	uint32_t cursor = 0;
	struct slice name;

	if (cert_facts(a)->n_names != cert_facts(b)->n_names)
		return false;
	if (a->record.names_len == b->record.names_len &&
		!memcmp(a->record.bytes, b->record.bytes, a->record.names_len))
		return true;
	while (cert_next_name(a, &cursor, &name))
		if (!has_name(b, name))
			return false;
	return true;
}

/* The default first, then those with the same names: they have its first one, too. */
static uint32_t list_defaults(
	const struct certmap *names, struct cert *preferred, struct cert **ret_list)
{
	const struct certmap_item *items = NULL;
	uint32_t i, n = 0, n_found = 1, cursor = 0;
	struct slice first;
	bool is_wildcard;

	if (ret_list)
		ret_list[0] = cert_get(preferred);
	if (cert_next_name(preferred, &cursor, &first)) {
		is_wildcard = take_wildcard(&first);
		items = certmap_find(names, hash_name(certmap_key(names), first, is_wildcard), &n);
	}
	for (i = 0; i < n; i++) {
		struct cert *cert = items[i].value;

		if (cert == preferred || !is_named(&items[i], first, is_wildcard) ||
			!has_same_names(preferred, cert))
			continue;
		if (ret_list)
			ret_list[n_found] = cert_get(cert);
		n_found++;
	}
	return n_found;
}

/* Takes over the count on `names`. */
static struct certstore *store_of(struct certmap *names, struct cert *preferred)
{
	uint32_t n = list_defaults(names, preferred, NULL);
	struct certstore *store = mem_zalloc(sizeof(*store) + n * sizeof(store->defaults[0]));

	atomic_init(&store->refs, 1);
	store->names = names;
	store->n_defaults = list_defaults(names, preferred, store->defaults);
	return store;
}

int certstore_new(
	struct cert *const *certs, size_t n, struct certstore **ret_store, struct err *err)
{
	struct certmap_item *items;
	struct certmap *empty;
	size_t n_items;

	if (!n)
		return err_set(err, -EINVAL, "no certificate: a listener with TLS needs one");
	items = list_items(certs, n, &n_items);
	empty = certmap_new(&ops, n_items);
	*ret_store = store_of(certmap_change(empty, NULL, 0, items, n_items), certs[0]);
	certmap_put(empty);
	free(items);
	return 0;
}

struct certstore *certstore_change(
	const struct certstore *store, const struct certstore_change *change)
{
	size_t n_removed, n_added;
	struct certmap_item *removed = list_items(change->removed, change->n_removed, &n_removed);
	struct certmap_item *added = list_items(change->added, change->n_added, &n_added);
	struct certmap *names = certmap_change(store->names, removed, n_removed, added, n_added);

	free(removed);
	free(added);
	return store_of(names, change->preferred ? change->preferred : store->defaults[0]);
}

struct certstore *certstore_get(struct certstore *store)
{
	atomic_fetch_add_explicit(&store->refs, 1, memory_order_relaxed);
	return store;
}

static atomic_bool lays_aside;
static _Atomic(struct certstore *) aside;

static void store_free(struct certstore *store)
{
	uint32_t i;

	for (i = 0; i < store->n_defaults; i++)
		cert_put(store->defaults[i]);
	certmap_put(store->names);
	free(store);
}

void certstore_put(struct certstore *store)
{
	if (!store || atomic_fetch_sub_explicit(&store->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (!atomic_load(&lays_aside)) {
		store_free(store);
		return;
	}
	store->next = atomic_load(&aside);
	while (!atomic_compare_exchange_weak(&aside, &store->next, store))
		;
}

void certstore_lay_aside(bool is_wanted)
{
	atomic_store(&lays_aside, is_wanted);
}

bool certstore_has_aside(void)
{
	return atomic_load(&aside);
}

void certstore_free_aside(void)
{
	struct certstore *store = atomic_exchange(&aside, NULL), *next;

	for (; store; store = next) {
		next = store->next;
		store_free(store);
	}
}

struct cert *certstore_default(const struct certstore *store)
{
	return store->defaults[0];
}

size_t certstore_names(const struct certstore *store)
{
	return certmap_len(store->names);
}

/* --- look-up */

/* The best so far. */
struct choice {
	const struct cert_offer *offer;
	struct cert *best;
	unsigned int score; /* from 2 on the client can use it */
};

static void consider(struct choice *choice, struct cert *cert)
{
	unsigned int score;

	if (cert_state(cert) == CERT_BAD ||
		cert_facts(cert)->security_bits < choice->offer->security_bits)
		return;
	score = 2 * certoffer_score(cert_facts(cert), choice->offer) +
		!cert_is_expired(cert, choice->offer->now_unix_s);
	if (choice->best && (score < choice->score || (score == choice->score &&
							      !cert_is_better(cert, choice->best))))
		return;
	choice->best = cert;
	choice->score = score;
}

static struct choice choose_named(const struct certstore *store, struct slice name,
	bool is_wildcard, const struct cert_offer *offer)
{
	uint64_t hash = hash_name(certmap_key(store->names), name, is_wildcard);
	struct choice choice = {.offer = offer};
	const struct certmap_item *items;
	uint32_t i, n;

	items = certmap_find(store->names, hash, &n);
	for (i = 0; i < n; i++)
		if (items[i].tag == certmap_tag(hash) && is_named(&items[i], name, is_wildcard))
			consider(&choice, items[i].value);
	return choice;
}

static struct cert *choose_default(const struct certstore *store, const struct cert_offer *offer)
{
	struct choice choice = {.offer = offer};
	uint32_t i;

	for (i = 0; i < store->n_defaults; i++)
		consider(&choice, store->defaults[i]);
	return choice.best;
}

/* Lower case, no trailing dot. False: cannot be a name of ours. */
static bool normalise(struct slice name, char *ret_name, struct slice *ret_slice)
{
	size_t i;

	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	if (!name.len || name.len > CERTSTORE_NAME_MAX)
		return false;
	for (i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		ret_name[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
	}
	*ret_slice = (struct slice){ret_name, name.len};
	return true;
}

/* What is behind the leftmost label. False: there is nothing, or the label is empty. */
static bool parent_of(struct slice name, struct slice *ret_parent)
{
	const char *dot = memchr(name.ptr, '.', name.len);

	if (!dot || dot == name.ptr)
		return false;
	*ret_parent = (struct slice){dot + 1, name.len - (size_t)(dot + 1 - name.ptr)};
	return true;
}

struct cert *certstore_lookup(
	const struct certstore *store, struct slice name, const struct cert_offer *offer)
{
	struct choice exact, wildcard = {0};
	char buffer[CERTSTORE_NAME_MAX + 1];
	struct slice parent;

	if (!normalise(name, buffer, &name))
		return choose_default(store, offer);
	exact = choose_named(store, name, false, offer);
	if (exact.score >= 2)
		return exact.best;
	if (parent_of(name, &parent))
		wildcard = choose_named(store, parent, true, offer);
	if (wildcard.best && (wildcard.score >= 2 || !exact.best))
		return wildcard.best;
	return exact.best ? exact.best : choose_default(store, offer);
}

/* --- candidates, for people */

struct listing {
	const struct cert_offer *offer;
	struct certstore_candidate *list;
	size_t n, max;
};

/* As consider() sees it: 0: passed over. */
static unsigned int rank_of(const struct cert *cert, const struct cert_offer *offer)
{
	if (cert_state(cert) == CERT_BAD || cert_facts(cert)->security_bits < offer->security_bits)
		return 0;
	return 1 + 2 * certoffer_score(cert_facts(cert), offer) +
	       !cert_is_expired(cert, offer->now_unix_s);
}

/* Into its place among those of its kind, which begin at `first`. */
static void list_one(
	struct listing *listing, size_t first, struct cert *cert, enum certstore_match match)
{
	unsigned int rank = rank_of(cert, listing->offer), other;
	size_t at = listing->n;

	if (listing->n == listing->max)
		return;
	for (; at > first; at--) {
		other = rank_of(listing->list[at - 1].cert, listing->offer);
		if (other > rank ||
			(other == rank && !cert_is_better(cert, listing->list[at - 1].cert)))
			break;
		listing->list[at] = listing->list[at - 1];
	}
	listing->list[at] = (struct certstore_candidate){cert, match};
	listing->n++;
}

static void list_named(struct listing *listing, const struct certstore *store, struct slice name,
	enum certstore_match match)
{
	bool is_wildcard = match == CERTSTORE_WILDCARD;
	uint64_t hash = hash_name(certmap_key(store->names), name, is_wildcard);
	const struct certmap_item *items;
	size_t first = listing->n;
	uint32_t i, n;

	items = certmap_find(store->names, hash, &n);
	for (i = 0; i < n; i++)
		if (items[i].tag == certmap_tag(hash) && is_named(&items[i], name, is_wildcard))
			list_one(listing, first, items[i].value, match);
}

size_t certstore_candidates(const struct certstore *store, struct slice name,
	const struct cert_offer *offer, struct certstore_candidate *ret_list, size_t max)
{
	struct listing listing = {offer, ret_list, 0, max};
	char buffer[CERTSTORE_NAME_MAX + 1];
	struct slice parent;
	size_t first;
	uint32_t i;

	if (normalise(name, buffer, &name)) {
		list_named(&listing, store, name, CERTSTORE_EXACT);
		if (parent_of(name, &parent))
			list_named(&listing, store, parent, CERTSTORE_WILDCARD);
	}
	first = listing.n;
	for (i = 0; i < store->n_defaults; i++)
		list_one(&listing, first, store->defaults[i], CERTSTORE_NO_MATCH);
	return listing.n;
}

static bool is_known(const struct certstore *store, struct slice name, bool is_wildcard)
{
	uint64_t hash = hash_name(certmap_key(store->names), name, is_wildcard);
	const struct certmap_item *items;
	uint32_t i, n;

	items = certmap_find(store->names, hash, &n);
	for (i = 0; i < n; i++)
		if (items[i].tag == certmap_tag(hash) && is_named(&items[i], name, is_wildcard))
			return true;
	return false;
}

enum certstore_match certstore_match(const struct certstore *store, struct slice name)
{
	char buffer[CERTSTORE_NAME_MAX + 1];
	struct slice parent;

	if (!normalise(name, buffer, &name))
		return CERTSTORE_NO_MATCH;
	if (is_known(store, name, false))
		return CERTSTORE_EXACT;
	return parent_of(name, &parent) && is_known(store, parent, true) ? CERTSTORE_WILDCARD
									 : CERTSTORE_NO_MATCH;
}
