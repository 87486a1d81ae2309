/* The TLS library this program runs with. Any thread. */
#ifndef SLUICE_TLS_LIBRARY_H
#define SLUICE_TLS_LIBRARY_H

/* "OpenSSL 3.5.1 1 Jul 2025": of the library that is loaded, not of its headers. Static. */
const char *tls_library_version(void);

#endif
