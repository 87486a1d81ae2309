/*
 * A list of JA4 fingerprints, whole ones and beginnings ("t13d1516h2_*"), immutable. A look-up costs
 * one hash for each length that occurs in the list, however long it is; any thread.
 */
#ifndef SLUICE_GATE_JA4_LIST_H
#define SLUICE_GATE_JA4_LIST_H

#include "core/attr.h"
#include "core/err.h"
#include "tls/ja4.h"
#include <stdbool.h>
#include <stddef.h>

struct gate_ja4_list;

/* -EINVAL: a text is neither a fingerprint nor the beginning of one that ends in '*'. */
int gate_ja4_list_new(const char *const *texts, size_t count, struct gate_ja4_list **ret_list,
	struct err *err) must_check;
void gate_ja4_list_free(struct gate_ja4_list *list);
bool gate_ja4_list_has(const struct gate_ja4_list *list, const char ja4[static JA4_BYTES]);

#endif
