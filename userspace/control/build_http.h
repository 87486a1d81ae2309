/* How a listener takes requests, of its configuration. Loader thread. */
#ifndef SLUICE_CONTROL_BUILD_HTTP_H
#define SLUICE_CONTROL_BUILD_HTTP_H

#include "control/config.h"
#include "proxy/http_terms.h"

/* Texts are the configuration's. */
struct http_terms build_http_terms(const struct config_listener *wanted);

#endif
