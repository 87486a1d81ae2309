/* Bodies of HTTP/1 messages; see h1_body.h. Pure. */
#include "http/h1_body.h"
#include "http/headers.h"
#include "http/syntax.h"
#include <assert.h>

enum state {
	STATE_DONE,
	STATE_LENGTH,      /* `left` bytes to the end of the body */
	STATE_UNTIL_CLOSE, /* all that comes */
	STATE_SIZE,        /* hexadecimal digits of a chunk size */
	STATE_EXTENSION,   /* behind its ';' */
	STATE_SIZE_LF,     /* LF behind the size line's CR */
	STATE_CHUNK,       /* `left` bytes to the end of the chunk */
	STATE_CHUNK_CR,    /* CR LF behind the data */
	STATE_CHUNK_LF,
	STATE_TRAILER, /* at the start of a trailer line or of the empty line */
	STATE_BROKEN,
};

/* 60 bits: no sum of sizes met in practice can overflow. */
enum { SIZE_DIGITS_MAX = 15 };

void h1_body_init(struct h1_body *body, enum http_body kind, uint64_t content_length)
{
	*body = (struct h1_body){.state = STATE_DONE};
	switch (kind) {
	case HTTP_BODY_NONE:
		break;
	case HTTP_BODY_LENGTH:
		body->left = content_length;
		body->state = content_length > 0 ? STATE_LENGTH : STATE_DONE;
		break;
	case HTTP_BODY_CHUNKED:
		body->state = STATE_SIZE;
		break;
	case HTTP_BODY_UNTIL_CLOSE:
		body->left = UINT64_MAX;
		body->state = STATE_UNTIL_CLOSE;
		break;
	}
}

static int hex_value(char byte)
{
	if (!syntax_byte_is(byte, SYNTAX_HEX))
		return -1;
	return byte <= '9' ? byte - '0' : (byte | 0x20) - 'a' + 10;
}

static enum h1_error on_size(struct h1_body *body, char byte)
{
	int digit = hex_value(byte);

	if (digit >= 0) {
		if (++body->digits > SIZE_DIGITS_MAX)
			return H1_ERROR_CHUNK_SIZE;
		body->left = body->left << 4 | (uint64_t)digit;
		return H1_ERROR_NONE;
	}
	if (body->digits == 0)
		return H1_ERROR_CHUNK_SIZE;
	if (byte == '\r')
		body->state = STATE_SIZE_LF;
	else if (byte == ';')
		body->state = STATE_EXTENSION;
	else
		return H1_ERROR_CHUNK_SIZE;
	return H1_ERROR_NONE;
}

static enum h1_error on_extension(struct h1_body *body, char byte)
{
	if (byte == '\r') {
		body->state = STATE_SIZE_LF;
		return H1_ERROR_NONE;
	}
	if (!syntax_byte_is(byte, SYNTAX_VALUE) || ++body->extension_len > H1_EXTENSION_BYTES_MAX)
		return H1_ERROR_CHUNK_EXTENSION;
	return H1_ERROR_NONE;
}

/* One byte between the data of two chunks. */
static enum h1_error on_byte(struct h1_body *body, char byte)
{
	switch (body->state) {
	case STATE_SIZE:
		return on_size(body, byte);
	case STATE_EXTENSION:
		return on_extension(body, byte);
	case STATE_SIZE_LF:
		body->state = body->left > 0 ? STATE_CHUNK : STATE_TRAILER;
		return byte == '\n' ? H1_ERROR_NONE : H1_ERROR_CHUNK_SIZE;
	case STATE_CHUNK_CR:
		body->state = STATE_CHUNK_LF;
		return byte == '\r' ? H1_ERROR_NONE : H1_ERROR_CHUNK_END;
	case STATE_CHUNK_LF:
		body->state = STATE_SIZE;
		body->digits = 0;
		return byte == '\n' ? H1_ERROR_NONE : H1_ERROR_CHUNK_END;
	default:
		assert(!"a state without bytes of its own");
		return H1_ERROR_SYNTAX;
	}
}

/* "name: value" without its end. */
static enum h1_error trailer_parse(struct slice line, struct http_header *ret_trailer)
{
	const char *colon = memchr(line.ptr, ':', line.len);

	if (!colon)
		return H1_ERROR_TRAILER;
	size_t name_len = (size_t)(colon - line.ptr);
	struct slice name = {line.ptr, name_len};
	struct slice value = {colon + 1, line.len - name_len - 1};

	if (!syntax_is_token(name) || !syntax_all(value, SYNTAX_VALUE))
		return H1_ERROR_TRAILER;
	*ret_trailer = (struct http_header){
		.name = name, .value = syntax_trim(value), .id = (uint8_t)http_header_id(name)};
	return H1_ERROR_NONE;
}

static enum h1_body_step refuse(struct h1_body *body, enum h1_error error, enum h1_error *ret_error)
{
	body->state = STATE_BROKEN;
	*ret_error = error;
	return H1_BODY_ERROR;
}

/* One line at bytes[*skip]: MORE if it is not whole (and not skipped), END after the empty one. */
static enum h1_body_step trailer_step(struct h1_body *body, const char *bytes, size_t len,
	size_t *skip, struct http_header *ret_trailer, enum h1_error *ret_error)
{
	const char *line = bytes + *skip;
	size_t have = len - *skip;
	size_t max = (size_t)H1_TRAILER_BYTES_MAX - body->trailer_bytes;
	size_t seen = body->scanned < have ? body->scanned : have;
	const char *lf = memchr(line + seen, '\n', have - seen);
	size_t line_len = lf ? (size_t)(lf - line) + 1 : have;

	if (line_len > max || (!lf && line_len == max))
		return refuse(body, H1_ERROR_TRAILERS_TOO_LARGE, ret_error);
	body->scanned = lf ? 0 : (uint16_t)have;
	if (!lf)
		return H1_BODY_MORE;
	if (line_len < 2 || lf[-1] != '\r')
		return refuse(body, H1_ERROR_BARE_LF, ret_error);
	*skip += line_len;
	if (line_len == 2) {
		body->state = STATE_DONE;
		return H1_BODY_END;
	}
	body->trailer_bytes += (uint16_t)line_len;
	if (++body->trailers > H1_TRAILERS_MAX)
		return refuse(body, H1_ERROR_TRAILERS_TOO_LARGE, ret_error);
	enum h1_error error = trailer_parse((struct slice){line, line_len - 2}, ret_trailer);

	return error ? refuse(body, error, ret_error) : H1_BODY_TRAILER;
}

static enum h1_body_step trailers_step(struct h1_body *body, const char *bytes, size_t len,
	size_t *skip, union h1_body_out *ret_out, enum h1_error *ret_error)
{
	enum h1_body_step step;
	struct http_header trailer;

	do {
		step = trailer_step(body, bytes, len, skip, &trailer, ret_error);
	} while (step == H1_BODY_TRAILER && !body->want_trailers);
	if (step == H1_BODY_TRAILER)
		ret_out->trailer = trailer;
	return step;
}

static bool has_data(const struct h1_body *body)
{
	return body->state == STATE_LENGTH || body->state == STATE_CHUNK ||
	       body->state == STATE_UNTIL_CLOSE;
}

enum h1_body_step h1_body_next(struct h1_body *body, const char *bytes, size_t len,
	size_t *ret_skip, union h1_body_out *ret_out, enum h1_error *ret_error)
{
	size_t skip = 0;
	enum h1_body_step step = H1_BODY_MORE;

	*ret_skip = 0;
	if (body->state == STATE_DONE)
		return H1_BODY_END;
	if (body->state == STATE_BROKEN)
		return refuse(body, H1_ERROR_SYNTAX, ret_error);
	while (skip < len && !has_data(body) && body->state != STATE_TRAILER) {
		enum h1_error error = on_byte(body, bytes[skip++]);

		if (error)
			return refuse(body, error, ret_error);
	}
	if (has_data(body) && skip < len) {
		uint64_t have = len - skip;

		ret_out->data = (struct slice){bytes + skip, have < body->left ? have : body->left};
		step = H1_BODY_DATA;
	} else if (body->state == STATE_TRAILER) {
		step = trailers_step(body, bytes, len, &skip, ret_out, ret_error);
	}
	*ret_skip = skip;
	return step;
}

void h1_body_take(struct h1_body *body, uint64_t len)
{
	assert(has_data(body) && len <= body->left);
	if (body->state == STATE_UNTIL_CLOSE)
		return;
	body->left -= len;
	if (body->left == 0)
		body->state = body->state == STATE_CHUNK ? STATE_CHUNK_CR : STATE_DONE;
}

uint64_t h1_body_ready(const struct h1_body *body)
{
	return has_data(body) ? body->left : 0;
}

bool h1_body_is_done(const struct h1_body *body)
{
	return body->state == STATE_DONE;
}

bool h1_body_may_end(const struct h1_body *body)
{
	return body->state == STATE_DONE || body->state == STATE_UNTIL_CLOSE;
}

bool h1_trailer_is_allowed(const struct http_header *trailer)
{
	return !(http_header_name_flags(http_name_id_alike(trailer->name)) & HTTP_NAME_NO_TRAILER);
}

size_t h1_chunk_line(uint64_t len, char ret_line[H1_CHUNK_LINE_BYTES])
{
	size_t digits = len > 0 ? (67 - (size_t)__builtin_clzll(len)) / 4 : 1;

	for (size_t i = digits; i > 0; i--, len >>= 4)
		ret_line[i - 1] = "0123456789abcdef"[len & 15];
	ret_line[digits] = '\r';
	ret_line[digits + 1] = '\n';
	return digits + 2;
}
