/* Alt-Svc (RFC 7838): is a value that somebody configured one? Pure. */
#ifndef SLUICE_HTTP_ALT_SVC_H
#define SLUICE_HTTP_ALT_SVC_H

#include "core/slice.h"
#include <stdbool.h>

/* "clear", or alternatives like: h3=":443"; ma=86400, h2="www.example.com:8443". */
bool alt_svc_is_good(struct slice value);

#endif
