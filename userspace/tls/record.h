/*
 * Protection of TLS 1.2 and 1.3 records (RFC 5246 6.2.3.3, RFC 5288, RFC 7905, RFC 8446 5.2) once
 * the handshake has produced keys: the state of one direction is a few words, the cipher contexts
 * belong to the thread and are keyed again (0.1 us) when another direction used them in between.
 * One thread per struct record_ciphers.
 */
#ifndef SLUICE_TLS_RECORD_H
#define SLUICE_TLS_RECORD_H

#include "core/attr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
	RECORD_HEADER_BYTES = 5,
	RECORD_TAG_BYTES = 16,
	RECORD_EXPLICIT_NONCE_BYTES = 8, /* TLS 1.2 with AES-GCM */
	RECORD_PLAIN_MAX = 16384,
	/* What sealing adds at most: header, explicit nonce or content type, tag. */
	RECORD_OVERHEAD_MAX = RECORD_HEADER_BYTES + RECORD_EXPLICIT_NONCE_BYTES + RECORD_TAG_BYTES,
	RECORD_BODY_MAX = RECORD_PLAIN_MAX + 256, /* RFC 8446 5.2; TLS 1.2 AEADs need less */
	RECORD_SECRET_MAX = 48,
	/* AES-GCM: RFC 8446 5.5 allows 2^24.5 full records under one key. New keys are due from the
	 * first number on, and nothing is sealed any more from the second one on. */
	RECORD_KEY_OLD = 1 << 24,
	RECORD_KEY_MAX = 23726566,
};

enum record_type {
	RECORD_CHANGE_CIPHER_SPEC = 20,
	RECORD_ALERT = 21,
	RECORD_HANDSHAKE = 22,
	RECORD_DATA = 23,
};

enum record_cipher { RECORD_AES_128_GCM, RECORD_AES_256_GCM, RECORD_CHACHA20, RECORD_CIPHERS };

/* Keys of one direction. All zero: none yet. An idle connection is hardly more than two of them. */
struct record_key {
	uint64_t id; /* unique in its thread; 0: no key */
	uint64_t seq; /* of the next record */
	uint8_t key[32], iv[12];
	uint8_t cipher; /* enum record_cipher */
	bool is_tls13;
	uint8_t secret_len; /* TLS 1.3; 0: unknown, the key cannot be updated */
	union {
		uint8_t secret[RECORD_SECRET_MAX]; /* TLS 1.3: application traffic secret */
		uint64_t explicit_start; /* TLS 1.2 AES-GCM: explicit nonce of record 0 */
	};
};

struct evp_cipher_st;
struct evp_cipher_ctx_st;

struct record_ciphers {
	struct evp_cipher_st *cipher[RECORD_CIPHERS];
	struct evp_cipher_ctx_st *seal[RECORD_CIPHERS], *open[RECORD_CIPHERS];
	uint64_t seal_key[RECORD_CIPHERS], open_key[RECORD_CIPHERS]; /* record_key.id */
	uint64_t last_id;
};

/* A place in an iovec array. */
struct iov_cursor {
	const struct iovec *iov;
	size_t offset; /* into *iov */
};

/* 0 or -ENOMEM. */
int record_ciphers_init(struct record_ciphers *ciphers) must_check;
void record_ciphers_fini(struct record_ciphers *ciphers);

/* Takes a key as the TLS library describes it to a kernel (struct tls_crypto_info and what
 * follows it, linux/tls.h). 0, or -EOPNOTSUPP for a cipher that is not one of ours. */
int record_key_set(
	struct record_ciphers *ciphers, struct record_key *key, const void *crypto_info) must_check;
/* Next generation of a TLS 1.3 key (RFC 8446 7.2). 0, or -EOPNOTSUPP without a secret. */
int record_key_update(struct record_ciphers *ciphers, struct record_key *key) must_check;
/* Wipes the key, also from the cipher contexts. */
void record_key_clear(struct record_ciphers *ciphers, struct record_key *key);
/* So many records were sealed that new keys are due. */
bool record_key_is_old(const struct record_key *key);
/* No further data may be sealed; what tells the peer of it may. */
bool record_key_is_used_up(const struct record_key *key);

/* Seals `len` (up to RECORD_PLAIN_MAX) bytes from the cursor, which moves on. Returns the length
 * of the record at `out` (room: len + RECORD_OVERHEAD_MAX) or -EIO. */
int record_seal(struct record_ciphers *ciphers, struct record_key *key, enum record_type type,
	struct iov_cursor *from, size_t len, uint8_t *out) must_check;

/* Length of the whole record that starts at `bytes` (header included), 0 if even its header is
 * not there yet, -EBADMSG if it cannot be one, -EMSGSIZE if it is longer than allowed. */
int record_length(const uint8_t *bytes, size_t have) must_check;
/* Room that record_open() needs for the content of a record of this length. */
size_t record_room(const struct record_key *key, size_t record_len);
/* What sealing adds to the content. */
size_t record_overhead(const struct record_key *key);
/* Where the content of the record lies when it is opened in place. */
size_t record_content_offset(const struct record_key *key);
/*
 * Opens a whole record into `out` (record_room() bytes; may be the record's own content place).
 * Returns the length of the content, or what the peer is told by another alert each: -EBADMSG (not
 * authentic), -EMSGSIZE (more content than allowed), -EPROTO (of no type, or not encrypted). Then
 * nothing in `out` may be used.
 */
int record_open(struct record_ciphers *ciphers, struct record_key *key, const uint8_t *record,
	size_t record_len, uint8_t *out, uint8_t *ret_type) must_check;

#endif
