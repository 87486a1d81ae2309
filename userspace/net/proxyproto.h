/*
 * The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): which client a connection
 * is made for. Pure functions on bytes, no state, no memory of their own; any thread.
 *
 * Receiving: read what is there (peek, or into the connection's buffer), call proxyproto_parse()
 * on the bytes from the start of the connection, and take as many bytes off as it returns; on
 * -EAGAIN read more and call again with all of them. Every header fits PROXYPROTO_BYTES_MAX.
 */
#ifndef SLUICE_NET_PROXYPROTO_H
#define SLUICE_NET_PROXYPROTO_H

#include "core/err.h"
#include "core/slice.h"
#include "net/addr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROXYPROTO_BYTES_MAX = 4096, /* longer version 2 headers are refused */
	PROXYPROTO_V1_BYTES_MAX = 107,
};

/* Whom the connection is for. */
struct proxyproto {
	uint8_t version; /* 1 or 2; not looked at when building */
	/* LOCAL: the sender speaks for itself (a health check); no addresses. */
	bool is_local;
	/* False for LOCAL, UNKNOWN, unspecified and UNIX senders: go by the socket's addresses. */
	bool has_addrs;
	union addr src, dst; /* as sent: v4-mapped IPv6 stays IPv6 (addr_unmap); zero if none */
};

/*
 * Looks for a header in the first `len` bytes of a connection. Returns
 *  > 0      the length of the header, which is whole and sound;
 *  -EAGAIN  what is there may be the beginning of one: more bytes are needed;
 *  -ENOMSG  these bytes do not begin a header, whatever follows (a client that speaks directly);
 *  -EPROTO  they do, but it is malformed: close. `err` says why.
 * A verdict other than -EAGAIN never changes when more bytes come.
 */
int proxyproto_parse(
	const void *bytes, size_t len, struct proxyproto *ret_header, struct err *err) must_check;

/* PP2_TYPE_SSL: `client` flags. */
enum {
	PROXYPROTO_CLIENT_SSL = 0x01, /* the client spoke TLS */
	PROXYPROTO_CLIENT_CERT_CONN = 0x02, /* it showed a certificate on this connection */
	PROXYPROTO_CLIENT_CERT_SESS = 0x04, /* or on the one the session was resumed from */
};

/* What a version 2 header tells besides the addresses. Empty slices are left out. */
struct proxyproto_tlvs {
	struct slice alpn; /* the protocol's wire name: "h2" */
	struct slice authority; /* the server name the client asked for, UTF-8, at most 255 bytes */
	bool has_ssl; /* the six fields below */
	uint8_t ssl_client; /* PROXYPROTO_CLIENT_* */
	uint32_t ssl_verify; /* 0: the client's certificate was verified */
	struct slice ssl_version; /* "TLSv1.3" */
	struct slice ssl_cipher;
	struct slice ssl_cn; /* common name of the client's certificate, UTF-8 */
	struct slice ssl_key_alg; /* of our certificate: "EC256" */
	bool crc32c;
};

/*
 * Write a header to `ret_bytes` and return its length, or -ENOBUFS if it does not fit into `size`
 * or a field is too long. An IPv4 and an IPv6 address in one header are both sent as IPv6.
 * Version 1 has no LOCAL: it says UNKNOWN, as for a header without addresses.
 */
int proxyproto_build_v1(const struct proxyproto *header, void *ret_bytes, size_t size) must_check;
/* `tlvs` may be NULL. */
int proxyproto_build_v2(const struct proxyproto *header, const struct proxyproto_tlvs *tlvs,
	void *ret_bytes, size_t size) must_check;

#endif
