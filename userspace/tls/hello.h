/* What a ClientHello asks for, read out of OpenSSL's callback; borrowed from it. Any thread. */
#ifndef SLUICE_TLS_HELLO_H
#define SLUICE_TLS_HELLO_H

#include "core/attr.h"
#include "core/slice.h"
#include "tls/certstore.h"
#include <openssl/ssl.h>

/* The server name, empty if none was sent. False: the extension is malformed. */
bool hello_server_name(SSL *ssl, struct slice *ret_name) must_check;
/* Whether TLS 1.3 is offered (supported_versions). */
bool hello_offers_tls13(SSL *ssl);
/* What the client can verify; `now_unix_s` and `is_tls13` are the caller's. */
void hello_offer(SSL *ssl, struct cert_offer *ret_offer);

#endif
