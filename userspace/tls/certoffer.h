/* What a ClientHello says about certificates, and whether it can use a certain one. Any thread. */
#ifndef SLUICE_TLS_CERTOFFER_H
#define SLUICE_TLS_CERTOFFER_H

#include "tls/cert.h"
#include "tls/policy.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a ClientHello says the client can verify: code points of TLS, host byte order. Lists are
 * borrowed. An absent signature_algorithms extension is NULL: everything is assumed. */
struct cert_offer {
	const uint8_t *schemes;      /* signature_algorithms: two bytes each, big endian */
	size_t n_schemes;
	const uint8_t *cert_schemes; /* signature_algorithms_cert; NULL: as `schemes` */
	size_t n_cert_schemes;
	const uint8_t *ciphers; /* cipher suites, two bytes each, big endian */
	size_t n_ciphers;
	const uint8_t *groups; /* supported_groups, two bytes each; NULL: not sent */
	size_t n_groups;
	const struct tls_policy *policy; /* of the listener; NULL: the default one */
	uint16_t security_bits; /* that the listener needs: tls_policy_security_bits() */
	uint16_t version; /* of TLS, that will be agreed on; 0: TLS 1.2 */
	int64_t now_unix_s;
};

/* 0: the handshake cannot use it; 1: the client may doubt the CA's signature; 2: all is well. */
unsigned int certoffer_score(const struct cert_facts *facts, const struct cert_offer *offer);

#endif
