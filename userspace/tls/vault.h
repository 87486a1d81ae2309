/*
 * Memory for certificates and their keys: not in core dumps, wiped when freed, without malloc's
 * overhead per object. Any thread; a lock is held for a few instructions. Running out is fatal, as
 * with mem_*.
 */
#ifndef SLUICE_TLS_VAULT_H
#define SLUICE_TLS_VAULT_H

#include "core/attr.h"
#include <stddef.h>

void *vault_alloc(size_t size) __attribute__((malloc, returns_nonnull));
/* `size` as it was asked for. NULL is ignored. */
void vault_free(void *bytes, size_t size);
/* What is mapped now. */
size_t vault_mapped_bytes(void);

#endif
