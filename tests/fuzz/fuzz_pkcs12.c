/*
 * PKCS#12 files, opened with the password "pw": whatever is in them, it is a key with its certificates,
 * or an error with a reason, and never more work than the limit.
 */
#include "fuzz_cert.h"
#include "tls/pkcs12.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct key_password_source source = {.env = "SLUICE_FUZZ_PASSWORD"};
	struct pkcs12_content content;
	struct err err = {""};

	setenv(source.env, "pw", 1);
	if (!pkcs12_is(data, size))
		return 0;
	if (pkcs12_read(data, size, "fuzz", &source, &content, &err) < 0) {
		must(*err.text);
		return 0;
	}
	must(content.leaf_len && content.leaf_len <= content.certs_len && content.key.len);
	pkcs12_content_fini(&content);
	return 0;
}
