/* OCSP requests and responses: see ocsp.h. */
#include "tls/ocsp.h"

#include "tls/cert_parts.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
	SKEW_S = 5 * 60, /* of the responder's clock */
	RETRY_FIRST_S = 5,
	RETRY_MAX_S = 3600,
	REST_S = 60, /* after a response that is old already */
};

/* A certificate and its issuer. */
struct couple {
	X509 *leaf;
	X509 *issuer; /* the chain's own */
};

static void couple_fini(struct couple *couple)
{
	X509_free(couple->leaf);
}

static X509 *issuer_of(const struct cert *cert, X509 *leaf)
{
	const STACK_OF(X509) *chain = cert->chain ? certchain_all(cert->chain) : NULL;
	int i;

	for (i = 0; i < sk_X509_num(chain); i++)
		if (X509_check_issued(sk_X509_value(chain, i), leaf) == X509_V_OK)
			return sk_X509_value(chain, i);
	return NULL;
}

static int couple_init(struct couple *couple, const struct cert *cert, struct err *err)
{
	const uint8_t *der = cert_record_leaf(&cert->record);

	ERR_clear_error();
	couple->leaf = d2i_X509(NULL, &der, cert->record.leaf_len);
	if (!couple->leaf)
		return err_set(err, -EINVAL, "the certificate is damaged");
	couple->issuer = issuer_of(cert, couple->leaf);
	if (couple->issuer)
		return 0;
	couple_fini(couple);
	return err_set(err, -EINVAL,
		"its issuer's certificate is missing: put it behind the certificate in its file");
}

/* --- asking */
static bool take_url(const ASN1_IA5STRING *uri, char *ret_url)
{
	const char *text = (const char *)ASN1_STRING_get0_data(uri);
	size_t i, len = (size_t)ASN1_STRING_length(uri);

	if (len >= STAPLE_URL_BYTES || len < 8 ||
		(strncasecmp(text, "http://", 7) != 0 && strncasecmp(text, "https://", 8) != 0))
		return false;
	for (i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	memcpy(ret_url, text, len);
	ret_url[len] = '\0';
	return true;
}

static int find_responder(X509 *leaf, char *ret_url, struct err *err)
{
	AUTHORITY_INFO_ACCESS *places = X509_get_ext_d2i(leaf, NID_info_access, NULL, NULL);
	const ACCESS_DESCRIPTION *place;
	bool is_found = false;
	int i;

	for (i = 0; i < sk_ACCESS_DESCRIPTION_num(places) && !is_found; i++) {
		place = sk_ACCESS_DESCRIPTION_value(places, i);
		is_found = OBJ_obj2nid(place->method) == NID_ad_OCSP &&
			   place->location->type == GEN_URI &&
			   take_url(place->location->d.uniformResourceIdentifier, ret_url);
	}
	AUTHORITY_INFO_ACCESS_free(places);
	if (is_found)
		return 0;
	return err_set(err, -EINVAL, "it names no OCSP responder: its CA has none");
}

/* SHA-1 names the certificate, as every responder knows it (RFC 5019 2.1.1); nothing rests on it. */
static int make_request(const struct couple *couple, uint8_t **ret_der, size_t *ret_len)
{
	OCSP_REQUEST *request = OCSP_REQUEST_new();
	OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), couple->leaf, couple->issuer);
	uint8_t *der = NULL;
	int len = -1;

	if (request && id && OCSP_request_add0_id(request, id)) {
		id = NULL; /* the request's */
		len = i2d_OCSP_REQUEST(request, &der);
	}
	OCSP_CERTID_free(id);
	OCSP_REQUEST_free(request);
	if (len <= 0)
		return -ENOMEM;
	*ret_der = malloc((size_t)len);
	if (*ret_der)
		memcpy(*ret_der, der, (size_t)len);
	*ret_len = (size_t)len;
	OPENSSL_free(der);
	return *ret_der ? 0 : -ENOMEM;
}

int ocsp_responder(const struct cert *cert, char *ret_url, struct err *err)
{
	struct couple couple = {0};
	int r = couple_init(&couple, cert, err);

	if (r < 0)
		return r;
	r = find_responder(couple.leaf, ret_url, err);
	couple_fini(&couple);
	ERR_clear_error();
	return r;
}

int ocsp_request(
	const struct cert *cert, uint8_t **ret_der, size_t *ret_len, char *ret_url, struct err *err)
{
	struct couple couple = {0};
	int r = couple_init(&couple, cert, err);

	if (r < 0)
		return r;
	r = find_responder(couple.leaf, ret_url, err);
	if (r == 0 && make_request(&couple, ret_der, ret_len) < 0)
		r = err_set(err, -ENOMEM, "no OCSP request can be made: no memory");
	couple_fini(&couple);
	ERR_clear_error();
	return r;
}

/* --- judging */
static int decode(const uint8_t *der, size_t len, OCSP_BASICRESP **ret_basic, struct err *err)
{
	const uint8_t *at = der;
	OCSP_RESPONSE *response;
	int status;

	if (len > STAPLE_BYTES_MAX)
		return err_set(
			err, -EINVAL, "the OCSP response has more than %d bytes", STAPLE_BYTES_MAX);
	response = d2i_OCSP_RESPONSE(NULL, &at, (long)len);
	if (!response || at != der + len) {
		OCSP_RESPONSE_free(response);
		return err_set(err, -EINVAL, "this is no OCSP response (in DER)");
	}
	status = OCSP_response_status(response);
	*ret_basic = status == OCSP_RESPONSE_STATUS_SUCCESSFUL ? OCSP_response_get1_basic(response)
							       : NULL;
	OCSP_RESPONSE_free(response);
	if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
		return err_set(err, -EINVAL, "the OCSP responder has no answer: %s",
			OCSP_response_status_str(status));
	return *ret_basic ? 0 : err_set(err, -EINVAL, "the OCSP response is of an unknown kind");
}

/* By the issuer, or by whom it gave the right to (RFC 6960 4.2.2.2). The issuer is trusted for this:
 * it is what the operator configured. */
static int check_signer(const struct couple *couple, OCSP_BASICRESP *basic, struct err *err)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509) *issuers = sk_X509_new_null();
	int r = -EINVAL;

	if (store && issuers && sk_X509_push(issuers, couple->issuer) &&
		X509_STORE_add_cert(store, couple->issuer) &&
		X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) &&
		OCSP_basic_verify(basic, issuers, store, OCSP_NOEXPLICIT) == 1)
		r = 0;
	sk_X509_free(issuers);
	X509_STORE_free(store);
	return r == 0 ? 0
		      : err_set(err, r,
				"the OCSP response is not signed by the certificate's CA (%s)",
				ERR_reason_error_string(ERR_peek_last_error()) ?: "no reason");
}

static bool is_about(const OCSP_SINGLERESP *single, const struct couple *couple)
{
	const OCSP_CERTID *said = OCSP_SINGLERESP_get0_id(single);
	ASN1_OBJECT *hash;
	OCSP_CERTID *ours;
	const EVP_MD *md;
	bool is_same;

	OCSP_id_get0_info(NULL, &hash, NULL, NULL, (OCSP_CERTID *)said);
	md = EVP_get_digestbyobj(hash);
	ours = md ? OCSP_cert_to_id(md, couple->leaf, couple->issuer) : NULL;
	is_same = ours && OCSP_id_cmp(ours, said) == 0;
	OCSP_CERTID_free(ours);
	return is_same;
}

static OCSP_SINGLERESP *find_single(OCSP_BASICRESP *basic, const struct couple *couple)
{
	int i, n = OCSP_resp_count(basic);

	for (i = 0; i < n; i++)
		if (is_about(OCSP_resp_get0(basic, i), couple))
			return OCSP_resp_get0(basic, i);
	return NULL;
}

static bool unix_s(const ASN1_GENERALIZEDTIME *time, int64_t *ret_unix_s)
{
	struct tm tm = {0};

	if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
		return false;
	*ret_unix_s = (int64_t)timegm(&tm);
	return true;
}

static int check_status(int status, struct err *err)
{
	if (status == V_OCSP_CERTSTATUS_GOOD)
		return 0;
	if (status == V_OCSP_CERTSTATUS_REVOKED)
		return err_set(err, -EKEYREVOKED, "its CA has revoked the certificate: replace it");
	return err_set(err, -EINVAL, "the OCSP responder does not know the certificate");
}

static int check_single(OCSP_SINGLERESP *single, int64_t now_unix_s, int64_t *ret_this,
	int64_t *ret_next, struct err *err)
{
	ASN1_GENERALIZEDTIME *this_update, *next_update;
	int r, reason;

	if (!single)
		return err_set(err, -EINVAL, "the OCSP response is about other certificates");
	r = check_status(
		OCSP_single_get0_status(single, &reason, NULL, &this_update, &next_update), err);
	if (r == -EINVAL)
		return r;
	if (!unix_s(this_update, ret_this))
		return err_set(err, -EINVAL, "the OCSP response does not say since when it holds");
	if (r < 0)
		return r;
	if (!unix_s(next_update, ret_next))
		return err_set(err, -EINVAL,
			"the OCSP response does not say how long it is good: it cannot be stapled");
	if (*ret_next <= now_unix_s)
		return err_set(err, -ETIME, "the OCSP response is out of date");
	if (*ret_this > now_unix_s + SKEW_S)
		return err_set(
			err, -EAGAIN, "the OCSP response is of the future: is the clock right?");
	return 0;
}

int ocsp_check(const struct cert *cert, const uint8_t *der, size_t len, int64_t now_unix_s,
	struct staple **ret_staple, int64_t *ret_this_update_unix_s, struct err *err)
{
	OCSP_BASICRESP *basic = NULL;
	int64_t this_update = 0, next_update = 0;
	struct couple couple = {0};
	int r = couple_init(&couple, cert, err);

	if (r < 0)
		return r;
	r = decode(der, len, &basic, err);
	if (r == 0)
		r = check_signer(&couple, basic, err);
	if (r == 0)
		r = check_single(
			find_single(basic, &couple), now_unix_s, &this_update, &next_update, err);
	if (r == 0 || r == -EKEYREVOKED)
		*ret_this_update_unix_s = this_update;
	if (r == 0)
		*ret_staple = staple_new(der, len, this_update, next_update);
	OCSP_BASICRESP_free(basic);
	couple_fini(&couple);
	ERR_clear_error();
	return r;
}

/* --- when */
static int64_t spread(int64_t seconds, uint32_t random)
{
	return seconds / 2 + (int64_t)((uint64_t)seconds * (random & 0xffff) / 0x10000);
}

int64_t ocsp_next_try_unix_s(
	const struct staple *staple, int64_t now_unix_s, uint32_t failures, uint32_t random)
{
	int64_t life_s, at_unix_s, pause_s = RETRY_FIRST_S;

	if (failures) {
		while (--failures && pause_s < RETRY_MAX_S)
			pause_s *= 2;
		return now_unix_s + 1 +
		       spread(pause_s < RETRY_MAX_S ? pause_s : RETRY_MAX_S, random);
	}
	if (!staple)
		return now_unix_s;
	life_s = staple->next_update_unix_s - staple->this_update_unix_s;
	at_unix_s = staple->this_update_unix_s + life_s * 2 / 5 +
		    (int64_t)((uint64_t)(life_s / 5) * (random & 0xffff) / 0x10000);
	return at_unix_s > now_unix_s + REST_S ? at_unix_s : now_unix_s + REST_S;
}
