/* Health checks over HTTP/2: requests, and calls of gRPC. The probe does everything else. Control thread. */
#ifndef SLUICE_PROXY_PROBE_CALL_H
#define SLUICE_PROXY_PROBE_CALL_H

#include "proxy/probe.h"

/* The stream is up, or has something to say: may end the probe. */
void probe_call_proceed(struct probe *probe);
/* The time is over: true if the verdict was there, and the probe ended by it. */
bool probe_call_was_judged(struct probe *probe);
/* NULL: nothing to do. */
void probe_call_free(struct probe_call *call);

/* probe.c */
void probe_end(struct probe *probe, enum backend_reason reason, const char *detail);
/* The status of HTTP, or the code of gRPC, is one that counts as healthy. */
bool probe_is_good(const struct probe *probe, unsigned int code);
/* Of a name, and a port. */
enum { PROBE_HOST_BYTES = 272 };
const char *probe_host(const struct probe *probe, char text[static PROBE_HOST_BYTES]);

#endif
