/*
 * The index of certificates, as if its checksum were right: no length in it leads out of it, and
 * what is taken from it can be looked at, parsed and served or refused.
 */
#include "fuzz_cert.h"
#include "tls/certindex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cert_source *source;
	struct cert_description texts;
	struct certindex *index;
	struct slice name;
	uint32_t cursor = 0;
	struct cert *cert;
	struct err err;

	if (!source)
		source = cert_source_new("fuzz", "/d", NULL);
	if (certindex_parse(data, size, false, &index, &err) < 0)
		return 0;
	cert = certindex_find(index, source, "/d", SLICE("a.crt"));
	certindex_free(index);
	if (!cert)
		return 0;
	while (cert_next_name(cert, &cursor, &name))
		must(name.len && name.len < 256);
	(void)cert_check(cert, &err);
	(void)cert_warning(cert, cert_facts(cert)->not_after_unix_s + 1, &err);
	(void)cert_warning(cert, cert_facts(cert)->not_before_unix_s - 1, &err);
	(void)cert_check_strength(cert, UINT16_MAX, &err);
	cert_describe(cert, &texts); /* also of one that cannot be parsed */
	cert_description_fini(&texts);
	cert_put(cert);
	return 0;
}
