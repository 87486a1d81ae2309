/*
 * What a configuration is kept in: its memory, freed as a whole, and for each setting the place
 * where it was written. Filled by the parser alone, sealed at its end, then read by any thread.
 */
#ifndef SLUICE_CONTROL_CONFIG_STORE_H
#define SLUICE_CONTROL_CONFIG_STORE_H

#include "control/config.h"

struct config_store *config_store_new(void);
void config_store_free(struct config_store *store);

/* Zeroed; lives as long as the store. */
void *config_store_alloc(struct config_store *store, size_t size);
char *config_store_strndup(struct config_store *store, const char *text, size_t len);
char *config_store_printf(struct config_store *store, const char *format, ...) printf_like(2, 3);

void config_store_mark(struct config_store *store, const void *field, struct config_mark mark);
/* The value that is written could not be read: the field has its default. */
void config_store_mark_bad(struct config_store *store, const void *field);
/* Ends the marking: look-ups work from now on. */
void config_store_seal(struct config_store *store);
/* NULL if the field was not written in the file; line 0 if it could not be read. */
const struct config_mark *config_store_find(const struct config_store *store, const void *field);

#endif
