/*
 * OCSP (RFC 6960, RFC 5019) for our own certificates: what to ask whom, and whether an answer may be
 * stapled. Pure; any thread; tens to hundreds of microseconds.
 */
#ifndef SLUICE_TLS_OCSP_H
#define SLUICE_TLS_OCSP_H

#include "core/attr.h"
#include "core/err.h"
#include "tls/cert.h"
#include "tls/staple.h"
#include <stddef.h>
#include <stdint.h>

enum {
	STAPLE_URL_BYTES = 1024,
	STAPLE_BYTES_MAX = 16 * 1024, /* it goes into each handshake */
};

/* The responder that a request would be for: see the next one. */
int ocsp_responder(
	const struct cert *cert, char ret_url[static STAPLE_URL_BYTES], struct err *err) must_check;
/* A request for the state of the certificate, DER, to be freed; and the responder it names (the first
 * one with http:// or https://). -EINVAL: it names none, or its issuer is not in its file. */
int ocsp_request(const struct cert *cert, uint8_t **ret_der, size_t *ret_len,
	char ret_url[static STAPLE_URL_BYTES], struct err *err) must_check;
/*
 * A response that says the certificate is good, signed by its issuer or by whom that one let sign,
 * and in force at `now_unix_s`. -EKEYREVOKED: it says that it is revoked. -ETIME: it was good once.
 * -EAGAIN: it will be. -EINVAL: it is of no use. With 0 and -EKEYREVOKED it is known when that was said.
 */
int ocsp_check(const struct cert *cert, const uint8_t *der, size_t len, int64_t now_unix_s,
	struct staple **ret_staple, int64_t *ret_this_update_unix_s, struct err *err) must_check;

/* When a response is to be renewed: in the middle of its time, by chance sooner or later by a tenth
 * of it; after failures sooner and sooner apart. `random` is any number. */
int64_t ocsp_next_try_unix_s(
	const struct staple *staple, int64_t now_unix_s, uint32_t failures, uint32_t random);

#endif
