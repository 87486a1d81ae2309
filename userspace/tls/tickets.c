/* Session ticket keys: see tickets.h. */
#include "tls/tickets.h"

#include "core/hash.h"
#include "core/mem.h"
#include "tls/files.h"
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	KEY_NAME_BYTES = 16,
	/* The set that a change overwrites was in use so many changes ago: hours, or seconds where a
	 * file changes, far longer than any handshake step takes. */
	SETS = 8,
};

/* As other servers have them in their files. */
struct ticket_key {
	uint8_t name[KEY_NAME_BYTES];
	uint8_t mac[32];
	uint8_t cipher[32];
};

_Static_assert(sizeof(struct ticket_key) == TLS_TICKET_KEY_BYTES, "a key is what a file has");

struct key_set {
	struct ticket_key keys[TLS_TICKET_KEYS_MAX]; /* the first seals */
	uint32_t n;
	bool is_of_file;
};

struct tls_ticket_keys {
	atomic_uint refs;
	struct key_set set;
};

struct tls_tickets {
	atomic_uint refs;
	atomic_uint current; /* change; its set is in slot current % SETS */
	EVP_CIPHER *cipher; /* fetched once: a fetch per ticket takes locks */
	struct key_set sets[SETS];
	struct ticket_key own; /* what is signed where there is no file */
};

/* --- keys of a file */
static int check_keys(const struct key_set *set, struct err *err)
{
	uint32_t i, j;

	for (i = 0; i < set->n; i++)
		for (j = 0; j < i; j++)
			if (memcmp(set->keys[i].name, set->keys[j].name, KEY_NAME_BYTES) == 0)
				return err_set(err, -EINVAL,
					"keys %u and %u have the same name: each must be random",
					j + 1, i + 1);
	return 0;
}

static int take_keys(const char *path, const uint8_t *bytes, size_t len, struct key_set *ret_set,
	struct err *err)
{
	struct stat about;

	if (stat(path, &about) == 0 && about.st_mode & (S_IWGRP | S_IRWXO))
		return err_set(err, -EPERM, "others may read or change it: chmod 600");
	if (!len || len % TLS_TICKET_KEY_BYTES || len > sizeof(ret_set->keys))
		return err_set(err, -EINVAL,
			"has %zu bytes: one to %d keys of %d bytes are expected (make one with: "
			"openssl rand %d)",
			len, TLS_TICKET_KEYS_MAX, TLS_TICKET_KEY_BYTES, TLS_TICKET_KEY_BYTES);
	memcpy(ret_set->keys, bytes, len);
	ret_set->n = (uint32_t)(len / TLS_TICKET_KEY_BYTES);
	ret_set->is_of_file = true;
	return check_keys(ret_set, err);
}

int tls_ticket_keys_read(const char *path, struct tls_ticket_keys **ret_keys, struct err *err)
{
	struct tls_ticket_keys *keys;
	uint8_t *bytes;
	size_t len;
	int r = tls_file_read(path, &bytes, &len, err);

	if (r < 0)
		return r;
	keys = mem_secret_alloc(sizeof(*keys));
	atomic_init(&keys->refs, 1);
	r = take_keys(path, bytes, len, &keys->set, err);
	tls_file_free(bytes, len);
	if (r < 0) {
		tls_ticket_keys_put(keys);
		return err_context(err, r, "%s", path);
	}
	*ret_keys = keys;
	return 0;
}

struct tls_ticket_keys *tls_ticket_keys_get(struct tls_ticket_keys *keys)
{
	if (keys)
		atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
	return keys;
}

void tls_ticket_keys_put(struct tls_ticket_keys *keys)
{
	if (keys && atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) == 1)
		mem_secret_free(keys, sizeof(*keys));
}

uint32_t tls_ticket_keys_len(const struct tls_ticket_keys *keys)
{
	return keys->set.n;
}

/* --- keys in use */
static struct key_set *current_set(struct tls_tickets *tickets)
{
	return &tickets->sets[atomic_load_explicit(&tickets->current, memory_order_acquire) % SETS];
}

static struct key_set *next_set(struct tls_tickets *tickets)
{
	return &tickets->sets[(atomic_load_explicit(&tickets->current, memory_order_relaxed) + 1) %
			      SETS];
}

static void publish(struct tls_tickets *tickets)
{
	atomic_fetch_add_explicit(&tickets->current, 1, memory_order_release);
}

struct tls_tickets *tls_tickets_new(void)
{
	struct tls_tickets *tickets = mem_secret_alloc(sizeof(*tickets));

	atomic_init(&tickets->refs, 1);
	tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (!tickets->cipher)
		abort(); /* the library has no AES: nothing here can work */
	hash_random(&tickets->own, sizeof(tickets->own));
	tls_tickets_forget(tickets);
	return tickets;
}

struct tls_tickets *tls_tickets_get(struct tls_tickets *tickets)
{
	atomic_fetch_add_explicit(&tickets->refs, 1, memory_order_relaxed);
	return tickets;
}

void tls_tickets_put(struct tls_tickets *tickets)
{
	if (atomic_fetch_sub_explicit(&tickets->refs, 1, memory_order_acq_rel) != 1)
		return;
	EVP_CIPHER_free(tickets->cipher);
	mem_secret_free(tickets, sizeof(*tickets));
}

void tls_tickets_rotate(struct tls_tickets *tickets)
{
	struct key_set *next = next_set(tickets);

	hash_random(&next->keys[0], sizeof(next->keys[0]));
	next->keys[1] = current_set(tickets)->keys[0];
	next->n = 2;
	next->is_of_file = false;
	publish(tickets);
}

void tls_tickets_forget(struct tls_tickets *tickets)
{
	struct key_set *next = next_set(tickets);

	hash_random(&next->keys[0], sizeof(next->keys[0]));
	next->n = 1;
	next->is_of_file = false;
	publish(tickets);
}

void tls_tickets_use(struct tls_tickets *tickets, const struct tls_ticket_keys *keys)
{
	*next_set(tickets) = keys->set;
	publish(tickets);
}

void tls_tickets_give(const struct tls_tickets *tickets, struct tls_tickets_state *ret_state)
{
	const struct key_set *set = current_set((struct tls_tickets *)tickets);

	memset(ret_state, 0, sizeof(*ret_state));
	ret_state->n = set->n;
	ret_state->is_of_file = set->is_of_file;
	memcpy(ret_state->own, &tickets->own, sizeof(ret_state->own));
	memcpy(ret_state->keys, set->keys, set->n * sizeof(set->keys[0]));
}

void tls_tickets_take(struct tls_tickets *tickets, const struct tls_tickets_state *state)
{
	struct key_set *next = next_set(tickets);

	memcpy(&tickets->own, state->own, sizeof(tickets->own));
	if (state->is_of_file || !state->n || state->n > TLS_TICKET_KEYS_MAX)
		return;
	memcpy(next->keys, state->keys, state->n * sizeof(next->keys[0]));
	next->n = state->n;
	next->is_of_file = false;
	publish(tickets);
}

/* --- signatures */

/* By a key made of a ticket key's, which signs nothing else. */
static void sign(const struct ticket_key *key, struct slice text,
	uint8_t ret_tag[static TLS_TICKET_TAG_BYTES])
{
	static const uint8_t use[] = "sluice: what clients bring back";
	uint8_t made[EVP_MAX_MD_SIZE], whole[EVP_MAX_MD_SIZE];
	unsigned int len;

	if (!HMAC(EVP_sha256(), key->mac, sizeof(key->mac), use, sizeof(use), made, &len) ||
		!HMAC(EVP_sha256(), made, (int)len, (const uint8_t *)text.ptr, text.len, whole,
			NULL))
		abort(); /* out of memory */
	memcpy(ret_tag, whole, TLS_TICKET_TAG_BYTES);
	OPENSSL_cleanse(made, sizeof(made));
}

void tls_tickets_sign(struct tls_tickets *tickets, struct slice text,
	uint8_t ret_tag[static TLS_TICKET_TAG_BYTES])
{
	const struct key_set *set = current_set(tickets);

	sign(set->is_of_file ? &set->keys[0] : &tickets->own, text, ret_tag);
}

bool tls_tickets_is_signed(struct tls_tickets *tickets, struct slice text,
	const uint8_t tag[static TLS_TICKET_TAG_BYTES])
{
	const struct key_set *set = current_set(tickets);
	uint32_t i, n = set->is_of_file ? set->n : 1;
	uint8_t good[TLS_TICKET_TAG_BYTES];

	for (i = 0; i < n; i++) {
		sign(set->is_of_file ? &set->keys[i] : &tickets->own, text, good);
		if (CRYPTO_memcmp(good, tag, sizeof(good)) == 0)
			return true;
	}
	return false;
}

/* --- sealed texts */

enum { ABOUT_MAX = 256, USE_BYTES = 4 };

/* What is about more than it can hold is about its beginning: names are shorter. */
static void make_tag(const struct ticket_key *key, struct slice about,
	const uint8_t text[static TLS_SEALED_TEXT_BYTES],
	uint8_t ret_tag[static TLS_TICKET_TAG_BYTES])
{
	char all[USE_BYTES + TLS_SEALED_TEXT_BYTES + ABOUT_MAX] = "\1tag";
	size_t len = about.len < ABOUT_MAX ? about.len : ABOUT_MAX;

	memcpy(all + USE_BYTES, text, TLS_SEALED_TEXT_BYTES);
	memcpy(all + USE_BYTES + TLS_SEALED_TEXT_BYTES, about.ptr, len);
	sign(key, (struct slice){all, USE_BYTES + TLS_SEALED_TEXT_BYTES + len}, ret_tag);
}

/* There and back. */
static void cover(const struct ticket_key *key, const uint8_t tag[static TLS_TICKET_TAG_BYTES],
	const uint8_t from[static TLS_SEALED_TEXT_BYTES],
	uint8_t ret_to[static TLS_SEALED_TEXT_BYTES])
{
	_Static_assert(TLS_SEALED_TEXT_BYTES <= (int)TLS_TICKET_TAG_BYTES, "one block is enough");
	char seed[USE_BYTES + TLS_TICKET_TAG_BYTES] = "\1key";
	uint8_t stream[TLS_TICKET_TAG_BYTES];
	size_t i;

	memcpy(seed + USE_BYTES, tag, TLS_TICKET_TAG_BYTES);
	sign(key, (struct slice){seed, sizeof(seed)}, stream);
	for (i = 0; i < TLS_SEALED_TEXT_BYTES; i++)
		ret_to[i] = from[i] ^ stream[i];
}

void tls_tickets_seal(struct tls_tickets *tickets, struct slice about,
	const uint8_t text[static TLS_SEALED_TEXT_BYTES],
	uint8_t ret_sealed[static TLS_SEALED_BYTES])
{
	const struct key_set *set = current_set(tickets);
	const struct ticket_key *key = set->is_of_file ? &set->keys[0] : &tickets->own;

	make_tag(key, about, text, ret_sealed);
	cover(key, ret_sealed, text, ret_sealed + TLS_TICKET_TAG_BYTES);
}

bool tls_tickets_open(struct tls_tickets *tickets, struct slice about,
	const uint8_t sealed[static TLS_SEALED_BYTES],
	uint8_t ret_text[static TLS_SEALED_TEXT_BYTES])
{
	const struct key_set *set = current_set(tickets);
	uint32_t i, n = set->is_of_file ? set->n : 1;
	uint8_t text[TLS_SEALED_TEXT_BYTES], good[TLS_TICKET_TAG_BYTES];

	for (i = 0; i < n; i++) {
		const struct ticket_key *key = set->is_of_file ? &set->keys[i] : &tickets->own;

		cover(key, sealed, sealed + TLS_TICKET_TAG_BYTES, text);
		make_tag(key, about, text, good);
		if (CRYPTO_memcmp(good, sealed, sizeof(good)) == 0) {
			memcpy(ret_text, text, sizeof(text));
			return true;
		}
	}
	return false;
}

/* --- tickets */
static bool start_mac(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_init(mac, key->mac, sizeof(key->mac), params) == 1;
}

static int seal(const struct tls_tickets *tickets, const struct ticket_key *key, uint8_t *ret_name,
	uint8_t *ret_iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	if (RAND_bytes(ret_iv, EVP_CIPHER_get_iv_length(tickets->cipher)) != 1 ||
		!EVP_EncryptInit_ex2(cipher, tickets->cipher, key->cipher, ret_iv, NULL) ||
		!start_mac(mac, key))
		return -1;
	memcpy(ret_name, key->name, KEY_NAME_BYTES);
	return 1;
}

/* For SSL_CTX_set_tlsext_ticket_key_evp_cb: 1 done, 2 done but give a new ticket, 0 unknown key
 * (a full handshake follows), -1 error. */
static int ticket_key_cb(SSL *ssl, uint8_t *name, uint8_t *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int is_sealing)
{
	struct tls_tickets *tickets = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct key_set *set = current_set(tickets);
	const struct ticket_key *key;
	uint32_t i;

	/* None for this client: TLS 1.2 has promised one, which is then empty (RFC 5077 3.3). */
	if (is_sealing && !SSL_get_num_tickets(ssl))
		return 0;
	if (is_sealing)
		return seal(tickets, &set->keys[0], name, iv, cipher, mac);
	for (i = 0; i < set->n; i++) {
		key = &set->keys[i];
		if (memcmp(name, key->name, KEY_NAME_BYTES) != 0)
			continue;
		if (!start_mac(mac, key) ||
			!EVP_DecryptInit_ex2(cipher, tickets->cipher, key->cipher, iv, NULL))
			return -1;
		/* TLS 1.3 clients use a ticket once (RFC 8446 C.4). */
		return i || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
	}
	return 0;
}

void tls_tickets_attach(struct tls_tickets *tickets, struct ssl_ctx_st *ctx)
{
	SSL_CTX_set_app_data(ctx, tickets);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key_cb);
}
