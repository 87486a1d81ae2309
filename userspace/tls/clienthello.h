/*
 * The first flight of a TLS connection: one or more plaintext handshake records that hold exactly
 * one ClientHello (RFC 8446 4.1.2 and 5.1, RFC 5246 7.4.1.2). Pure functions on bytes: no memory of
 * their own, no TLS library; any thread. As strict as the handshake that follows, or stricter; what
 * clients send today, GREASE (RFC 8701) and encrypted hellos included, passes.
 */
#ifndef SLUICE_TLS_CLIENTHELLO_H
#define SLUICE_TLS_CLIENTHELLO_H

#include "core/attr.h"
#include "core/slice.h"
#include "tls/server.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	CLIENTHELLO_SERVER_NAME_MAX = 253, /* RFC 1035, without the trailing dot */
	CLIENTHELLO_RECORD_HEADER_BYTES = 5,
	/* For the message, its header of four bytes included; longer ones are refused. */
	CLIENTHELLO_SCRATCH_BYTES = TLS_CLIENT_HELLO_BYTES_MAX,
	/* The longest first flight that can be accepted: every record holds a single byte. More
	 * bytes than these never lead to -EAGAIN. */
	CLIENTHELLO_STREAM_BYTES_MAX =
		CLIENTHELLO_SCRATCH_BYTES * (1 + CLIENTHELLO_RECORD_HEADER_BYTES),
};

/* CLIENTHELLO_OK, and CLIENTHELLO_name for each row of the table. */
enum clienthello_fault {
	CLIENTHELLO_OK,
#define FAULT(name, help) CLIENTHELLO_##name,
#include "tls/clienthello_faults.def"
#undef FAULT
	CLIENTHELLO_FAULTS
};

/*
 * Slices are borrowed, and empty where nothing was sent. Lists of code points are two bytes each,
 * big endian, GREASE included.
 */
struct clienthello {
	/* SNI's host_name: letters, digits, '-', '_' and single dots, no trailing dot, at most 253
	 * bytes; case as sent. */
	struct slice server_name;
	struct slice alpn; /* (length of one byte, name)* */
	struct slice versions; /* supported_versions */
	struct slice ciphers; /* never empty */
	struct slice groups; /* supported_groups */
	struct slice key_shares; /* (group of two bytes, length of two bytes, key)* */
	struct slice signature_algorithms;
	struct slice signature_algorithms_cert;
	struct slice extensions; /* (type of two bytes, length of two bytes, body)* */
	struct slice session_id; /* at most 32 bytes */
	struct slice random; /* 32 bytes */
	uint16_t legacy_version; /* 0x03nn as sent; says nothing once there are `versions` */
	/* The highest of 0x0300 to 0x0304 that is offered; 0: `versions` holds none of them. */
	uint16_t version_max;
	bool has_psk, has_early_data; /* pre_shared_key: wants to resume; sends data at once */
	bool has_ech; /* encrypted_client_hello, be it GREASE */
	uint32_t n_extensions; /* with GREASE */
	uint32_t records; /* handshake records it came in */
	size_t message_len; /* with the message's header, without the records' */
};

/*
 * Looks at the first `len` bytes of a stream. Returns
 *  > 0      bytes of the stream that the hello took, records' headers included; what follows (early
 *           data, say) is not looked at. `ret_hello` points into `bytes`, or into `scratch` if the
 *           hello came in several records;
 *  -EAGAIN  sound as far as it goes: more bytes are needed;
 *  -EPROTO  not a ClientHello, or a malformed one: *ret_fault says why (it is set only here).
 * A verdict other than -EAGAIN, its fault too, never changes when more bytes come, and is given as
 * soon as the bytes tell. Every call begins at the first byte again: the caller bounds their number.
 * `scratch`: CLIENTHELLO_SCRATCH_BYTES.
 */
int clienthello_parse(const void *bytes, size_t len, void *scratch, struct clienthello *ret_hello,
	enum clienthello_fault *ret_fault) must_check;

/* "sni_malformed", for counters and logs; "ok". */
const char *clienthello_fault_name(enum clienthello_fault fault);
/* One line for people. */
const char *clienthello_fault_help(enum clienthello_fault fault);

/* Whether the ALPN list has this name. */
bool clienthello_offers_alpn(const struct clienthello *hello, struct slice name);
/* Whether this version (0x0304: TLS 1.3) is offered: by supported_versions, and where they were not
 * sent all from SSL 3.0 up to legacy_version, at most TLS 1.2 (RFC 8446 4.2.1). */
bool clienthello_offers_version(const struct clienthello *hello, uint16_t version);

/* RFC 8701: values sent to keep servers tolerant; they mean nothing. */
static inline bool clienthello_is_grease(uint16_t code)
{
	return (code & 0x0f0f) == 0x0a0a && code >> 8 == (code & 0xff);
}

#endif
