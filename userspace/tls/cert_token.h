/*
 * Certificates whose keys are in tokens (PKCS#11): what makes one bad may pass. The thread for tokens
 * opens the key, which hangs on the certificate from then on; whoever signs takes a count. Any thread.
 */
#ifndef SLUICE_TLS_CERT_TOKEN_H
#define SLUICE_TLS_CERT_TOKEN_H

#include <stdbool.h>

struct cert;
struct evp_pkey_st;
struct key;

bool cert_is_in_token(const struct cert *cert);
/* Its token did not sign with this key: it is bad from now on. False: it has another one by now. */
bool cert_token_failed(struct cert *cert, const struct evp_pkey_st *used);
/* Has its token asked, and waits for nothing: the state tells what came of it, the log too. */
void cert_token_ask(struct cert *cert);
/* Whether `key` (NULL: none) is what it has open; true for one that is in no token. */
bool cert_token_has(const struct cert *cert, const struct key *key);

#endif
