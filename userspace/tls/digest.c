/* SHA-256 of bytes as text: see digest.h. */
#include "tls/digest.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void digest_hex(const void *bytes, size_t len, char ret_hex[static DIGEST_HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned int i, n = 0;

	if (!EVP_Digest(bytes, len, hash, &n, EVP_sha256(), NULL)) {
		fputs("sluice: OpenSSL cannot make a SHA-256\n", stderr);
		abort();
	}
	for (i = 0; i < n; i++) {
		ret_hex[2 * i] = digits[hash[i] >> 4];
		ret_hex[2 * i + 1] = digits[hash[i] & 15];
	}
	ret_hex[2 * n] = '\0';
}
