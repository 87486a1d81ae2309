/*
 * The PROXY protocol, version 2 (binary, with typed values): see proxyproto.h. The header is
 *   signature (12), version << 4 | command, family << 4 | transport, length of the rest (2),
 *   addresses of that family, then values: type (1), length (2), bytes.
 * Numbers are in network order. For LOCAL everything after the length is ignored, as the
 * specification asks.
 */
#include "net/proxyproto_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

const uint8_t proxyproto_v2_signature[PP2_SIGNATURE_BYTES] = {
	'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

enum { VERSION = 2, COMMAND_LOCAL = 0, COMMAND_PROXY = 1 };
enum { FAMILY_UNSPEC = 0, FAMILY_INET = 1, FAMILY_INET6 = 2, FAMILY_UNIX = 3 };
enum { TRANSPORT_UNSPEC = 0, TRANSPORT_STREAM = 1, TRANSPORT_DGRAM = 2 };
enum { CRC_BYTES = 4, AUTHORITY_BYTES_MAX = 255 };

enum {
	TYPE_ALPN = 0x01,
	TYPE_AUTHORITY = 0x02,
	TYPE_CRC32C = 0x03,
	TYPE_SSL = 0x20,
	SUBTYPE_SSL_VERSION = 0x21,
	SUBTYPE_SSL_CN = 0x22,
	SUBTYPE_SSL_CIPHER = 0x23,
	SUBTYPE_SSL_KEY_ALG = 0x25,
};

static const uint8_t no_crc[CRC_BYTES];

static uint32_t get16(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 8 | bytes[1];
}

static void put16(uint8_t *ret_bytes, size_t value)
{
	ret_bytes[0] = (uint8_t)(value >> 8);
	ret_bytes[1] = (uint8_t)value;
}

static void put32(uint8_t *ret_bytes, uint32_t value)
{
	put16(ret_bytes, value >> 16);
	put16(ret_bytes + 2, value & 0xffff);
}

/* CRC-32C (RFC 3720 appendix B.4), four bits a step; start with UINT32_MAX, invert at the end. */
static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t len)
{
	static const uint32_t steps[16] = {0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1,
		0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6,
		0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
	size_t i;

	for (i = 0; i < len; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ steps[crc & 15];
		crc = crc >> 4 ^ steps[crc & 15];
	}
	return crc;
}

/* Of a whole header, the four bytes at `crc_at` taken as zero. */
static uint32_t header_crc(const uint8_t *bytes, size_t len, size_t crc_at)
{
	uint32_t crc = crc32c(UINT32_MAX, bytes, crc_at);

	crc = crc32c(crc, no_crc, CRC_BYTES);
	return ~crc32c(crc, bytes + crc_at + CRC_BYTES, len - crc_at - CRC_BYTES);
}

/* --- reading */

static int malformed(struct err *err, const char *what)
{
	return err_set(err, -EPROTO, "malformed PROXY header: %s", what);
}

/* The bytes of addresses that `family` brings, or -1. */
static int addrs_len(uint8_t family)
{
	static const int lens[] = {[FAMILY_UNSPEC] = 0,
		[FAMILY_INET] = PP2_INET_BYTES,
		[FAMILY_INET6] = PP2_INET6_BYTES,
		[FAMILY_UNIX] = PP2_UNIX_BYTES};

	return family < array_len(lens) ? lens[family] : -1;
}

static void read_addrs(const uint8_t *bytes, uint8_t family, struct proxyproto *header)
{
	const uint8_t *ports;

	if (family == FAMILY_INET) {
		header->src.v4.sin_family = header->dst.v4.sin_family = AF_INET;
		memcpy(&header->src.v4.sin_addr, bytes, 4);
		memcpy(&header->dst.v4.sin_addr, bytes + 4, 4);
		ports = bytes + 8;
	} else {
		header->src.v6.sin6_family = header->dst.v6.sin6_family = AF_INET6;
		memcpy(&header->src.v6.sin6_addr, bytes, 16);
		memcpy(&header->dst.v6.sin6_addr, bytes + 16, 16);
		ports = bytes + 32;
	}
	addr_port_set(&header->src, (uint16_t)get16(ports));
	addr_port_set(&header->dst, (uint16_t)get16(ports + 2));
	header->has_addrs = true;
}

/* Walks the values from `at` to the end of the header; a checksum among them must be right. */
static int check_values(const uint8_t *bytes, size_t len, size_t at, struct err *err)
{
	size_t value_len, crc_at = 0;

	while (at < len) {
		if (len - at < PP2_TLV_BYTES)
			return malformed(err, "a value is cut off");
		value_len = get16(bytes + at + 1);
		if (value_len > len - at - PP2_TLV_BYTES)
			return malformed(err, "a value is longer than the header");
		if (bytes[at] == TYPE_CRC32C) {
			if (crc_at || value_len != CRC_BYTES)
				return malformed(err, "not one checksum of four bytes");
			crc_at = at + PP2_TLV_BYTES;
		}
		at += PP2_TLV_BYTES + value_len;
	}
	if (crc_at && header_crc(bytes, len, crc_at) !=
			      (get16(bytes + crc_at) << 16 | get16(bytes + crc_at + 2)))
		return malformed(err, "wrong checksum");
	return 0;
}

/* The first 16 bytes: what kind of header, and how long. */
static int read_fixed(const uint8_t *bytes, size_t len, size_t *ret_total, struct err *err)
{
	uint8_t command, family;

	if (len > 12 && (bytes[12] >> 4 != VERSION || (bytes[12] & 15) > COMMAND_PROXY))
		return malformed(err, "unknown version or command");
	if (len < PP2_FIXED_BYTES)
		return -EAGAIN;
	command = bytes[12] & 15;
	family = bytes[13] >> 4;
	*ret_total = PP2_FIXED_BYTES + get16(bytes + 14);
	if (*ret_total > PROXYPROTO_BYTES_MAX)
		return malformed(err, "longer than 4096 bytes");
	if (command == COMMAND_LOCAL)
		return 0;
	if (addrs_len(family) < 0 || (bytes[13] & 15) > TRANSPORT_DGRAM)
		return malformed(err, "unknown address family or transport");
	if (*ret_total < PP2_FIXED_BYTES + (size_t)addrs_len(family))
		return malformed(err, "too short for its addresses");
	return 0;
}

int proxyproto_v2_parse(
	const uint8_t *bytes, size_t len, struct proxyproto *ret_header, struct err *err)
{
	struct proxyproto header = {.version = VERSION};
	size_t total = 0;
	uint8_t family;
	int r;

	r = read_fixed(bytes, len, &total, err);
	if (r < 0)
		return r;
	if (len < total)
		return -EAGAIN;
	header.is_local = (bytes[12] & 15) == COMMAND_LOCAL;
	family = bytes[13] >> 4;
	if (!header.is_local) {
		r = check_values(bytes, total, PP2_FIXED_BYTES + (size_t)addrs_len(family), err);
		if (r < 0)
			return r;
		if ((family == FAMILY_INET || family == FAMILY_INET6) &&
			(bytes[13] & 15) != TRANSPORT_UNSPEC)
			read_addrs(bytes + PP2_FIXED_BYTES, family, &header);
	}
	*ret_header = header;
	return (int)total;
}

/* --- writing: a writer that ran out of room stays so; asked once, at the end */

struct writer {
	uint8_t *bytes;
	size_t len, size;
	bool overflow;
};

/* Room for `len` bytes, or NULL. */
static uint8_t *reserve(struct writer *writer, size_t len)
{
	uint8_t *at = writer->bytes + writer->len;

	if (writer->overflow || len > writer->size - writer->len) {
		writer->overflow = true;
		return NULL;
	}
	writer->len += len;
	return at;
}

static void write_bytes(struct writer *writer, const void *bytes, size_t len)
{
	uint8_t *at = reserve(writer, len);

	if (at && len)
		memcpy(at, bytes, len);
}

static void write_value(struct writer *writer, uint8_t type, struct slice value)
{
	uint8_t *at = reserve(writer, PP2_TLV_BYTES);

	if (!at)
		return;
	at[0] = type;
	put16(at + 1, value.len);
	write_bytes(writer, value.ptr, value.len);
	if (value.len > UINT16_MAX)
		writer->overflow = true;
}

static void write_value_if_any(struct writer *writer, uint8_t type, struct slice value)
{
	if (value.len)
		write_value(writer, type, value);
}

/* PP2_TYPE_SSL holds flags, the verification's result, and values of its own. */
static void write_ssl(struct writer *writer, const struct proxyproto_tlvs *tlvs)
{
	uint8_t *at = reserve(writer, PP2_TLV_BYTES + 5);
	size_t start = writer->len - 5;

	if (!at)
		return;
	at[0] = TYPE_SSL;
	at[PP2_TLV_BYTES] = tlvs->ssl_client;
	put32(at + PP2_TLV_BYTES + 1, tlvs->ssl_verify);
	write_value_if_any(writer, SUBTYPE_SSL_VERSION, tlvs->ssl_version);
	write_value_if_any(writer, SUBTYPE_SSL_CN, tlvs->ssl_cn);
	write_value_if_any(writer, SUBTYPE_SSL_CIPHER, tlvs->ssl_cipher);
	write_value_if_any(writer, SUBTYPE_SSL_KEY_ALG, tlvs->ssl_key_alg);
	put16(at + 1, writer->len - start);
}

/* Returns where the checksum belongs, 0 without one. */
static size_t write_values(struct writer *writer, const struct proxyproto_tlvs *tlvs)
{
	write_value_if_any(writer, TYPE_ALPN, tlvs->alpn);
	write_value_if_any(writer, TYPE_AUTHORITY, tlvs->authority);
	if (tlvs->authority.len > AUTHORITY_BYTES_MAX)
		writer->overflow = true;
	if (tlvs->has_ssl)
		write_ssl(writer, tlvs);
	if (!tlvs->crc32c)
		return 0;
	write_value(writer, TYPE_CRC32C, (struct slice){(const char *)no_crc, CRC_BYTES});
	return writer->len - CRC_BYTES;
}

/* Returns family and transport, as in the header. */
static uint8_t write_addrs(struct writer *writer, const struct proxyproto *header)
{
	union addr src, dst;
	bool is_v6;

	if (header->is_local || !header->has_addrs)
		return FAMILY_UNSPEC << 4 | TRANSPORT_UNSPEC;
	proxyproto_pair(header, &src, &dst);
	is_v6 = src.any.sa_family == AF_INET6;
	if (is_v6) {
		write_bytes(writer, &src.v6.sin6_addr, sizeof(src.v6.sin6_addr));
		write_bytes(writer, &dst.v6.sin6_addr, sizeof(dst.v6.sin6_addr));
	} else {
		write_bytes(writer, &src.v4.sin_addr, sizeof(src.v4.sin_addr));
		write_bytes(writer, &dst.v4.sin_addr, sizeof(dst.v4.sin_addr));
	}
	write_bytes(writer, &(uint16_t){htons(addr_port(&src))}, 2);
	write_bytes(writer, &(uint16_t){htons(addr_port(&dst))}, 2);
	return (uint8_t)((is_v6 ? FAMILY_INET6 : FAMILY_INET) << 4 | TRANSPORT_STREAM);
}

int proxyproto_build_v2(const struct proxyproto *header, const struct proxyproto_tlvs *tlvs,
	void *ret_bytes, size_t size)
{
	struct writer writer = {.bytes = ret_bytes,
		.size = size < PROXYPROTO_BYTES_MAX ? size : PROXYPROTO_BYTES_MAX};
	uint8_t *bytes = ret_bytes, family;
	size_t crc_at = 0;

	write_bytes(&writer, proxyproto_v2_signature, PP2_SIGNATURE_BYTES);
	if (!reserve(&writer, PP2_FIXED_BYTES - PP2_SIGNATURE_BYTES))
		return -ENOBUFS;
	family = write_addrs(&writer, header);
	/* After LOCAL nothing is read, so nothing is written. */
	if (tlvs && !header->is_local)
		crc_at = write_values(&writer, tlvs);
	if (writer.overflow)
		return -ENOBUFS;
	bytes[12] = VERSION << 4 | (header->is_local ? COMMAND_LOCAL : COMMAND_PROXY);
	bytes[13] = family;
	put16(bytes + 14, writer.len - PP2_FIXED_BYTES);
	if (crc_at)
		put32(bytes + crc_at, header_crc(bytes, writer.len, crc_at));
	return (int)writer.len;
}
