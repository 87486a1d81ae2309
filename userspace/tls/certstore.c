/*
 * Certificates by name: see certstore.h. One open-addressed table, keyed with SipHash, holds exact
 * names and wildcards ("*.example.com" as "example.com" with a flag); each entry points at a run of
 * candidates that are sorted by everything that does not depend on the client.
 */
#include "tls/certstore.h"

#include "core/hash.h"
#include "core/mem.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	const char *name; /* in the facts of a certificate; NULL: free */
	uint16_t len;
	bool is_wildcard;
	uint32_t first, n; /* in candidates */
};

struct certstore {
	struct cert **certs;
	size_t n_certs;
	struct hash_key hash_key;
	struct entry *table;
	size_t mask;
	const struct cert **candidates; /* runs, one per name; the default's run comes first */
	uint32_t n_default;
};

/* One name of one certificate, while the store is built. */
struct naming {
	struct slice name;
	bool is_wildcard;
	uint32_t index; /* of the certificate */
	const struct cert *cert;
};

static uint64_t hash_name(const struct certstore *store, struct slice name, bool is_wildcard)
{
	return hash_bytes(&store->hash_key, name.ptr, name.len) + is_wildcard;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static unsigned int kind_rank(enum key_kind kind)
{
	static const unsigned int ranks[KEY_KINDS] = {
		[KEY_ECDSA] = 0, [KEY_ED25519] = 1, [KEY_RSA] = 2};

	return ranks[kind];
}

/* The part of the order that no client changes: best first. */
static int compare_certs(const struct cert *a, const struct cert *b)
{
	const struct cert_facts *x = cert_facts(a), *y = cert_facts(b);
	int order = compare_u64(kind_rank(x->key_kind), kind_rank(y->key_kind));

	if (!order)
		order = compare_u64(y->hash_bits, x->hash_bits);
	if (!order)
		order = compare_u64(y->key_bits, x->key_bits);
	if (!order)
		order = compare_u64((uint64_t)y->not_after_unix_s, (uint64_t)x->not_after_unix_s);
	return order;
}

static int compare_names(const struct naming *x, const struct naming *y)
{
	int order = (int)x->is_wildcard - (int)y->is_wildcard;

	if (!order)
		order = compare_u64(x->name.len, y->name.len);
	return order ? order : memcmp(x->name.ptr, y->name.ptr, x->name.len);
}

static int compare_namings(const void *a, const void *b)
{
	const struct naming *x = a, *y = b;
	int order = compare_names(x, y);

	if (!order)
		order = compare_certs(x->cert, y->cert);
	return order ? order : compare_u64(x->index, y->index);
}

static size_t count_names(struct cert *const *certs, size_t n)
{
	size_t i, names = 0;

	for (i = 0; i < n; i++)
		names += cert_facts(certs[i])->n_names;
	return names;
}

static struct naming *list_namings(struct cert *const *certs, size_t n, size_t n_names)
{
	struct naming *namings = mem_alloc(n_names * sizeof(*namings));
	size_t i, j, at = 0;

	for (i = 0; i < n; i++) {
		const struct cert_facts *facts = cert_facts(certs[i]);

		for (j = 0; j < facts->n_names; j++) {
			struct slice name = slice_of(facts->names[j]);
			bool is_wildcard = name.len > 2 && name.ptr[0] == '*';

			if (is_wildcard)
				name = (struct slice){name.ptr + 2, name.len - 2};
			namings[at++] = (struct naming){name, is_wildcard, (uint32_t)i, certs[i]};
		}
	}
	qsort(namings, n_names, sizeof(*namings), compare_namings);
	return namings;
}

static struct entry *find_slot(const struct certstore *store, struct slice name, bool is_wildcard)
{
	size_t at = hash_name(store, name, is_wildcard) & store->mask;
	struct entry *entry;

	for (;; at = (at + 1) & store->mask) {
		entry = &store->table[at];
		if (!entry->name)
			return entry;
		if (entry->is_wildcard == is_wildcard &&
			slice_eq((struct slice){entry->name, entry->len}, name))
			return entry;
	}
}

static bool has_same_names(const struct cert *a, const struct cert *b)
{
	const struct cert_facts *x = cert_facts(a), *y = cert_facts(b);
	uint32_t i, j;

	if (a == b)
		return true;
	if (!x->n_names || x->n_names != y->n_names)
		return false;
	for (i = 0; i < x->n_names; i++) {
		for (j = 0; j < y->n_names && strcmp(x->names[i], y->names[j]) != 0; j++)
			;
		if (j == y->n_names)
			return false;
	}
	return true;
}

static int compare_cert_pointers(const void *a, const void *b)
{
	return compare_certs(*(const struct cert *const *)a, *(const struct cert *const *)b);
}

static uint32_t list_defaults(struct certstore *store)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < store->n_certs; i++)
		if (has_same_names(store->certs[0], store->certs[i]))
			store->candidates[n++] = store->certs[i];
	qsort(store->candidates, n, sizeof(const struct cert *), compare_cert_pointers);
	return n;
}

static void fill_table(struct certstore *store, const struct naming *namings, size_t n)
{
	uint32_t at = store->n_default;
	struct entry *entry = NULL;
	size_t i;

	for (i = 0; i < n; i++) {
		if (!i || compare_names(&namings[i - 1], &namings[i])) {
			entry = find_slot(store, namings[i].name, namings[i].is_wildcard);
			*entry = (struct entry){namings[i].name.ptr, (uint16_t)namings[i].name.len,
				namings[i].is_wildcard, at, 0};
		}
		/* The same certificate may repeat a name. */
		if (entry->n && store->candidates[at - 1] == namings[i].cert)
			continue;
		store->candidates[at++] = namings[i].cert;
		entry->n++;
	}
}

int certstore_new(
	struct cert *const *certs, size_t n, struct certstore **ret_store, struct err *err)
{
	struct certstore *store;
	struct naming *namings;
	size_t i, n_names, size = 8;

	if (!n)
		return err_set(err, -EINVAL, "no certificate: a listener with TLS needs one");
	store = mem_zalloc(sizeof(*store));
	hash_random(&store->hash_key, sizeof(store->hash_key));
	store->certs = mem_alloc(n * sizeof(struct cert *));
	store->n_certs = n;
	for (i = 0; i < n; i++)
		store->certs[i] = cert_get(certs[i]);
	n_names = count_names(certs, n);
	while (size < 2 * n_names)
		size *= 2;
	store->mask = size - 1;
	store->table = mem_zalloc(size * sizeof(*store->table));
	store->candidates = mem_alloc((n + n_names) * sizeof(const struct cert *));
	store->n_default = list_defaults(store);
	namings = list_namings(certs, n, n_names);
	fill_table(store, namings, n_names);
	free(namings);
	*ret_store = store;
	return 0;
}

void certstore_free(struct certstore *store)
{
	size_t i;

	if (!store)
		return;
	for (i = 0; i < store->n_certs; i++)
		cert_put(store->certs[i]);
	free(store->certs);
	free(store->table);
	free(store->candidates);
	free(store);
}

const struct cert *certstore_default(const struct certstore *store)
{
	return store->certs[0];
}

/* --- what a client can verify */
static bool list_has(const uint8_t *list, size_t n, uint16_t code)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((list[2 * i] << 8 | list[2 * i + 1]) == code)
			return true;
	return false;
}

static bool list_has_any(const uint8_t *list, size_t n, const uint16_t *codes)
{
	for (; *codes; codes++)
		if (list_has(list, n, *codes))
			return true;
	return false;
}

/* The curve of an ECDSA key: its group and, in TLS 1.3, the one scheme it can sign with. */
static void curve_codes(uint32_t bits, uint16_t *ret_group, uint16_t *ret_scheme)
{
	*ret_group = bits == 256 ? 0x0017 : bits == 384 ? 0x0018 : 0x0019;
	*ret_scheme = bits == 256 ? 0x0403 : bits == 384 ? 0x0503 : 0x0603;
}

static bool can_use_scheme(const struct cert_facts *facts, const struct cert_offer *offer)
{
	static const uint16_t pss[] = {0x0804, 0x0805, 0x0806, 0};
	static const uint16_t rsa[] = {0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0};
	static const uint16_t ecdsa[] = {0x0403, 0x0503, 0x0603, 0};
	static const uint16_t ed25519[] = {0x0807, 0};
	uint16_t only[2] = {0}, group;
	const uint16_t *codes;

	if (!offer->schemes) /* TLS 1.2 without the extension: SHA-1, which everybody extends */
		return facts->key_kind != KEY_ED25519;
	curve_codes(facts->key_bits, &group, &only[0]);
	if (facts->key_kind == KEY_RSA)
		codes = offer->is_tls13 ? pss : rsa;
	else if (facts->key_kind == KEY_ED25519)
		codes = ed25519;
	else
		codes = offer->is_tls13 ? only : ecdsa;
	return list_has_any(offer->schemes, offer->n_schemes, codes);
}

/* TLS 1.2: a suite with this kind of signature, and for ECDSA the curve (RFC 8422 5.3). */
static bool can_use_suite(const struct cert_facts *facts, const struct cert_offer *offer)
{
	static const uint16_t rsa[] = {0xc02f, 0xc030, 0xcca8, 0};
	static const uint16_t ecdsa[] = {0xc02b, 0xc02c, 0xcca9, 0};
	uint16_t group, scheme;

	if (offer->is_tls13)
		return true;
	if (!list_has_any(
		    offer->ciphers, offer->n_ciphers, facts->key_kind == KEY_RSA ? rsa : ecdsa))
		return false;
	if (facts->key_kind != KEY_ECDSA || !offer->groups)
		return true;
	curve_codes(facts->key_bits, &group, &scheme);
	return list_has(offer->groups, offer->n_groups, group);
}

/* 0: the handshake cannot use it; 1: the client may doubt the CA's signature; 2: all is well. */
static unsigned int verifiable(const struct cert_facts *facts, const struct cert_offer *offer)
{
	if (!can_use_scheme(facts, offer) || !can_use_suite(facts, offer))
		return 0;
	if (facts->is_self_signed || !facts->signature_scheme)
		return 2;
	if (offer->cert_schemes)
		return list_has(offer->cert_schemes, offer->n_cert_schemes, facts->signature_scheme)
			       ? 2
			       : 1;
	if (!offer->schemes)
		return 2;
	return list_has(offer->schemes, offer->n_schemes, facts->signature_scheme) ? 2 : 1;
}

/* The best of a run (sorted already); `ret_usable` says whether the client can use it. */
static const struct cert *choose(
	const struct cert *const *run, uint32_t n, const struct cert_offer *offer, bool *ret_usable)
{
	const struct cert *best = NULL;
	unsigned int best_score = 0, score;
	uint32_t i;

	for (i = 0; i < n; i++) {
		score = 2 * verifiable(cert_facts(run[i]), offer) +
			!cert_is_expired(run[i], offer->now_unix_s);
		if (best && score <= best_score)
			continue;
		best = run[i];
		best_score = score;
	}
	*ret_usable = best_score >= 2;
	return best;
}

/* --- look-up */
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

static const struct cert *choose_named(const struct certstore *store, struct slice name,
	bool is_wildcard, const struct cert_offer *offer, bool *ret_usable)
{
	const struct entry *entry = find_slot(store, name, is_wildcard);

	*ret_usable = false;
	if (!entry->name)
		return NULL;
	return choose(store->candidates + entry->first, entry->n, offer, ret_usable);
}

const struct cert *certstore_lookup(
	const struct certstore *store, struct slice name, const struct cert_offer *offer)
{
	const struct cert *exact = NULL, *wildcard = NULL;
	char buffer[CERTSTORE_NAME_MAX + 1];
	const char *dot;
	bool usable;

	if (normalise(name, buffer, &name)) {
		exact = choose_named(store, name, false, offer, &usable);
		if (usable)
			return exact;
		dot = memchr(name.ptr, '.', name.len);
		if (dot && dot > name.ptr)
			wildcard = choose_named(store,
				(struct slice){dot + 1, name.len - (size_t)(dot + 1 - name.ptr)},
				true, offer, &usable);
		if (wildcard && (usable || !exact))
			return wildcard;
		if (exact)
			return exact;
	}
	return choose(store->candidates, store->n_default, offer, &usable);
}

enum certstore_match certstore_match(const struct certstore *store, struct slice name)
{
	char buffer[CERTSTORE_NAME_MAX + 1];
	const char *dot;

	if (!normalise(name, buffer, &name))
		return CERTSTORE_NO_MATCH;
	if (find_slot(store, name, false)->name)
		return CERTSTORE_EXACT;
	dot = memchr(name.ptr, '.', name.len);
	if (!dot || dot == name.ptr)
		return CERTSTORE_NO_MATCH;
	name.len -= (size_t)(dot + 1 - name.ptr);
	name.ptr = dot + 1;
	return find_slot(store, name, true)->name ? CERTSTORE_WILDCARD : CERTSTORE_NO_MATCH;
}
