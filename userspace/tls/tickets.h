/*
 * Keys of session tickets, shared by all listeners, workers and rebuilt servers (a reload keeps
 * resumption working). Tickets are sealed with the first key and opened with any. Counted; what
 * changes the keys is called by one thread at a time, use by any.
 */
#ifndef SLUICE_TLS_TICKETS_H
#define SLUICE_TLS_TICKETS_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include <stdbool.h>
#include <stdint.h>

struct tls_tickets;
struct ssl_ctx_st;

enum { TLS_TICKET_KEY_BYTES = 80, TLS_TICKET_KEYS_MAX = 8 };

/* --- keys of a file that several nodes share */
struct tls_ticket_keys;

/*
 * One to eight keys of 80 bytes one behind the other, and nothing else: a name (16), the key of the
 * HMAC-SHA-256 (32), the key of AES-256-CBC (32). nginx reads such a file (of one key), too. Fails
 * with a sentence that names the file. Counted.
 */
int tls_ticket_keys_read(
	const char *path, struct tls_ticket_keys **ret_keys, struct err *err) must_check;
/* NULL is let through. */
struct tls_ticket_keys *tls_ticket_keys_get(struct tls_ticket_keys *keys);
void tls_ticket_keys_put(struct tls_ticket_keys *keys);
uint32_t tls_ticket_keys_len(const struct tls_ticket_keys *keys);

/* Starts with a random key. */
struct tls_tickets *tls_tickets_new(void);
struct tls_tickets *tls_tickets_get(struct tls_tickets *tickets);
void tls_tickets_put(struct tls_tickets *tickets);
/* A new random key; the current one becomes the previous one. A ticket lives between one and two
 * rotation intervals (and never longer than tls_server_spec.ticket_life_s). */
void tls_tickets_rotate(struct tls_tickets *tickets);
/* A new random key, and no other: no ticket is good any more. */
void tls_tickets_forget(struct tls_tickets *tickets);
/* These keys from now on. */
void tls_tickets_use(struct tls_tickets *tickets, const struct tls_ticket_keys *keys);

/* All there is, for a process that takes the place of this one: tickets and cookies stay good there. */
struct tls_tickets_state {
	uint32_t n, is_of_file;
	uint8_t own[TLS_TICKET_KEY_BYTES];
	uint8_t keys[TLS_TICKET_KEYS_MAX][TLS_TICKET_KEY_BYTES];
};

void tls_tickets_give(const struct tls_tickets *tickets, struct tls_tickets_state *ret_state);
/* Before anybody uses them. Keys of a file are not taken: it is read again. */
void tls_tickets_take(struct tls_tickets *tickets, const struct tls_tickets_state *state);

/*
 * What clients are given to bring back (cookies) is signed: by the keys of the file, so that every
 * node that shares it believes it, also after a restart; else by a key of this process, which is
 * never changed.
 */
enum { TLS_TICKET_TAG_BYTES = 16 };
void tls_tickets_sign(struct tls_tickets *tickets, struct slice text,
	uint8_t ret_tag[static TLS_TICKET_TAG_BYTES]);
bool tls_tickets_is_signed(struct tls_tickets *tickets, struct slice text,
	const uint8_t tag[static TLS_TICKET_TAG_BYTES]);

/*
 * The same for what nobody else shall read: authenticated encryption that needs no random numbers
 * (the tag is made of the text and is the nonce; RFC 5297 section 2.6 of the idea). `about` is not in
 * it, and must be the same when it is opened. False: not by these keys, or not about that.
 */
enum {
	TLS_SEALED_TEXT_BYTES = 16,
	TLS_SEALED_BYTES = TLS_SEALED_TEXT_BYTES + TLS_TICKET_TAG_BYTES
};
void tls_tickets_seal(struct tls_tickets *tickets, struct slice about,
	const uint8_t text[static TLS_SEALED_TEXT_BYTES],
	uint8_t ret_sealed[static TLS_SEALED_BYTES]);
bool tls_tickets_open(struct tls_tickets *tickets, struct slice about,
	const uint8_t sealed[static TLS_SEALED_BYTES],
	uint8_t ret_text[static TLS_SEALED_TEXT_BYTES]) must_check;

/* Makes a context use the keys. The context must not outlive `tickets`. */
void tls_tickets_attach(struct tls_tickets *tickets, struct ssl_ctx_st *ctx);

#endif
