/*
 * How the index lies in its file; for certindex*.c only. Numbers as this machine has them: the file
 * is for the host that wrote it. A header, then blocks, each aligned to 8 bytes; chains and
 * directories are numbered from 1 in the order in which they come, and come before what names them.
 */
#ifndef SLUICE_TLS_CERTINDEX_FILE_H
#define SLUICE_TLS_CERTINDEX_FILE_H

#include "core/hash.h"
#include "core/version.h"
#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>

#define CERTINDEX_MAGIC UINT64_C(0x3165636975736c73)

enum { CERTINDEX_FORMAT = 3, CERTINDEX_ALIGN = 8, CERTINDEX_PIECE_BYTES = 1 << 20 };

struct certindex_header {
	uint64_t magic;
	uint32_t format;
	uint32_t record_bytes; /* sizeof(struct cert_record): another build may have another */
	uint64_t len;          /* of the blocks */
	uint64_t n_certs;
	uint64_t maker; /* certindex_maker() */
	struct hash_key key; /* random, of the checksum */
	uint64_t checksum;   /* of the blocks, then of the header with 0 here */
};

/* What wrote it: another OpenSSL may not take what this one took, and numbers mean what they mean in
 * one version of ours. */
static inline uint64_t certindex_maker(void)
{
	static const struct hash_key key = {9, 10};
	static const char ours[] = SLUICE_VERSION;
	const char *library = OpenSSL_version(OPENSSL_VERSION);

	return hash_bytes(&key, ours, sizeof(ours)) ^ hash_bytes(&key, library, strlen(library));
}

enum certindex_kind { CERTINDEX_CHAIN = 1, CERTINDEX_DIRECTORY, CERTINDEX_CERT };

struct certindex_block {
	uint32_t len; /* of what follows, without the filling up to the next block */
	uint16_t kind;
	uint16_t state; /* enum cert_state */
	uint32_t chain; /* its number; 0: none */
	uint32_t directory;
};

/* One piece more: blocks go in pieces of CERTINDEX_PIECE_BYTES (the last one is shorter), the header
 * comes last. Starts with 0. */
static inline uint64_t certindex_checksum(
	const struct hash_key *key, uint64_t checksum, const void *bytes, size_t len)
{
	struct hash_key chained = {key->k0 ^ checksum, key->k1};

	return hash_bytes(&chained, bytes, len);
}

static inline uint64_t certindex_round(uint64_t len)
{
	return (len + CERTINDEX_ALIGN - 1) / CERTINDEX_ALIGN * CERTINDEX_ALIGN;
}

#endif
