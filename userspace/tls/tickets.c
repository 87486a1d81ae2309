/* Session ticket keys: see tickets.h. */
#include "tls/tickets.h"

#include "core/hash.h"
#include "core/mem.h"
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	KEY_NAME_BYTES = 16,
	/* Current and previous are in use; the slot a rotation overwrites was in use two rotations
	 * ago, far longer than any handshake step takes. */
	KEY_SLOTS = 4,
};

struct ticket_key {
	uint8_t name[KEY_NAME_BYTES];
	uint8_t cipher[32];
	uint8_t mac[32];
};

struct tls_tickets {
	atomic_uint refs;
	atomic_uint current; /* generation; its key is in slot current % KEY_SLOTS */
	EVP_CIPHER *cipher; /* fetched once: a fetch per ticket takes locks */
	struct ticket_key keys[KEY_SLOTS];
};

struct tls_tickets *tls_tickets_new(void)
{
	struct tls_tickets *tickets = mem_secret_alloc(sizeof(*tickets));

	atomic_init(&tickets->refs, 1);
	tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (!tickets->cipher)
		abort(); /* the library has no AES: nothing here can work */
	/* All slots: a name that was never given out must not be guessable. */
	hash_random(tickets->keys, sizeof(tickets->keys));
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
	unsigned int next = atomic_load_explicit(&tickets->current, memory_order_relaxed) + 1;

	hash_random(&tickets->keys[next % KEY_SLOTS], sizeof(tickets->keys[0]));
	atomic_store_explicit(&tickets->current, next, memory_order_release);
}

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
	const struct tls_tickets *tickets = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	unsigned int current = atomic_load_explicit(&tickets->current, memory_order_acquire);
	const struct ticket_key *key;
	unsigned int age;

	/* None for this client: TLS 1.2 has promised one, which is then empty (RFC 5077 3.3). */
	if (is_sealing && !SSL_get_num_tickets(ssl))
		return 0;
	if (is_sealing)
		return seal(tickets, &tickets->keys[current % KEY_SLOTS], name, iv, cipher, mac);
	for (age = 0; age <= 1; age++) {
		key = &tickets->keys[(current - age) % KEY_SLOTS];
		if (memcmp(name, key->name, KEY_NAME_BYTES) != 0)
			continue;
		if (!start_mac(mac, key) ||
			!EVP_DecryptInit_ex2(cipher, tickets->cipher, key->cipher, iv, NULL))
			return -1;
		/* TLS 1.3 clients use a ticket once (RFC 8446 C.4). */
		return age || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
	}
	return 0;
}

void tls_tickets_attach(struct tls_tickets *tickets, struct ssl_ctx_st *ctx)
{
	SSL_CTX_set_app_data(ctx, tickets);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key_cb);
}
