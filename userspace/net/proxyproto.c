/*
 * The PROXY protocol: see proxyproto.h. Here: telling a header from other bytes, and version 1
 * (one line of text). Version 2 is in proxyproto_v2.c.
 */
#include "net/proxyproto.h"
#include "net/proxyproto_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char v1_signature[] = {'P', 'R', 'O', 'X', 'Y', ' '};

/* What is left of a line while it is read from left to right. */
struct cursor {
	const char *at, *end;
};

static int malformed(struct err *err, const char *what)
{
	return err_set(err, -EPROTO, "malformed PROXY header: %s", what);
}

/* 1: the bytes begin with the signature; -EAGAIN: as far as they go; -ENOMSG: they do not. */
static int begins_with(const void *bytes, size_t len, const void *signature, size_t signature_len)
{
	size_t n = len < signature_len ? len : signature_len;

	if (n && memcmp(bytes, signature, n) != 0)
		return -ENOMSG;
	return n == signature_len ? 1 : -EAGAIN;
}

/* Takes the bytes up to the next space or, for the last field, up to the end of the line. */
static bool take_field(struct cursor *line, bool last, struct slice *ret_field)
{
	size_t len = (size_t)(line->end - line->at);
	const char *space = memchr(line->at, ' ', len);

	if (last != !space)
		return false;
	*ret_field = (struct slice){line->at, space ? (size_t)(space - line->at) : len};
	line->at += ret_field->len + (space ? 1 : 0);
	return true;
}

static bool parse_host(struct slice text, int family, union addr *ret_addr)
{
	char host[INET6_ADDRSTRLEN];

	if (text.len >= sizeof(host))
		return false;
	memcpy(host, text.ptr, text.len);
	host[text.len] = '\0';
	ret_addr->any.sa_family = (sa_family_t)family;
	return inet_pton(family, host,
		       family == AF_INET6 ? (void *)&ret_addr->v6.sin6_addr
					  : (void *)&ret_addr->v4.sin_addr) == 1;
}

/* Decimal, 0 to 65535, no leading zero. */
static bool parse_port(struct slice text, union addr *ret_addr)
{
	uint32_t port = 0;
	size_t i;

	if (!text.len || text.len > 5 || (text.ptr[0] == '0' && text.len > 1))
		return false;
	for (i = 0; i < text.len; i++) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		port = port * 10 + (uint32_t)(text.ptr[i] - '0');
	}
	if (port > UINT16_MAX)
		return false;
	addr_port_set(ret_addr, (uint16_t)port);
	return true;
}

/* "SOURCE DESTINATION PORT PORT", the line after "PROXY TCPx ". */
static int v1_parse_addrs(
	struct cursor line, int family, struct proxyproto *header, struct err *err)
{
	struct slice src, dst, src_port, dst_port;

	if (!take_field(&line, false, &src) || !take_field(&line, false, &dst) ||
		!take_field(&line, false, &src_port) || !take_field(&line, true, &dst_port))
		return malformed(err, "not two addresses and two ports with one space between");
	if (!parse_host(src, family, &header->src) || !parse_host(dst, family, &header->dst))
		return malformed(err, "not an address of the family named");
	if (!parse_port(src_port, &header->src) || !parse_port(dst_port, &header->dst))
		return malformed(err, "not a port number");
	header->has_addrs = true;
	return 0;
}

/* The line without its CR LF. */
static int v1_parse_line(const char *text, size_t len, struct proxyproto *header, struct err *err)
{
	static const struct slice unknown = SLICE("PROXY UNKNOWN"), tcp = SLICE("PROXY TCP");
	struct cursor rest;
	int family;

	if (len >= unknown.len && memcmp(text, unknown.ptr, unknown.len) == 0) {
		if (len > unknown.len && text[unknown.len] != ' ')
			return malformed(err, "unknown protocol");
		return 0;
	}
	if (len < tcp.len + 2 || memcmp(text, tcp.ptr, tcp.len) != 0 || text[tcp.len + 1] != ' ')
		return malformed(err, "unknown protocol");
	if (text[tcp.len] != '4' && text[tcp.len] != '6')
		return malformed(err, "unknown protocol");
	family = text[tcp.len] == '4' ? AF_INET : AF_INET6;
	rest = (struct cursor){text + tcp.len + 2, text + len};
	return v1_parse_addrs(rest, family, header, err);
}

/* The length of the line without CR LF, -EAGAIN if its end is not there yet, -EPROTO. */
static int v1_line_len(const char *text, size_t len, struct err *err)
{
	size_t i, max = len < PROXYPROTO_V1_BYTES_MAX ? len : PROXYPROTO_V1_BYTES_MAX;

	for (i = 0; i < max && text[i] >= ' ' && text[i] <= '~'; i++)
		;
	if (i + 1 < max && text[i] == '\r' && text[i + 1] == '\n')
		return (int)i;
	if (max == PROXYPROTO_V1_BYTES_MAX && i + 1 >= max)
		return malformed(err, "no end of line within 107 bytes");
	if (i == max || (i + 1 == max && text[i] == '\r'))
		return -EAGAIN;
	return malformed(err, "a byte that is not printable ASCII");
}

static int v1_parse(const char *text, size_t len, struct proxyproto *ret_header, struct err *err)
{
	struct proxyproto header = {.version = 1};
	int line_len, r;

	line_len = v1_line_len(text, len, err);
	if (line_len < 0)
		return line_len;
	r = v1_parse_line(text, (size_t)line_len, &header, err);
	if (r < 0)
		return r;
	*ret_header = header;
	return line_len + 2;
}

int proxyproto_parse(const void *bytes, size_t len, struct proxyproto *ret_header, struct err *err)
{
	int text, binary;

	/* The first byte already tells the two versions apart. */
	text = begins_with(bytes, len, v1_signature, sizeof(v1_signature));
	if (text > 0)
		return v1_parse(bytes, len, ret_header, err);
	binary = begins_with(bytes, len, proxyproto_v2_signature, PP2_SIGNATURE_BYTES);
	if (binary > 0)
		return proxyproto_v2_parse(bytes, len, ret_header, err);
	return text == -EAGAIN || binary == -EAGAIN ? -EAGAIN : -ENOMSG;
}

void proxyproto_pair(const struct proxyproto *header, union addr *ret_src, union addr *ret_dst)
{
	union addr *both[] = {ret_src, ret_dst};
	union addr v6;
	size_t i;

	*ret_src = header->src;
	*ret_dst = header->dst;
	if (ret_src->any.sa_family == ret_dst->any.sa_family)
		return;
	for (i = 0; i < array_len(both); i++) {
		v6 = (union addr){.v6.sin6_family = AF_INET6};
		addr_to_mapped(both[i], v6.v6.sin6_addr.s6_addr);
		addr_port_set(&v6, addr_port(both[i]));
		*both[i] = v6;
	}
}

int proxyproto_build_v1(const struct proxyproto *header, void *ret_bytes, size_t size)
{
	char line[PROXYPROTO_V1_BYTES_MAX + 1], src_text[ADDR_TEXT_BYTES],
		dst_text[ADDR_TEXT_BYTES];
	union addr src, dst;
	int len;

	if (header->is_local || !header->has_addrs) {
		len = snprintf(line, sizeof(line), "PROXY UNKNOWN\r\n");
	} else {
		proxyproto_pair(header, &src, &dst);
		len = snprintf(line, sizeof(line), "PROXY TCP%c %s %s %u %u\r\n",
			src.any.sa_family == AF_INET6 ? '6' : '4', addr_format_host(&src, src_text),
			addr_format_host(&dst, dst_text), addr_port(&src), addr_port(&dst));
	}
	if (len >= (int)sizeof(line) || (size_t)len > size)
		return -ENOBUFS;
	memcpy(ret_bytes, line, (size_t)len);
	return len;
}
