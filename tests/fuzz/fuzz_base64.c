/* Any bytes as base64: what is taken is as long as it may be, and is the same encoded again. */
#include "core/base64.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Without what is passed over. */
static size_t squeeze(const uint8_t *data, size_t size, char *ret_text)
{
	size_t i, n = 0;

	for (i = 0; i < size; i++)
		if (!data[i] || !strchr(" \t\r\n", data[i]))
			ret_text[n++] = (char)data[i];
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *bytes = malloc(base64_decoded_max(size));
	char *squeezed = malloc(size + 1), *again;
	size_t len, n = squeeze(data, size, squeezed);

	if (base64_decode((const char *)data, size, bytes, &len) == 0) {
		again = malloc(base64_encoded_size(len));
		base64_encode(bytes, len, again);
		if (strlen(again) != n || memcmp(again, squeezed, n) != 0)
			abort();
		free(again);
	}
	free(squeezed);
	free(bytes);
	return 0;
}
