/* Chains: see certchain.h. All that are in use are in one table, found by their bytes. */
#include "tls/cert_parts.h"

#include "core/hash.h"
#include "core/mem.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS = 1024 };

struct certchain {
	struct certchain *next; /* in its bucket */
	uint64_t hash;
	unsigned int refs; /* under the lock */
	STACK_OF(X509) * all, *sent;
	int broken_at; /* within the chain; -1: nowhere */
	uint16_t strength;
	size_t len;
	uint8_t der[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct hash_key hash_key;
static struct certchain *buckets[BUCKETS];

static void chain_free(struct certchain *chain)
{
	OSSL_STACK_OF_X509_free(chain->all);
	OSSL_STACK_OF_X509_free(chain->sent);
	free(chain);
}

static int parse(struct certchain *chain, uint32_t *ret_at)
{
	const uint8_t *at = chain->der, *end = at + chain->len;
	X509 *x509;

	while (at < end) {
		*ret_at = (uint32_t)sk_X509_num(chain->all);
		x509 = *ret_at < CERTCHAIN_MAX ? d2i_X509(NULL, &at, end - at) : NULL;
		if (!x509 || !sk_X509_push(chain->all, x509)) {
			X509_free(x509);
			ERR_clear_error();
			return -EINVAL;
		}
	}
	return 0;
}

/* Looks at the chain once, whoever it is for. */
static void examine(struct certchain *chain)
{
	int i, n = sk_X509_num(chain->all);

	chain->broken_at = -1;
	for (i = 1; i < n && chain->broken_at < 0; i++)
		if (X509_check_issued(sk_X509_value(chain->all, i),
			    sk_X509_value(chain->all, i - 1)) != X509_V_OK)
			chain->broken_at = i;
	chain->sent = X509_chain_up_ref(chain->all);
	if (n && X509_self_signed(sk_X509_value(chain->all, n - 1), 0) == 1)
		X509_free(sk_X509_pop(chain->sent));
	chain->strength = UINT16_MAX;
	for (i = 0; i < sk_X509_num(chain->sent); i++) {
		uint16_t bits = cert_strength(sk_X509_value(chain->sent, i));

		if (bits < chain->strength)
			chain->strength = bits;
	}
	ERR_clear_error();
}

/* Under the lock. */
static struct certchain *find(const uint8_t *der, size_t len, uint64_t hash)
{
	struct certchain *chain = buckets[hash % BUCKETS];

	while (chain &&
		(chain->hash != hash || chain->len != len || memcmp(chain->der, der, len) != 0))
		chain = chain->next;
	if (chain)
		chain->refs++;
	return chain;
}

static uint64_t hash_of(const uint8_t *der, size_t len)
{
	pthread_mutex_lock(&lock);
	if (!hash_key.k0 && !hash_key.k1)
		hash_random(&hash_key, sizeof(hash_key));
	pthread_mutex_unlock(&lock);
	return hash_bytes(&hash_key, der, len);
}

int certchain_new(const uint8_t *der, size_t len, struct certchain **ret_chain, uint32_t *ret_at)
{
	uint64_t hash = hash_of(der, len);
	struct certchain *chain, *same;
	int r;

	pthread_mutex_lock(&lock);
	chain = find(der, len, hash);
	pthread_mutex_unlock(&lock);
	if (chain) {
		*ret_chain = chain;
		return 0;
	}
	chain = mem_zalloc(sizeof(*chain) + len);
	chain->refs = 1;
	chain->hash = hash;
	chain->len = len;
	memcpy(chain->der, der, len);
	chain->all = sk_X509_new_null();
	r = parse(chain, ret_at);
	if (r < 0) {
		chain_free(chain);
		return r;
	}
	examine(chain);
	pthread_mutex_lock(&lock);
	same = find(der, len, hash); /* by another thread meanwhile */
	if (!same) {
		chain->next = buckets[hash % BUCKETS];
		buckets[hash % BUCKETS] = chain;
	}
	pthread_mutex_unlock(&lock);
	if (same)
		chain_free(chain);
	*ret_chain = same ? same : chain;
	return 0;
}

struct certchain *certchain_get(struct certchain *chain)
{
	pthread_mutex_lock(&lock);
	chain->refs++;
	pthread_mutex_unlock(&lock);
	return chain;
}

void certchain_put(struct certchain *chain)
{
	struct certchain **link;
	bool is_last;

	if (!chain)
		return;
	pthread_mutex_lock(&lock);
	is_last = --chain->refs == 0;
	if (is_last) {
		link = &buckets[chain->hash % BUCKETS];
		while (*link != chain)
			link = &(*link)->next;
		*link = chain->next;
	}
	pthread_mutex_unlock(&lock);
	if (is_last)
		chain_free(chain);
}

const struct stack_st_X509 *certchain_all(const struct certchain *chain)
{
	return chain->all;
}

struct stack_st_X509 *certchain_sent(const struct certchain *chain)
{
	return chain->sent;
}

int certchain_broken_at(const struct certchain *chain, struct x509_st *leaf)
{
	bool is_issuer = X509_check_issued(sk_X509_value(chain->all, 0), leaf) == X509_V_OK;

	ERR_clear_error();
	return is_issuer ? chain->broken_at : 0;
}

uint16_t certchain_strength(const struct certchain *chain)
{
	return chain->strength;
}

const uint8_t *certchain_der(const struct certchain *chain, size_t *ret_len)
{
	*ret_len = chain->len;
	return chain->der;
}
