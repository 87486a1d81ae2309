/* Request lines and status lines; see h1_start.h. Pure. */
#include "http/h1_start.h"
#include "http/syntax.h"

/* " HTTP/1.1" or " HTTP/1.0" at the end of a request line, or without the space in front of a
 * status line. */
static enum h1_error version_parse(const char *at, enum http_version *ret_version)
{
	if (memcmp(at, "HTTP/", 5) != 0 || !syntax_byte_is(at[5], SYNTAX_DIGIT) || at[6] != '.' ||
		!syntax_byte_is(at[7], SYNTAX_DIGIT))
		return H1_ERROR_START_LINE;
	if (at[5] != '1' || at[7] > '1')
		return H1_ERROR_VERSION;
	*ret_version = at[7] == '1' ? HTTP_VERSION_1_1 : HTTP_VERSION_1_0;
	return H1_ERROR_NONE;
}

static bool takes_prefix(struct slice *text, struct slice prefix)
{
	if (text->len < prefix.len ||
		!slice_eq_nocase((struct slice){text->ptr, prefix.len}, prefix))
		return false;
	*text = (struct slice){text->ptr + prefix.len, text->len - prefix.len};
	return true;
}

/* "http://host[:port]/path": splits off the authority; what is left goes to the target
 * (RFC 9112 section 3.2.2). A query without a path would need bytes that are not there. */
static enum h1_error absolute_form(struct http_request *request, bool is_options)
{
	struct slice rest = request->target;

	if (takes_prefix(&rest, SLICE("http://")))
		request->scheme = SLICE("http");
	else if (takes_prefix(&rest, SLICE("https://")))
		request->scheme = SLICE("https");
	else
		return H1_ERROR_TARGET;
	size_t len = 0;

	while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?')
		len++;
	request->authority = (struct slice){rest.ptr, len};
	if (syntax_authority(request->authority, &request->host, &request->port) < 0)
		return H1_ERROR_TARGET;
	request->target = (struct slice){rest.ptr + len, rest.len - len};
	if (request->target.len == 0)
		request->target = is_options ? SLICE("*") : SLICE("/");
	return request->target.ptr[0] == '?' ? H1_ERROR_TARGET : H1_ERROR_NONE;
}

static enum h1_error target_parse(struct http_request *request)
{
	bool is_options = slice_eq(request->method_text, SLICE("OPTIONS"));
	struct slice target = request->target;

	if (target.len == 0 || !syntax_all(target, SYNTAX_TARGET))
		return H1_ERROR_TARGET;
	if (slice_eq(request->method_text, SLICE("CONNECT")))
		return H1_ERROR_CONNECT;
	if (target.ptr[0] != '/' && !(is_options && slice_eq(target, SLICE("*")))) {
		enum h1_error error = absolute_form(request, is_options);

		if (error)
			return error;
		target = request->target;
	}
	const char *mark = memchr(target.ptr, '?', target.len);

	request->path = target;
	if (mark) {
		request->path.len = (size_t)(mark - target.ptr);
		request->query = (struct slice){mark + 1, target.len - request->path.len - 1};
	}
	return H1_ERROR_NONE;
}

/* "METHOD target HTTP/1.x", one space each; `line` is without its end. */
enum h1_error h1_start_request(struct http_request *request, struct slice line)
{
	const char *space = memchr(line.ptr, ' ', line.len);
	size_t method_len = space ? (size_t)(space - line.ptr) : line.len;

	request->method_text = (struct slice){line.ptr, method_len};
	if (!syntax_is_token(request->method_text))
		return H1_ERROR_METHOD;
	if (!space || line.len < method_len + sizeof("  HTTP/1.1") - 1 ||
		line.ptr[line.len - 9] != ' ')
		return H1_ERROR_START_LINE;
	enum h1_error error = version_parse(line.ptr + line.len - 8, &request->version);

	if (error)
		return error;
	if (slice_eq(request->method_text, SLICE("PRI")))
		return H1_ERROR_METHOD_UNKNOWN; /* the HTTP/2 preface with a false version */
	request->target = (struct slice){space + 1, line.len - method_len - 10};
	return target_parse(request);
}

/* "HTTP/1.x NNN[ reason]"; `line` is without its end. */
enum h1_error h1_start_response(struct http_response *response, struct slice line)
{
	const char *at = line.ptr;

	if (line.len < 12 || at[8] != ' ')
		return H1_ERROR_START_LINE;
	enum h1_error error = version_parse(at, &response->version);

	if (error)
		return error;
	if (!syntax_all((struct slice){at + 9, 3}, SYNTAX_DIGIT))
		return H1_ERROR_STATUS;
	response->status = (uint16_t)((at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0'));
	if (response->status < 100 || response->status > 599)
		return H1_ERROR_STATUS;
	if (line.len == 12)
		return H1_ERROR_NONE;
	response->reason = (struct slice){at + 13, line.len - 13};
	return at[12] == ' ' && syntax_all(response->reason, SYNTAX_VALUE) ? H1_ERROR_NONE
									   : H1_ERROR_STATUS;
}
