/* Extensions of a ClientHello: see hello.h. */
#include "tls/hello.h"

#include <string.h>

enum { NAME_TYPE_HOST = 0, NAME_HEADER_BYTES = 5 };

static size_t load_be16(const uint8_t *bytes)
{
	return (size_t)bytes[0] << 8 | bytes[1];
}

/* RFC 6066 3: a list with one entry in practice; only the first is looked at. */
bool hello_server_name(SSL *ssl, struct slice *ret_name)
{
	const uint8_t *bytes;
	size_t len, name_len;

	*ret_name = (struct slice){"", 0};
	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &len))
		return true;
	if (len < NAME_HEADER_BYTES || load_be16(bytes) != len - 2 || bytes[2] != NAME_TYPE_HOST)
		return false;
	name_len = load_be16(bytes + 3);
	if (!name_len || name_len > len - NAME_HEADER_BYTES ||
		memchr(bytes + NAME_HEADER_BYTES, '\0', name_len))
		return false;
	*ret_name = (struct slice){(const char *)bytes + NAME_HEADER_BYTES, name_len};
	return true;
}

/* A list of code points behind its length of two bytes. */
static const uint8_t *code_points(SSL *ssl, unsigned int type, size_t *ret_n)
{
	const uint8_t *bytes;
	size_t len;

	*ret_n = 0;
	if (!SSL_client_hello_get0_ext(ssl, type, &bytes, &len) || len < 2 ||
		load_be16(bytes) != len - 2)
		return NULL;
	*ret_n = (len - 2) / 2;
	return bytes + 2;
}

/* RFC 8446 4.2.1: who does not send the list offers everything up to legacy_version. */
static bool offers_version(SSL *ssl, uint16_t version)
{
	const uint8_t *bytes;
	size_t len, i;

	if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &bytes, &len) || !len)
		return version <= TLS_VERSION_1_2 &&
		       version <= SSL_client_hello_get0_legacy_version(ssl);
	for (i = 1; i + 1 < len; i += 2)
		if (load_be16(bytes + i) == version)
			return true;
	return false;
}

uint16_t hello_version(SSL *ssl, const struct tls_policy *policy)
{
	uint16_t version;

	for (version = policy->version_max; version >= policy->version_min; version--)
		if (offers_version(ssl, version))
			return version;
	return 0;
}

void hello_offer(SSL *ssl, struct cert_offer *offer)
{
	const uint8_t *ciphers = NULL;
	size_t len = SSL_client_hello_get0_ciphers(ssl, &ciphers);

	offer->ciphers = ciphers;
	offer->n_ciphers = len / 2;
	offer->schemes = code_points(ssl, TLSEXT_TYPE_signature_algorithms, &offer->n_schemes);
	offer->cert_schemes =
		code_points(ssl, TLSEXT_TYPE_signature_algorithms_cert, &offer->n_cert_schemes);
	offer->groups = code_points(ssl, TLSEXT_TYPE_supported_groups, &offer->n_groups);
}
