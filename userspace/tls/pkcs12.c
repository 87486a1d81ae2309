/* PKCS#12 files: see pkcs12.h. */
#include "tls/pkcs12.h"

#include "core/mem.h"
#include "tls/certchain.h"
#include "tls/vault.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { CERTS_MAX = CERTCHAIN_MAX + 1 };

/* A file while it is read. */
struct unpacking {
	const char *path;
	const struct key_password *password;
	int64_t iterations; /* so far */
	EVP_PKEY *key;
	X509 *certs[CERTS_MAX]; /* as they come */
	uint32_t n_certs;
};

static PKCS12 *parse(const uint8_t *bytes, size_t len)
{
	PKCS12 *p12 = len <= INT32_MAX ? d2i_PKCS12(NULL, &bytes, (long)len) : NULL;

	ERR_clear_error();
	return p12;
}

bool pkcs12_is(const uint8_t *bytes, size_t len)
{
	PKCS12 *p12 = len > 1 && bytes[0] == 0x30 ? parse(bytes, len) : NULL;

	PKCS12_free(p12);
	return p12;
}

static int damaged(const struct unpacking *unpacking, struct err *err)
{
	return err_set(err, -EINVAL, "the PKCS#12 file %s is damaged", unpacking->path);
}

/* --- the work a file asks for */
static int spend(struct unpacking *unpacking, const ASN1_INTEGER *iterations, struct err *err)
{
	int64_t n = 1;

	if (iterations && (!ASN1_INTEGER_get_int64(&n, iterations) || n < 1))
		return damaged(unpacking, err);
	if (n > PKCS12_ITERATIONS_MAX - unpacking->iterations)
		return err_set(err, -EINVAL,
			"the PKCS#12 file %s asks for more than %d iterations: write it with fewer",
			unpacking->path, PKCS12_ITERATIONS_MAX);
	unpacking->iterations += n;
	return 0;
}

static int spend_kdf(struct unpacking *unpacking, const X509_ALGOR *kdf, struct err *err)
{
	PBKDF2PARAM *param = NULL;
	int r;

	if (OBJ_obj2nid(kdf->algorithm) == NID_id_pbkdf2)
		param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBKDF2PARAM), kdf->parameter);
	else
		return err_set(err, -EINVAL,
			"the PKCS#12 file %s derives its keys in a way that is not supported; "
			"PBKDF2 is",
			unpacking->path);
	r = param ? spend(unpacking, param->iter, err) : damaged(unpacking, err);
	PBKDF2PARAM_free(param);
	return r;
}

static int spend_pbes2(struct unpacking *unpacking, const ASN1_TYPE *parameter, struct err *err)
{
	PBE2PARAM *param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBE2PARAM), parameter);
	int r = param ? spend_kdf(unpacking, param->keyfunc, err) : damaged(unpacking, err);

	PBE2PARAM_free(param);
	return r;
}

static bool is_obsolete(int algorithm)
{
	return algorithm == NID_pbe_WithSHA1And40BitRC2_CBC ||
	       algorithm == NID_pbe_WithSHA1And128BitRC2_CBC ||
	       algorithm == NID_pbe_WithSHA1And40BitRC4 ||
	       algorithm == NID_pbe_WithSHA1And128BitRC4;
}

/* Of the encryption of a part. */
static int spend_pbe(struct unpacking *unpacking, const X509_ALGOR *algorithm, struct err *err)
{
	int nid = OBJ_obj2nid(algorithm->algorithm), r;
	PBEPARAM *param;

	if (nid == NID_pbes2)
		return spend_pbes2(unpacking, algorithm->parameter, err);
	if (is_obsolete(nid))
		return err_set(err, -EINVAL,
			"the PKCS#12 file %s is encrypted with %s, which OpenSSL refuses today: read "
			"it with openssl pkcs12 -legacy, and write it anew",
			unpacking->path, OBJ_nid2sn(nid));
	param = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(PBEPARAM), algorithm->parameter);
	r = param ? spend(unpacking, param->iter, err) : damaged(unpacking, err);
	PBEPARAM_free(param);
	return r;
}

static int spend_mac(struct unpacking *unpacking, const PKCS12 *p12, struct err *err)
{
	const X509_ALGOR *algorithm = NULL;
	const ASN1_INTEGER *iterations = NULL;
	PBKDF2PARAM *param;
	int r;

	PKCS12_get0_mac(NULL, &algorithm, NULL, &iterations, p12);
	if (!algorithm || OBJ_obj2nid(algorithm->algorithm) != NID_pbmac1)
		return spend(unpacking, iterations, err);
	param = PBMAC1_get1_pbkdf2_param(algorithm);
	r = param ? spend(unpacking, param->iter, err) : damaged(unpacking, err);
	PBKDF2PARAM_free(param);
	return r;
}

/* --- bags */
static int take_key(struct unpacking *unpacking, const PKCS8_PRIV_KEY_INFO *info, struct err *err)
{
	if (unpacking->key)
		return err_set(err, -EINVAL, "the PKCS#12 file %s holds more than one key",
			unpacking->path);
	unpacking->key = info ? EVP_PKCS82PKEY(info) : NULL;
	return unpacking->key ? 0 : damaged(unpacking, err);
}

static int wrong_password(const struct unpacking *unpacking, struct err *err)
{
	return err_set(err, -EINVAL, "the password does not open the PKCS#12 file %s%s",
		unpacking->path,
		unpacking->password->len
			? ""
			: ": say where it is (key_password_file, key_password_env or "
			  "key_password_command)");
}

static int take_shrouded_key(
	struct unpacking *unpacking, const PKCS12_SAFEBAG *bag, struct err *err)
{
	const X509_ALGOR *algorithm;
	PKCS8_PRIV_KEY_INFO *info;
	int r;

	X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &algorithm, NULL);
	r = spend_pbe(unpacking, algorithm, err);
	if (r < 0)
		return r;
	info = PKCS12_decrypt_skey(bag, unpacking->password->text, (int)unpacking->password->len);
	r = info ? take_key(unpacking, info, err) : wrong_password(unpacking, err);
	PKCS8_PRIV_KEY_INFO_free(info);
	return r;
}

static int take_cert(struct unpacking *unpacking, const PKCS12_SAFEBAG *bag, struct err *err)
{
	X509 *cert;

	if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
		return 0;
	if (unpacking->n_certs == CERTS_MAX)
		return err_set(err, -EINVAL, "the PKCS#12 file %s holds more than %d certificates",
			unpacking->path, CERTS_MAX);
	cert = PKCS12_SAFEBAG_get1_cert(bag);
	if (!cert)
		return damaged(unpacking, err);
	unpacking->certs[unpacking->n_certs++] = cert;
	return 0;
}

static int take_bags(
	struct unpacking *unpacking, const STACK_OF(PKCS12_SAFEBAG) * bags, struct err *err)
{
	const PKCS12_SAFEBAG *bag;
	int i, r = 0;

	for (i = 0; r == 0 && i < sk_PKCS12_SAFEBAG_num(bags); i++) {
		bag = sk_PKCS12_SAFEBAG_value(bags, i);
		switch (PKCS12_SAFEBAG_get_nid(bag)) {
		case NID_keyBag:
			r = take_key(unpacking, PKCS12_SAFEBAG_get0_p8inf(bag), err);
			break;
		case NID_pkcs8ShroudedKeyBag:
			r = take_shrouded_key(unpacking, bag, err);
			break;
		case NID_certBag:
			r = take_cert(unpacking, bag, err);
			break;
		default: /* CRLs, secrets of others: not ours */
			break;
		}
	}
	return r;
}

static int take_encrypted(struct unpacking *unpacking, PKCS7 *part,
	STACK_OF(PKCS12_SAFEBAG) * *ret_bags, struct err *err)
{
	int r;

	if (!part->d.encrypted || !part->d.encrypted->enc_data ||
		!part->d.encrypted->enc_data->algorithm)
		return damaged(unpacking, err);
	r = spend_pbe(unpacking, part->d.encrypted->enc_data->algorithm, err);
	if (r < 0)
		return r;
	*ret_bags = PKCS12_unpack_p7encdata(
		part, unpacking->password->text, (int)unpacking->password->len);
	return *ret_bags ? 0 : wrong_password(unpacking, err);
}

static int take_part(struct unpacking *unpacking, PKCS7 *part, struct err *err)
{
	STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
	int kind = OBJ_obj2nid(part->type), r = 0;

	if (kind == NID_pkcs7_data)
		bags = PKCS12_unpack_p7data(part);
	else if (kind == NID_pkcs7_encrypted)
		r = take_encrypted(unpacking, part, &bags, err);
	else
		return err_set(err, -EINVAL,
			"the PKCS#12 file %s is encrypted for a certificate, not with a password",
			unpacking->path);
	if (r == 0)
		r = bags ? take_bags(unpacking, bags, err) : damaged(unpacking, err);
	sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
	return r;
}

static int take_all(struct unpacking *unpacking, PKCS12 *p12, struct err *err)
{
	STACK_OF(PKCS7) * parts;
	int i, r = 0;

	if (PKCS12_mac_present(p12)) {
		r = spend_mac(unpacking, p12, err);
		if (r == 0 && !PKCS12_verify_mac(p12, unpacking->password->text,
				      (int)unpacking->password->len))
			r = wrong_password(unpacking, err);
		if (r < 0)
			return r;
	}
	parts = PKCS12_unpack_authsafes(p12);
	if (!parts)
		return damaged(unpacking, err);
	for (i = 0; r == 0 && i < sk_PKCS7_num(parts); i++)
		r = take_part(unpacking, sk_PKCS7_value(parts, i), err);
	sk_PKCS7_pop_free(parts, PKCS7_free);
	return r;
}

/* --- in order */
static void swap(X509 **a, X509 **b)
{
	X509 *kept = *a;

	*a = *b;
	*b = kept;
}

/* The leaf first, then each one's issuer; what belongs to neither is left out. How many. */
static uint32_t put_in_order(struct unpacking *unpacking)
{
	X509 **certs = unpacking->certs;
	uint32_t n = 0, i;

	for (i = 0; i < unpacking->n_certs; i++)
		if (X509_check_private_key(certs[i], unpacking->key) == 1)
			break;
	if (i == unpacking->n_certs)
		return 0;
	swap(&certs[n++], &certs[i]);
	while (n < unpacking->n_certs && !X509_self_signed(certs[n - 1], 0)) {
		for (i = n; i < unpacking->n_certs; i++)
			if (X509_check_issued(certs[i], certs[n - 1]) == X509_V_OK)
				break;
		if (i == unpacking->n_certs)
			break;
		swap(&certs[n++], &certs[i]);
	}
	return n;
}

static void write_cert(X509 *cert, struct pkcs12_content *content)
{
	uint8_t *der = NULL;
	int len = i2d_X509(cert, &der);

	if (len <= 0)
		abort(); /* it was parsed: only memory can be short */
	content->certs = mem_realloc(content->certs, content->certs_len + (size_t)len);
	memcpy(content->certs + content->certs_len, der, (size_t)len);
	content->certs_len += (size_t)len;
	if (!content->leaf_len)
		content->leaf_len = (size_t)len;
	OPENSSL_free(der);
}

static int write_key(
	const struct unpacking *unpacking, struct pkcs12_content *content, struct err *err)
{
	uint8_t *der = NULL;
	int len = i2d_PrivateKey(unpacking->key, &der);

	if (len <= 0)
		return damaged(unpacking, err);
	content->key = (struct key_der){vault_alloc((size_t)len), (size_t)len, false};
	memcpy(content->key.bytes, der, (size_t)len);
	OPENSSL_clear_free(der, (size_t)len);
	return 0;
}

static int write_all(struct unpacking *unpacking, struct pkcs12_content *content, struct err *err)
{
	uint32_t n, i;

	if (!unpacking->key)
		return err_set(err, -EINVAL, "the PKCS#12 file %s holds no key", unpacking->path);
	if (!unpacking->n_certs)
		return err_set(
			err, -EINVAL, "the PKCS#12 file %s holds no certificate", unpacking->path);
	n = put_in_order(unpacking);
	if (!n)
		return err_set(err, -EINVAL,
			"the key in the PKCS#12 file %s belongs to no certificate in it",
			unpacking->path);
	for (i = 0; i < n; i++)
		write_cert(unpacking->certs[i], content);
	return write_key(unpacking, content, err);
}

static int unpack(const uint8_t *bytes, size_t len, struct unpacking *unpacking,
	struct pkcs12_content *content, struct err *err)
{
	PKCS12 *p12 = parse(bytes, len);
	uint32_t i;
	int r;

	r = p12 ? take_all(unpacking, p12, err) : damaged(unpacking, err);
	if (r == 0)
		r = write_all(unpacking, content, err);
	for (i = 0; i < unpacking->n_certs; i++)
		X509_free(unpacking->certs[i]);
	EVP_PKEY_free(unpacking->key);
	PKCS12_free(p12);
	ERR_clear_error();
	return r;
}

int pkcs12_read(const uint8_t *bytes, size_t len, const char *path,
	const struct key_password_source *password, struct pkcs12_content *ret_content,
	struct err *err)
{
	struct pkcs12_content content = {0};
	struct key_password asked;
	struct unpacking unpacking = {.path = path, .password = &asked};
	int r = key_password_ask(password, &asked, err);

	if (r == 0)
		r = unpack(bytes, len, &unpacking, &content, err);
	key_password_wipe(&asked);
	if (r < 0)
		pkcs12_content_fini(&content);
	else
		*ret_content = content;
	return r;
}

void pkcs12_content_fini(struct pkcs12_content *content)
{
	free(content->certs);
	key_der_fini(&content->key);
	*content = (struct pkcs12_content){0};
}
