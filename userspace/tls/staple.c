/* Stapled OCSP responses as objects: see staple.h. */
#include "tls/staple.h"

#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

struct staple *staple_new(
	const uint8_t *der, size_t len, int64_t this_update_unix_s, int64_t next_update_unix_s)
{
	struct staple *staple = mem_alloc(sizeof(*staple) + len);

	atomic_init(&staple->refs, 1);
	staple->this_update_unix_s = this_update_unix_s;
	staple->next_update_unix_s = next_update_unix_s;
	staple->len = len;
	memcpy(staple->der, der, len);
	return staple;
}

struct staple *staple_get(struct staple *staple)
{
	atomic_fetch_add_explicit(&staple->refs, 1, memory_order_relaxed);
	return staple;
}

void staple_put(struct staple *staple)
{
	if (staple && atomic_fetch_sub_explicit(&staple->refs, 1, memory_order_acq_rel) == 1)
		free(staple);
}
