/* Whether the parts of an RSA key belong together. Any thread. */
#ifndef SLUICE_TLS_KEYS_RSA_H
#define SLUICE_TLS_KEYS_RSA_H

#include <stdbool.h>

struct evp_pkey_st;

/* RFC 8017 section 3.2, but that the factors are prime: damage does not get past n = p * q. 50 us. True
 * too of a key that does not have them all. */
bool keys_rsa_is_whole(const struct evp_pkey_st *pkey);

#endif
