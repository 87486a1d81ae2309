/* What a ClientHello asks for, read out of OpenSSL's callback; borrowed from it. Any thread. */
#ifndef SLUICE_TLS_HELLO_H
#define SLUICE_TLS_HELLO_H

#include "core/attr.h"
#include "core/slice.h"
#include "tls/certoffer.h"
#include "tls/policy.h"
#include <openssl/ssl.h>

/* The server name, empty if none was sent. False: the extension is malformed. */
bool hello_server_name(SSL *ssl, struct slice *ret_name) must_check;
/* The version of TLS that will be agreed on; 0: none. */
uint16_t hello_version(SSL *ssl, const struct tls_policy *policy);
/* What the client can verify; `policy`, `version` and `now_unix_s` are the caller's. */
void hello_offer(SSL *ssl, struct cert_offer *ret_offer);

#endif
