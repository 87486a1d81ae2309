/* The bytes of the PROXY protocol's version 2, and the seam between the files of proxyproto. */
#ifndef SLUICE_NET_PROXYPROTO_WIRE_H
#define SLUICE_NET_PROXYPROTO_WIRE_H

#include "net/proxyproto.h"

enum {
	PP2_SIGNATURE_BYTES = 12,
	PP2_FIXED_BYTES = 16, /* signature, version and command, family and transport, length */
	PP2_INET_BYTES = 12,
	PP2_INET6_BYTES = 36,
	PP2_UNIX_BYTES = 216,
	PP2_TLV_BYTES = 3, /* type, length */
};

extern const uint8_t proxyproto_v2_signature[PP2_SIGNATURE_BYTES];

/* As proxyproto_parse(), for bytes that begin with the whole signature. */
int proxyproto_v2_parse(const uint8_t *bytes, size_t len, struct proxyproto *ret_header,
	struct err *err) must_check;

/* The addresses of `header` in one family: both IPv4, or both IPv6 (IPv4 as v4-mapped). */
void proxyproto_pair(const struct proxyproto *header, union addr *ret_src, union addr *ret_dst);

#endif
