/*
 * A certificate revocation list as a sorted table of serial numbers: OpenSSL's own form takes ten
 * times the memory, and its check hashes the whole list again in every handshake. Immutable; any
 * thread. Used by trust.c.
 */
#ifndef SLUICE_TLS_CRL_H
#define SLUICE_TLS_CRL_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asn1_string_st;
struct X509_crl_st;

struct crl_table {
	uint8_t *bytes; /* entries: length, serial number */
	uint32_t *at;   /* where each begins, sorted by content */
	uint32_t n;
	size_t len;
};

/* Refuses what a table of serial numbers cannot say: indirect and delta CRLs, critical extensions
 * that are not known. Texts do not name the file. */
int crl_table_init(struct crl_table *table, struct X509_crl_st *crl, struct err *err) must_check;
void crl_table_fini(struct crl_table *table);
bool crl_table_has(const struct crl_table *table, const struct asn1_string_st *serial);

/* Entries by number, in the order of the table; the same may be there more than once. */
static inline const uint8_t *crl_table_entry(const struct crl_table *table, uint32_t number)
{
	return table->bytes + table->at[number];
}

/* Its length and its serial number. */
static inline size_t crl_entry_bytes(const uint8_t *entry)
{
	return (size_t)entry[0] + 1;
}

bool crl_table_has_entry(const struct crl_table *table, const uint8_t *entry);

#endif
