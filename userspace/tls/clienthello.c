/* The records of a first flight, and what can be asked of a hello: see clienthello.h. */
#include "tls/clienthello_body.h"

#include <errno.h>
#include <string.h>

enum {
	RECORD_HANDSHAKE = 22,
	RECORD_BYTES_MAX = 16384,
	RECORD_MINOR_MAX = 4, /* RFC 8446 5.1: to be ignored; 3.1 and 3.3 are what is sent */
	MESSAGE_CLIENT_HELLO = 1,
	MESSAGE_HEADER_BYTES = 4,
};

/* A hello that is put together from several records. */
struct assembly {
	const uint8_t *at, *end; /* of the stream */
	uint8_t *message;
	size_t have;  /* of the message */
	size_t total; /* with the message's header; 0: not known yet */
	uint32_t records;
	enum clienthello_fault fault;
};

static int refuse(enum clienthello_fault fault, enum clienthello_fault *ret_fault)
{
	*ret_fault = fault;
	return -EPROTO;
}

/* What is it, if not TLS? An answer waits until the bytes tell. */
static int name_stranger(const uint8_t *bytes, size_t len, enum clienthello_fault *ret_fault)
{
	static const char *const methods[] = {"GET ", "HEAD ", "POST ", "PUT ", "DELETE ",
		"OPTIONS ", "PATCH ", "CONNECT ", "TRACE ", "PRI "};
	size_t i, n;

	for (i = 0; i < array_len(methods); i++) {
		n = strlen(methods[i]);
		if (memcmp(bytes, methods[i], len < n ? len : n) == 0)
			return len < n ? -EAGAIN : refuse(CLIENTHELLO_plain_http, ret_fault);
	}
	/* RFC 5246 E.2: length with the high bit set, CLIENT-HELLO; of any version, as OpenSSL has it. */
	if (!(bytes[0] & 0x80) || (len > 2 && bytes[2] != MESSAGE_CLIENT_HELLO))
		return refuse(CLIENTHELLO_not_tls, ret_fault);
	return len < 3 ? -EAGAIN : refuse(CLIENTHELLO_sslv2, ret_fault);
}

/* The length of the record's content, which is at least 1; or -EAGAIN, -EPROTO. */
static int read_record_header(const uint8_t *bytes, size_t len, enum clienthello_fault *ret_fault)
{
	int content_len;

	if (len && bytes[0] != RECORD_HANDSHAKE)
		return refuse(CLIENTHELLO_record_type, ret_fault);
	if ((len > 1 && bytes[1] != 3) || (len > 2 && bytes[2] > RECORD_MINOR_MAX))
		return refuse(CLIENTHELLO_record_version, ret_fault);
	if (len < CLIENTHELLO_RECORD_HEADER_BYTES)
		return -EAGAIN;
	content_len = bytes[3] << 8 | bytes[4];
	if (!content_len)
		return refuse(CLIENTHELLO_empty_record, ret_fault);
	if (content_len > RECORD_BYTES_MAX)
		return refuse(CLIENTHELLO_record_length, ret_fault);
	return content_len;
}

/* The length of the message with its header; or -EAGAIN, -EPROTO. */
static int read_message_header(const uint8_t *bytes, size_t len, enum clienthello_fault *ret_fault)
{
	int body_len;

	if (len && bytes[0] != MESSAGE_CLIENT_HELLO)
		return refuse(CLIENTHELLO_handshake_type, ret_fault);
	if (len < MESSAGE_HEADER_BYTES)
		return -EAGAIN;
	body_len = bytes[1] << 16 | bytes[2] << 8 | bytes[3];
	if (body_len > TLS_CLIENT_HELLO_BYTES_MAX - MESSAGE_HEADER_BYTES)
		return refuse(CLIENTHELLO_too_long, ret_fault);
	if (body_len < CLIENTHELLO_BODY_BYTES_MIN)
		return refuse(CLIENTHELLO_hello_length, ret_fault);
	return body_len + MESSAGE_HEADER_BYTES;
}

static size_t append(struct assembly *a, const uint8_t *bytes, size_t n)
{
	memcpy(a->message + a->have, bytes, n);
	a->have += n;
	return n;
}

/* The content of a record of `n` bytes, of which `here` have arrived. */
static int add_content(struct assembly *a, const uint8_t *content, size_t n, size_t here)
{
	size_t used = 0, missing;
	int r;

	if (!a->total) {
		missing = MESSAGE_HEADER_BYTES - a->have;
		used = append(a, content, here < missing ? here : missing);
		r = read_message_header(a->message, a->have, &a->fault);
		if (r < 0)
			return r == -EAGAIN && here == n ? 0 : r;
		a->total = (size_t)r;
	}
	if (n - used > a->total - a->have)
		return refuse(CLIENTHELLO_trailing_data, &a->fault);
	append(a, content + used, here - used);
	return here == n ? 0 : -EAGAIN;
}

/* Takes records until the message is whole. */
static int assemble(struct assembly *a)
{
	size_t n, here;
	int r;

	do {
		r = read_record_header(a->at, (size_t)(a->end - a->at), &a->fault);
		if (r < 0)
			return r;
		a->at += CLIENTHELLO_RECORD_HEADER_BYTES;
		n = (size_t)r;
		here = (size_t)(a->end - a->at) < n ? (size_t)(a->end - a->at) : n;
		r = add_content(a, a->at, n, here);
		if (r < 0)
			return r;
		a->at += here;
		a->records++;
	} while (!a->total || a->have < a->total);
	return 0;
}

static int parse_records(const uint8_t *bytes, size_t len, void *scratch,
	struct clienthello *ret_hello, enum clienthello_fault *ret_fault)
{
	struct assembly a = {.at = bytes, .end = bytes + len, .message = scratch};
	struct clienthello hello;
	int assembled = assemble(&a), r = -EAGAIN;

	/* A fault in what was assembled stands further left than the one that stopped it. */
	if (a.total)
		r = clienthello_body_parse(a.message + MESSAGE_HEADER_BYTES,
			a.have - MESSAGE_HEADER_BYTES, a.total - MESSAGE_HEADER_BYTES, &hello,
			ret_fault);
	if (r == -EPROTO)
		return r;
	if (assembled == -EPROTO)
		return refuse(a.fault, ret_fault);
	if (assembled < 0)
		return assembled;
	hello.records = a.records;
	hello.message_len = a.total;
	*ret_hello = hello;
	return (int)(a.at - bytes);
}

/* The message lies in the first record, which holds nothing else: nothing is copied. */
static int parse_single(const uint8_t *bytes, size_t len, size_t message_len,
	struct clienthello *ret_hello, enum clienthello_fault *ret_fault)
{
	const size_t headers = CLIENTHELLO_RECORD_HEADER_BYTES + MESSAGE_HEADER_BYTES;
	size_t flight_len = CLIENTHELLO_RECORD_HEADER_BYTES + message_len;
	struct clienthello hello;
	int r;

	r = clienthello_body_parse(bytes + headers, (len < flight_len ? len : flight_len) - headers,
		message_len - MESSAGE_HEADER_BYTES, &hello, ret_fault);
	if (r < 0)
		return r;
	hello.records = 1;
	hello.message_len = message_len;
	*ret_hello = hello;
	return (int)flight_len;
}

int clienthello_parse(const void *stream, size_t len, void *scratch, struct clienthello *ret_hello,
	enum clienthello_fault *ret_fault)
{
	const uint8_t *bytes = stream;
	int content_len, message_len;
	size_t here;

	if (!len)
		return -EAGAIN;
	if (bytes[0] != RECORD_HANDSHAKE)
		return name_stranger(bytes, len, ret_fault);
	content_len = read_record_header(bytes, len, ret_fault);
	if (content_len < 0)
		return content_len;
	if (content_len < MESSAGE_HEADER_BYTES)
		return parse_records(bytes, len, scratch, ret_hello, ret_fault);
	here = len - CLIENTHELLO_RECORD_HEADER_BYTES;
	message_len = read_message_header(bytes + CLIENTHELLO_RECORD_HEADER_BYTES, here, ret_fault);
	if (message_len < 0)
		return message_len;
	if (content_len > message_len)
		return refuse(CLIENTHELLO_trailing_data, ret_fault);
	if (content_len < message_len)
		return parse_records(bytes, len, scratch, ret_hello, ret_fault);
	return parse_single(bytes, len, (size_t)message_len, ret_hello, ret_fault);
}

static const char *const names[CLIENTHELLO_FAULTS] = {
	[CLIENTHELLO_OK] = "ok",
#define FAULT(name, help) [CLIENTHELLO_##name] = #name,
#include "tls/clienthello_faults.def"
#undef FAULT
};

static const char *const helps[CLIENTHELLO_FAULTS] = {
	[CLIENTHELLO_OK] = "nothing is wrong",
#define FAULT(name, help) [CLIENTHELLO_##name] = help,
#include "tls/clienthello_faults.def"
#undef FAULT
};

const char *clienthello_fault_name(enum clienthello_fault fault)
{
	return names[fault < CLIENTHELLO_FAULTS ? fault : CLIENTHELLO_OK];
}

const char *clienthello_fault_help(enum clienthello_fault fault)
{
	return helps[fault < CLIENTHELLO_FAULTS ? fault : CLIENTHELLO_OK];
}

bool clienthello_offers_alpn(const struct clienthello *hello, struct slice name)
{
	size_t i, n;

	for (i = 0; i < hello->alpn.len; i += 1 + n) {
		n = (uint8_t)hello->alpn.ptr[i];
		if (slice_eq((struct slice){hello->alpn.ptr + i + 1, n}, name))
			return true;
	}
	return false;
}

bool clienthello_offers_version(const struct clienthello *hello, uint16_t version)
{
	const uint8_t *codes = (const uint8_t *)hello->versions.ptr;
	size_t i;

	if (!hello->versions.len)
		return version >= 0x0300 && version <= TLS_VERSION_1_2 &&
		       version <= hello->legacy_version;
	for (i = 0; i < hello->versions.len; i += 2)
		if ((codes[i] << 8 | codes[i + 1]) == version)
			return true;
	return false;
}
