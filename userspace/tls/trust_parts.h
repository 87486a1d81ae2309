/* What the files of trust share; nobody else includes it. See trust.h. */
#ifndef SLUICE_TLS_TRUST_PARTS_H
#define SLUICE_TLS_TRUST_PARTS_H

#include "tls/crl.h"
#include "tls/trust.h"
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>

struct trust_crl {
	X509_NAME *issuer;
	struct crl_table table;
	uint8_t digest[TLS_TRUST_DIGEST_BYTES]; /* of what it says, not of when and how often */
};

/* The arrays of facts run beside those of what they are about. */
struct tls_trust {
	atomic_uint refs;
	X509_STORE *store; /* its CAs, nothing else */
	X509 **cas;
	struct tls_trust_ca *ca_facts;
	size_t n_cas;
	uint8_t (*ca_digests)[TLS_TRUST_DIGEST_BYTES]; /* SHA-256 of each */
	uint32_t *ca_table; /* of twice the size or more: number of a CA + 1, by its digest */
	uint32_t ca_mask;
	struct trust_crl *crls;
	struct tls_trust_crl *crl_facts;
	size_t n_crls;
	uint32_t *repeats; /* lines of CAs that were there already */
	uint32_t n_repeats;
	EVP_MD_CTX *digest; /* while loading */
	struct tls_trust_facts facts;
};

void trust_digest(const X509 *ca, uint8_t ret_digest[TLS_TRUST_DIGEST_BYTES]);
bool trust_has_digest(const struct tls_trust *trust, const uint8_t *digest);
/* The one that was added last: it is found from now on. */
void trust_note_digest(struct tls_trust *trust, const uint8_t *digest);

/* trust_files.c: each adds what a file has. 0, or -errno with a sentence. */
int trust_read_cas(
	struct tls_trust *trust, const struct tls_trust_spec *spec, struct err *err) must_check;
int trust_read_crls(
	struct tls_trust *trust, const char *path, const char *ca_path, struct err *err) must_check;

#endif
