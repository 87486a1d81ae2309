/* The PROXY header we send to a target on behalf of a client. Any thread. */
#ifndef SLUICE_PROXY_PROXY_OUT_H
#define SLUICE_PROXY_PROXY_OUT_H

#include "proxy/upstream.h"

/* *ret_header is malloced; 0 or -ENOMEM, -ENOBUFS. Version 2 carries the TLS facts as TLVs. */
int proxy_out_build(enum proxy_out version, const struct upstream_client *client,
	uint8_t **ret_header, uint16_t *ret_len) must_check;

#endif
