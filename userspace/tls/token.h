/*
 * Private keys that stay in a PKCS#11 token (an HSM, a smart card, SoftHSM), named by a URI (RFC 7512)
 * and used through OpenSSL's provider "pkcs11". The provider lives in a library context of its own:
 * nothing else is ever taken from it. Any thread; opening a key and signing wait for the token.
 */
#ifndef SLUICE_TLS_TOKEN_H
#define SLUICE_TLS_TOKEN_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>

struct evp_pkey_st;

/* "pkcs11:..." */
bool token_is_uri(const char *text);
/* Which PKCS#11 module (a shared library) is used when the first key is opened; NULL: the one that the
 * provider is configured with. Without effect after that. */
void token_set_module(const char *path);
/* Opens a key and has it sign something, which shows that it can be used. `pin` may be NULL. 0, or
 * -EINVAL with a sentence: the token is not there, the PIN is wrong, there is no such key. */
int token_open_key(
	const char *uri, const char *pin, struct evp_pkey_st **ret_key, struct err *err) must_check;

#endif
