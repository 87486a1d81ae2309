/*
 * The certificates that listeners name, of one generation: held, so that another thread, or a later
 * turn, can go through them. Made on the control thread; then one thread at a time.
 */
#ifndef SLUICE_CONTROL_CERTS_IN_USE_H
#define SLUICE_CONTROL_CERTS_IN_USE_H

#include "core/attr.h"
#include <stdbool.h>
#include <stdint.h>

struct build;
struct cert;
struct certdir;
struct config;
struct config_certificate;

/* A single certificate or a directory. */
struct certs_entry {
	struct cert *cert; /* counted; or NULL ... */
	struct certdir *dir; /* ... and this */
	const struct config_certificate *config;
};

struct certs_in_use {
	struct config *config; /* counted */
	struct certs_entry *entries;
	uint32_t n;
};

struct certs_in_use *certs_in_use_new(const struct build *build);
/* NULL is ignored. */
void certs_in_use_free(struct certs_in_use *certs);

/* Begins zeroed. */
struct certs_cursor {
	uint32_t entry; /* of the certificate that was returned */
	uint32_t at;
	uint64_t segment;
};

/* Borrowed. NULL: there are no more. */
struct cert *certs_in_use_next(const struct certs_in_use *certs, struct certs_cursor *cursor);
/* The listeners that name the entry, then "admin.listen" if it does; *cursor begins at 0. NULL: there are no more. */
const char *certs_in_use_listener(
	const struct certs_in_use *certs, const struct certs_entry *entry, uint32_t *cursor);

#endif
