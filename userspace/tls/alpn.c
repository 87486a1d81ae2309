/* ALPN lists (RFC 7301): see alpn.h. */
#include "tls/alpn.h"

#include "core/mem.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int alpn_init(struct alpn *alpn, const char *const *names, size_t n, struct err *err)
{
	size_t i, len;

	*alpn = (struct alpn){0};
	if (n > ALPN_PROTOCOLS_MAX)
		return err_set(err, -EINVAL, "more than %d ALPN protocols", ALPN_PROTOCOLS_MAX);
	for (i = 0; i < n; i++) {
		len = strlen(names[i]);
		if (!len || len > 255 || alpn->wire_len + 1 + len > sizeof(alpn->wire)) {
			alpn_fini(alpn);
			return err_set(err, -EINVAL,
				"ALPN protocol %zu is empty or the list is longer than %d bytes",
				i + 1, ALPN_WIRE_BYTES);
		}
		alpn->wire[alpn->wire_len] = (uint8_t)len;
		memcpy(alpn->wire + alpn->wire_len + 1, names[i], len);
		alpn->wire_len += (uint32_t)(1 + len);
		alpn->names[alpn->n++] = mem_strdup(names[i]);
	}
	return 0;
}

void alpn_fini(struct alpn *alpn)
{
	uint32_t i;

	for (i = 0; i < alpn->n; i++)
		free(alpn->names[i]);
	*alpn = (struct alpn){0};
}

const char *alpn_agreed(const struct alpn *alpn, const SSL *ssl)
{
	const uint8_t *bytes;
	unsigned int len;
	uint32_t i;

	SSL_get0_alpn_selected(ssl, &bytes, &len);
	for (i = 0; i < alpn->n; i++)
		if (strlen(alpn->names[i]) == len && !memcmp(alpn->names[i], bytes, len))
			return alpn->names[i];
	return "";
}
