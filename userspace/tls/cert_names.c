/* Which names a certificate is for, as a number: see cert_names_id() in cert.h. */
#include "tls/cert_parts.h"

#include "core/mem.h"
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	const struct slice *left = a, *right = b;
	size_t len = left->len < right->len ? left->len : right->len;
	int order = memcmp(left->ptr, right->ptr, len);

	return order ? order : (left->len > right->len) - (left->len < right->len);
}

/* Length bytes as in the record: lists of other names are other bytes. */
static uint64_t digest(const struct slice *names, uint32_t n, uint8_t *scratch)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	size_t used = 0;
	uint64_t id;
	uint32_t i;

	for (i = 0; i < n; i++) {
		scratch[used++] = (uint8_t)names[i].len;
		memcpy(scratch + used, names[i].ptr, names[i].len);
		used += names[i].len;
	}
	SHA256(scratch, used, sum);
	memcpy(&id, sum, sizeof(id));
	return id | 1;
}

uint64_t cert_names_id(struct cert *cert)
{
	uint64_t id = atomic_load_explicit(&cert->names_id, memory_order_relaxed);
	uint32_t cursor = 0, n = 0;
	struct slice *names;
	uint8_t *scratch;

	if (id)
		return id;
	names = mem_alloc((cert->record.facts.n_names + 1) * sizeof(*names));
	scratch = mem_alloc(cert->record.names_len + 1);
	while (n < cert->record.facts.n_names && cert_next_name(cert, &cursor, &names[n]))
		n++;
	qsort(names, n, sizeof(*names), compare);
	id = digest(names, n, scratch);
	free(names);
	free(scratch);
	atomic_store_explicit(&cert->names_id, id, memory_order_relaxed);
	return id;
}
