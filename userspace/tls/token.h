/*
 * Private keys that stay in a PKCS#11 token (an HSM, a smart card, SoftHSM), named by a URI (RFC 7512)
 * and used through OpenSSL's provider "pkcs11". The provider lives in a library context of its own:
 * nothing else is ever taken from it. Any thread, but keys are opened on the thread for tokens alone
 * (token_thread.h); whoever signs waits for the token.
 */
#ifndef SLUICE_TLS_TOKEN_H
#define SLUICE_TLS_TOKEN_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stdint.h>

struct evp_pkey_st;

/* "pkcs11:..." */
bool token_is_uri(const char *text);
/* Which PKCS#11 module (a shared library) is used when the first key is opened; NULL: the one that the
 * provider is configured with. Without effect after that. */
void token_set_module(const char *path);
struct token_pin {
	const char *text; /* "": none */
	uint64_t identity; /* of the file that it is from; 0: from elsewhere */
};

/* Opens a key and has it sign something, which shows that it can be used. 0, with a warning or an empty
 * text; or with a sentence: -ENOKEY: no
 * token that is there has it; -EACCES: the token has refused this PIN, and is not asked again before the PIN
 * or its file is another one (after a few it locks itself); -EIO: it does not sign; -ENOPKG: no library. */
int token_open_key(const char *uri, const struct token_pin *pin, struct evp_pkey_st **ret_key,
	struct err *err) must_check;

#endif
