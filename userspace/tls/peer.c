/* Texts of a client's certificate: see peer.h. */
#include "tls/peer.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

enum { TEXTS = 6 };

/* What may stand in a header's value and in a URL's query; PEM has blanks and line ends besides. */
static bool is_safe(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._~+=/", c));
}

/* Appends what `pem` has, encoded. */
static bool put_encoded(BIO *out, BIO *pem)
{
	static const char hex[] = "0123456789ABCDEF";
	char *bytes, code[3];
	long len = BIO_get_mem_data(pem, &bytes), i, from = 0;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (is_safe(c))
			continue;
		code[0] = '%';
		code[1] = hex[c >> 4];
		code[2] = hex[c & 15];
		if ((i > from && BIO_write(out, bytes + from, (int)(i - from)) < 0) ||
			BIO_write(out, code, sizeof(code)) < 0)
			return false;
		from = i + 1;
	}
	return from == len || BIO_write(out, bytes + from, (int)(len - from)) > 0;
}

static bool put_pem(BIO *out, X509 *cert)
{
	BIO *pem = BIO_new(BIO_s_mem());
	bool done = pem && PEM_write_bio_X509(pem, cert) && put_encoded(out, pem);

	BIO_free(pem);
	return done;
}

static bool put_chain(BIO *out, const STACK_OF(X509) * chain)
{
	int i;

	for (i = 0; i < sk_X509_num(chain); i++)
		if (!put_pem(out, sk_X509_value(chain, i)))
			return false;
	return true;
}

static bool put_time(BIO *out, const char *name, const ASN1_TIME *time)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(time, &tm))
		return BIO_printf(out, "%s=", name) > 0;
	return BIO_printf(out, "%s=%04d-%02d-%02dT%02d:%02d:%02dZ", name, tm.tm_year + 1900,
		       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec) > 0;
}

static bool put_validity(BIO *out, const X509 *cert)
{
	return put_time(out, "NotBefore", X509_get0_notBefore(cert)) && BIO_puts(out, ";") > 0 &&
	       put_time(out, "NotAfter", X509_get0_notAfter(cert));
}

static bool is_long(const X509_NAME *name)
{
	return i2d_X509_NAME(name, NULL) > TLS_PEER_NAME_BYTES_MAX;
}

bool tls_peer_has_long_names(const X509 *leaf)
{
	return is_long(X509_get_subject_name(leaf)) || is_long(X509_get_issuer_name(leaf));
}

/* An empty name has no text: that is no failure. */
static bool put_name(BIO *out, const X509_NAME *name)
{
	if (is_long(name))
		return true;
	return X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253) >= 0;
}

static long mark(BIO *out)
{
	char *bytes;

	return BIO_get_mem_data(out, &bytes);
}

/* Two digits a byte, a minus before a negative one. */
bool tls_peer_put_hex(BIO *out, const ASN1_INTEGER *integer)
{
	static const char hex[] = "0123456789ABCDEF";
	const unsigned char *bytes = ASN1_STRING_get0_data(integer);
	int len = ASN1_STRING_length(integer), i;
	char digits[2];

	if ((ASN1_STRING_type(integer) & V_ASN1_NEG) && BIO_puts(out, "-") <= 0)
		return false;
	if (len == 0)
		return BIO_puts(out, "00") > 0;
	for (i = 0; i < len; i++) {
		digits[0] = hex[bytes[i] >> 4];
		digits[1] = hex[bytes[i] & 15];
		if (BIO_write(out, digits, sizeof(digits)) <= 0)
			return false;
	}
	return true;
}

/* All texts one after the other; where each ends. */
static bool put_all(
	BIO *out, X509 *leaf, const STACK_OF(X509) * chain, bool is_brief, long ret_ends[TEXTS])
{
	if (!tls_peer_put_hex(out, X509_get0_serialNumber(leaf)))
		return false;
	ret_ends[0] = mark(out);
	if (!put_name(out, X509_get_subject_name(leaf)))
		return false;
	ret_ends[1] = mark(out);
	if (!put_name(out, X509_get_issuer_name(leaf)))
		return false;
	ret_ends[2] = mark(out);
	if (!put_validity(out, leaf))
		return false;
	ret_ends[3] = mark(out);
	if (!chain && !is_brief && !put_pem(out, leaf))
		return false;
	ret_ends[4] = mark(out);
	if (chain && !put_chain(out, chain))
		return false;
	ret_ends[5] = mark(out);
	return true;
}

static struct slice cut(const struct tls_peer *peer, const long ends[TEXTS], int i)
{
	long from = i ? ends[i - 1] : 0;

	return (struct slice){peer->bytes + from, (size_t)(ends[i] - from)};
}

static struct tls_peer *copy(BIO *out, const long ends[TEXTS])
{
	char *bytes;
	long len = BIO_get_mem_data(out, &bytes);
	struct tls_peer *peer = malloc(sizeof(*peer) + (size_t)len);

	if (!peer)
		return NULL;
	memcpy(peer->bytes, bytes, (size_t)len);
	peer->serial = cut(peer, ends, 0);
	peer->subject = cut(peer, ends, 1);
	peer->issuer = cut(peer, ends, 2);
	peer->validity = cut(peer, ends, 3);
	peer->leaf = cut(peer, ends, 4);
	peer->chain = cut(peer, ends, 5);
	return peer;
}

static struct tls_peer *make(X509 *leaf, const STACK_OF(X509) * chain, bool is_brief)
{
	BIO *out = BIO_new(BIO_s_mem());
	struct tls_peer *peer = NULL;
	long ends[TEXTS];

	if (out && put_all(out, leaf, chain, is_brief, ends))
		peer = copy(out, ends);
	BIO_free(out);
	ERR_clear_error(); /* nobody asks for the reasons of texts */
	return peer;
}

struct tls_peer *tls_peer_new(X509 *leaf, const STACK_OF(X509) * chain)
{
	return make(leaf, chain, false);
}

struct tls_peer *tls_peer_new_brief(X509 *leaf)
{
	return make(leaf, NULL, true);
}

void tls_peer_free(struct tls_peer *peer)
{
	free(peer);
}
