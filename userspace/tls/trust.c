/* Trust stores: see trust.h. Files are read by trust_files.c. */
#include "tls/trust_parts.h"

#include "core/mem.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void ca_fini(struct tls_trust_ca *ca)
{
	free(ca->subject);
	free(ca->issuer);
	free(ca->serial_hex);
	free(ca->fingerprint_sha256);
}

static void crl_fini(struct trust_crl *crl, struct tls_trust_crl *facts)
{
	free(facts->path);
	free(facts->issuer);
	free(facts->number_hex);
	X509_NAME_free(crl->issuer);
	crl_table_fini(&crl->table);
}

static void trust_free(struct tls_trust *trust)
{
	size_t i;

	for (i = 0; i < trust->n_cas; i++) {
		X509_free(trust->cas[i]);
		ca_fini(&trust->ca_facts[i]);
	}
	for (i = 0; i < trust->n_crls; i++)
		crl_fini(&trust->crls[i], &trust->crl_facts[i]);
	X509_STORE_free(trust->store);
	free(trust->cas);
	free(trust->ca_digests);
	free(trust->ca_table);
	free(trust->ca_facts);
	free(trust->crls);
	free(trust->crl_facts);
	free(trust->repeats);
	free(trust);
}

struct tls_trust *tls_trust_get(struct tls_trust *trust)
{
	atomic_fetch_add_explicit(&trust->refs, 1, memory_order_relaxed);
	return trust;
}

void tls_trust_put(struct tls_trust *trust)
{
	if (trust && atomic_fetch_sub_explicit(&trust->refs, 1, memory_order_acq_rel) == 1)
		trust_free(trust);
}

int tls_trust_load(const struct tls_trust_spec *spec, struct tls_trust **ret_trust, struct err *err)
{
	struct tls_trust *trust = mem_zalloc(sizeof(*trust));
	size_t i;
	int r;

	atomic_init(&trust->refs, 1);
	trust->store = X509_STORE_new();
	trust->digest = EVP_MD_CTX_new();
	if (!trust->store || !trust->digest ||
		!EVP_DigestInit_ex(trust->digest, EVP_sha256(), NULL))
		abort(); /* out of memory, at the control side */
	r = trust_read_cas(trust, spec, err);
	for (i = 0; r == 0 && i < spec->n_crls; i++)
		r = trust_read_crls(trust, spec->crl_paths[i], spec->ca_path, err);
	if (r == 0 && !EVP_DigestFinal_ex(trust->digest, trust->facts.digest, NULL))
		r = err_set(err, -ENOMEM, "out of memory");
	EVP_MD_CTX_free(trust->digest);
	trust->digest = NULL;
	if (r < 0) {
		tls_trust_put(trust);
		return r;
	}
	for (i = 0; i < trust->n_cas; i++)
		trust->ca_facts[i].is_revoked = tls_trust_is_revoked(trust, trust->cas[i]);
	trust->facts.cas = trust->ca_facts;
	trust->facts.n_cas = trust->n_cas;
	trust->facts.crls = trust->crl_facts;
	trust->facts.n_crls = trust->n_crls;
	*ret_trust = trust;
	return 0;
}

const struct tls_trust_facts *tls_trust_facts(const struct tls_trust *trust)
{
	return &trust->facts;
}

/* The warnings are numbered: CAs that are there twice, then each CA, then each CRL. */
static bool warn_ca(const struct tls_trust_ca *ca, int64_t now_unix_s, struct err *ret_text)
{
	if (ca->is_revoked)
		err_set(ret_text, 0,
			"line %u: the CA %s is revoked by a CRL of its issuer: nobody is let in by it",
			ca->line, ca->subject);
	else if (ca->not_after_unix_s < now_unix_s)
		err_set(ret_text, 0,
			"line %u: the CA %s is expired: nobody is let in by it, take it out",
			ca->line, ca->subject);
	else if (ca->not_before_unix_s > now_unix_s)
		err_set(ret_text, 0,
			"line %u: the CA %s is not valid yet: nobody is let in by it until then",
			ca->line, ca->subject);
	else
		return false;
	return true;
}

static bool warn_crl(const struct tls_trust_crl *crl, int64_t now_unix_s, struct err *ret_text)
{
	if (!tls_trust_crl_is_stale(crl, now_unix_s))
		return false;
	err_set(ret_text, 0,
		"%s: the CRL of %s is out of date since %lld days: what it revokes stays revoked, "
		"what was revoked since is not known",
		crl->path, crl->issuer,
		(long long)(now_unix_s - crl->next_update_unix_s) / (24 * 3600));
	return true;
}

bool tls_trust_warning(
	const struct tls_trust *trust, int64_t now_unix_s, uint32_t *cursor, struct err *ret_text)
{
	size_t at;

	while ((at = (*cursor)++) < trust->n_repeats + trust->n_cas + trust->n_crls) {
		if (at < trust->n_repeats) {
			err_set(ret_text, 0, "line %u: this CA is in the bundle twice",
				trust->repeats[at]);
			return true;
		}
		at -= trust->n_repeats;
		if (at < trust->n_cas ? warn_ca(&trust->ca_facts[at], now_unix_s, ret_text)
				      : warn_crl(&trust->crl_facts[at - trust->n_cas], now_unix_s,
						ret_text))
			return true;
	}
	return false;
}

uint32_t tls_trust_n_over(const struct tls_trust *trust, int64_t now_unix_s)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < trust->n_cas; i++)
		n += trust->ca_facts[i].not_after_unix_s < now_unix_s;
	for (i = 0; i < trust->n_crls; i++)
		n += tls_trust_crl_is_stale(&trust->crl_facts[i], now_unix_s);
	return n;
}

/* --- CAs by their digests: thousands are compared with thousands */
enum { FIRST_SLOTS = 64 };

void trust_digest(const X509 *ca, uint8_t *ret_digest)
{
	if (!X509_digest(ca, EVP_sha256(), ret_digest, NULL))
		abort();
}

static uint32_t *slot_of(const struct tls_trust *trust, const uint8_t *digest)
{
	uint32_t at, number;

	memcpy(&at, digest, sizeof(at));
	for (at &= trust->ca_mask; (number = trust->ca_table[at]); at = (at + 1) & trust->ca_mask)
		if (!memcmp(trust->ca_digests[number - 1], digest, TLS_TRUST_DIGEST_BYTES))
			break;
	return &trust->ca_table[at];
}

bool trust_has_digest(const struct tls_trust *trust, const uint8_t *digest)
{
	return trust->ca_table && *slot_of(trust, digest);
}

static void grow_table(struct tls_trust *trust)
{
	uint32_t size = trust->ca_table ? 2 * (trust->ca_mask + 1) : FIRST_SLOTS, i;

	free(trust->ca_table);
	trust->ca_table = mem_zalloc(size * sizeof(*trust->ca_table));
	trust->ca_mask = size - 1;
	for (i = 0; i + 1 < trust->n_cas; i++)
		*slot_of(trust, trust->ca_digests[i]) = i + 1;
}

void trust_note_digest(struct tls_trust *trust, const uint8_t *digest)
{
	size_t n = trust->n_cas;

	trust->ca_digests = mem_realloc(trust->ca_digests, n * sizeof(*trust->ca_digests));
	memcpy(trust->ca_digests[n - 1], digest, TLS_TRUST_DIGEST_BYTES);
	if (!trust->ca_table || 2 * n > trust->ca_mask)
		grow_table(trust);
	*slot_of(trust, digest) = (uint32_t)n;
}

static bool has_same_crl(const struct tls_trust *trust, const struct trust_crl *crl)
{
	size_t i;

	for (i = 0; i < trust->n_crls; i++)
		if (memcmp(trust->crls[i].digest, crl->digest, sizeof(crl->digest)) == 0)
			return true;
	return false;
}

/* The list of this issuer that has the entry; NULL: none. */
static const struct trust_crl *find_revoking(
	const struct tls_trust *trust, const X509_NAME *issuer, const uint8_t *entry)
{
	size_t i;

	for (i = 0; i < trust->n_crls; i++)
		if (X509_NAME_cmp(trust->crls[i].issuer, issuer) == 0 &&
			crl_table_has_entry(&trust->crls[i].table, entry))
			return &trust->crls[i];
	return NULL;
}

/* The entries of a list were as a rule all in one list before. */
static bool revokes_more(const struct tls_trust *before, const struct trust_crl *crl)
{
	const struct trust_crl *last = NULL;
	const uint8_t *entry;
	uint32_t i;

	for (i = 0; i < crl->table.n; i++) {
		entry = crl_table_entry(&crl->table, i);
		if (last && crl_table_has_entry(&last->table, entry))
			continue;
		last = find_revoking(before, crl->issuer, entry);
		if (!last)
			return true;
	}
	return false;
}

bool tls_trust_is_tighter(const struct tls_trust *before, const struct tls_trust *now)
{
	size_t i;

	if (before == now)
		return false;
	for (i = 0; i < before->n_cas; i++)
		if (!trust_has_digest(now, before->ca_digests[i]))
			return true;
	for (i = 0; i < now->n_crls; i++)
		if (!has_same_crl(before, &now->crls[i]) && revokes_more(before, &now->crls[i]))
			return true;
	return false;
}

X509_STORE *tls_trust_store(const struct tls_trust *trust)
{
	return trust->store;
}

bool tls_trust_is_revoked(const struct tls_trust *trust, X509 *cert)
{
	const X509_NAME *issuer = X509_get_issuer_name(cert);
	const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
	size_t i;

	if (X509_get_extension_flags(cert) & EXFLAG_SS) /* whoever holds its key signs the CRL */
		return false;
	for (i = 0; i < trust->n_crls; i++)
		if (X509_NAME_cmp(trust->crls[i].issuer, issuer) == 0 &&
			crl_table_has(&trust->crls[i].table, serial))
			return true;
	return false;
}

struct stack_st_X509_NAME *tls_trust_ca_names(const struct tls_trust *trust)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	X509_NAME *name;
	size_t i;

	for (i = 0; names && i < trust->n_cas; i++) {
		name = X509_NAME_dup(X509_get_subject_name(trust->cas[i]));
		if (name && sk_X509_NAME_push(names, name))
			continue;
		X509_NAME_free(name);
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return NULL;
	}
	return names;
}
