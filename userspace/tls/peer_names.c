/* Subject alternative names of a client's certificate: see peer_names.h. */
#include "tls/peer_names.h"
#include "tls/peer.h"

#include "core/mem.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static int hex_value(char digit)
{
	return digit >= '0' && digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
}

/* The PEM as it was before it was encoded for a header (put_encoded() in peer.c). */
static char *decode(struct slice text, size_t *ret_len)
{
	char *pem = mem_alloc(text.len + 1);
	size_t i, n = 0;

	for (i = 0; i < text.len; i++) {
		if (text.ptr[i] == '%' && i + 2 < text.len) {
			pem[n++] = (char)(hex_value(text.ptr[i + 1]) << 4 |
					  hex_value(text.ptr[i + 2]));
			i += 2;
		} else {
			pem[n++] = text.ptr[i];
		}
	}
	*ret_len = n;
	return pem;
}

static X509 *parse(const struct tls_peer *peer)
{
	size_t len;
	char *pem;
	X509 *leaf = NULL;
	BIO *bio;

	if (peer->leaf.len == 0)
		return NULL;
	pem = decode(peer->leaf, &len);
	bio = BIO_new_mem_buf(pem, (int)len);
	if (bio)
		leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	free(pem);
	ERR_clear_error();
	return leaf;
}

/* Visible ASCII alone: a NUL, or what looks like another name, is no name. */
static char *text_of(const char *kind, const ASN1_STRING *value, bool is_folded)
{
	const unsigned char *bytes = ASN1_STRING_get0_data(value);
	int len = ASN1_STRING_length(value), i;
	char *text, *at;

	for (i = 0; i < len; i++)
		if (bytes[i] <= ' ' || bytes[i] > '~')
			return NULL;
	text = mem_printf("%s:%.*s", kind, len, (const char *)bytes);
	for (at = text; is_folded && *at; at++)
		*at = (char)tolower((unsigned char)*at);
	return text;
}

static char *address_of(const ASN1_OCTET_STRING *value)
{
	char text[INET6_ADDRSTRLEN];
	int len = ASN1_STRING_length(value);

	if (len != 4 && len != 16)
		return NULL;
	inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(value), text, sizeof(text));
	return mem_printf("ip:%s", text);
}

static char *name_of(const GENERAL_NAME *name)
{
	switch (name->type) {
	case GEN_DNS:
		return text_of("dns", name->d.dNSName, true);
	case GEN_EMAIL:
		return text_of("email", name->d.rfc822Name, false);
	case GEN_URI:
		return text_of("uri", name->d.uniformResourceIdentifier, false);
	case GEN_IPADD:
		return address_of(name->d.iPAddress);
	default:
		return NULL;
	}
}

static int take_names(const GENERAL_NAMES *list, struct tls_peer_names *ret_names)
{
	int i, n = sk_GENERAL_NAME_num(list);

	if (n > TLS_PEER_NAMES_MAX)
		return -EINVAL;
	ret_names->texts = mem_zalloc(((size_t)n + 1) * sizeof(*ret_names->texts));
	for (i = 0; i < n; i++) {
		char *text = name_of(sk_GENERAL_NAME_value(list, i));

		if (text)
			ret_names->texts[ret_names->n++] = text;
	}
	return 0;
}

int tls_peer_names_read(const struct tls_peer *peer, struct tls_peer_names *ret_names)
{
	X509 *leaf = parse(peer);
	GENERAL_NAMES *list;
	int r = 0;

	*ret_names = (struct tls_peer_names){0};
	if (!leaf)
		return -EINVAL;
	list = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	if (list)
		r = take_names(list, ret_names);
	GENERAL_NAMES_free(list);
	X509_free(leaf);
	ERR_clear_error();
	return r;
}

void tls_peer_names_fini(struct tls_peer_names *names)
{
	size_t i;

	for (i = 0; i < names->n; i++)
		free(names->texts[i]);
	free(names->texts);
	*names = (struct tls_peer_names){0};
}
