/*
 * What the files of a certificate share (cert*.c, certindex*.c); nobody else includes it.
 * A record is position-independent: the index has it as memory does.
 */
#ifndef SLUICE_TLS_CERT_PARTS_H
#define SLUICE_TLS_CERT_PARTS_H

#include "tls/cert.h"
#include "tls/cert_token.h"
#include "tls/certchain.h"
#include <openssl/x509.h>
#include <stdatomic.h>

enum {
	CERT_NAMES_BYTES_MAX = 1 << 20,
	CERT_FILE_BYTES_MAX = 4096,
	CERT_DATE_BYTES = 32,
	CERT_NAMES_MAX = 4096, /* some work is the square of it */
};

/* `bytes` holds, one behind the other: names (a length byte before each), certificate file, key
 * file, leaf, key. */
struct cert_record {
	struct cert_facts facts;
	uint64_t identity, key_identity;
	uint32_t names_len, leaf_len, key_len;
	uint16_t cert_file_len, key_file_len;
	bool is_key_plain; /* it stands in its file as it is here: the index may have it */
	bool is_key_volatile; /* in a file in memory: an index on a disk may not */
	uint8_t bytes[];
};

struct cert_source {
	atomic_uint refs;
	char *name, *directory; /* the last may be NULL */
	struct key_password_source password;
};

struct cert {
	atomic_uint refs;
	atomic_uint cached; /* how many of them are caches' */
	_Atomic(uint8_t) state;
	atomic_bool was_told; /* in the log, that it is bad */
	atomic_bool is_asking; /* the thread for tokens is to open its key ... */
	int16_t token_result; /* ... and this came of it last time: that thread's */
	_Atomic(uint64_t) names_id; /* 0: nobody has asked yet */
	uint32_t number; /* in the order in which they were made */
	_Atomic(struct staple *) staple;
	_Atomic(struct key *)
		open_key; /* in a token: counted; cert_token.c. NULL: it is not open */
	struct cert_source *source;
	struct certchain *chain; /* NULL: the leaf stands alone */
	struct cert_record record; /* the last */
};

/* What a record is made of; borrowed. */
struct cert_content {
	struct cert_facts facts;
	const uint8_t *names, *leaf, *key;
	uint32_t names_len, leaf_len, key_len;
	const char *cert_file, *key_file;
	uint64_t identity, key_identity;
	bool is_key_plain, is_key_volatile;
	struct certchain *chain; /* its count is taken over */
};

size_t cert_record_bytes(const struct cert_record *record);
/* Takes a count on `source`. */
struct cert *cert_new(struct cert_source *source, const struct cert_content *content);
/* A copy of a record that cert_record_is_sound(); `chain` is taken over. */
struct cert *cert_new_of_record(struct cert_source *source, const struct cert_record *record,
	struct certchain *chain, enum cert_state state);
/* Whether its lengths and texts are what cert_new() would make; `len` bytes are there. */
bool cert_record_is_sound(const struct cert_record *record, size_t len);

static inline const uint8_t *cert_record_leaf(const struct cert_record *record)
{
	return record->bytes + record->names_len + record->cert_file_len + record->key_file_len;
}

static inline const uint8_t *cert_record_key(const struct cert_record *record)
{
	return cert_record_leaf(record) + record->leaf_len;
}

/* "/directory/file", or the file; allocated. */
char *cert_source_path(const struct cert_source *source, struct slice file);

/* "2026-11-22 08:00 UTC"; returns `ret_text`. */
const char *cert_date_text(int64_t at_unix_s, char ret_text[CERT_DATE_BYTES]);
/* Bits of the weaker of its key and the signature on it. */
uint16_t cert_strength(X509 *x509);

/* --- cert_read.c */
/* The key is that of the leaf: 0 or -EINVAL. */
int cert_check_key(
	const struct cert *cert, const struct key *key, X509 *leaf, struct err *err) must_check;
/* --- cert_token.c */
/* Counted. NULL: it is not open, and the certificate is bad. */
struct key *cert_token_key(struct cert *cert);
/* Has the key opened and waits a while for it: 0, what token_open_key() says, -EINVAL: it is not the
 * certificate's, -ETIMEDOUT or -ECANCELED. */
int cert_token_open(struct cert *cert, struct err *err) must_check;
void cert_token_fini(struct cert *cert);
/* An error of it that says nothing about the certificate: it may be another one soon. */
bool cert_is_token_away(int error);

/* --- cert_facts.c */
/* Names as in a record: allocated, on failure, too. */
int cert_facts_read(X509 *leaf, struct cert_facts *ret_facts, uint8_t **ret_names,
	uint32_t *ret_names_len, struct err *err) must_check;
/* "CN=www.example.com,O=Example", allocated. */
char *cert_facts_name_text(const X509_NAME *name);

#endif
