/* Malformed and ambiguous requests: see exchange_strict.h. */
#include "proxy/exchange_strict.h"
#include "core/counter.h"
#include "http/h1_repair.h"
#include "proxy/exchange_parts.h"

static void count(struct exchange *exchange, uint64_t found, unsigned int what)
{
	struct listener_counts *counts = conn_counts(exchange->conn);

	exchange->strict.found |= found;
	for (; found; found &= found - 1)
		counter_inc(&counts->desync[__builtin_ctzll(found)][what]);
}

void exchange_strict_note(struct exchange *exchange, enum h1_error error)
{
	enum desync row = desync_of_error(error);

	if (row != DESYNCS)
		count(exchange, UINT64_C(1) << row, LISTENER_DESYNC_REFUSED);
}

void exchange_strict_note_h2(struct exchange *exchange)
{
	count(exchange, DESYNC_BIT(bad_h2_request), LISTENER_DESYNC_REFUSED);
}

void exchange_strict_refuse_h2(struct exchange *exchange, unsigned int status)
{
	if (status == 400)
		exchange_strict_note_h2(exchange);
	exchange_refuse(exchange, status);
}

/* The head again, as it is after its repair. */
static int read_again(struct exchange *exchange, enum h1_error *ret_error)
{
	struct buf *in = &exchange->in;

	h1_head_init(&exchange->request_head);
	exchange_lend_request(exchange);
	return h1_head_request(&exchange->request_head, &exchange_spec(exchange)->http.limits,
		(const char *)buf_head(in), buf_len(in), &exchange->request, ret_error);
}

int exchange_strict_mend(struct exchange *exchange, enum h1_error error)
{
	struct buf *in = &exchange->in;
	enum desync_mode mode = exchange_spec(exchange)->http.desync;
	enum h1_error first = error;
	uint64_t found;
	size_t skip;
	int r;

	r = h1_repair(&exchange->request_head, error, (char *)buf_head(in), &skip, &found);
	if (r == 0 && desync_judge(found, mode) != DESYNC_REFUSE) {
		buf_consume(in, (uint32_t)skip);
		r = read_again(exchange, &error);
		if (r > 0) {
			exchange->strict.found = found;
			return r;
		}
	} else if (r == 0) {
		count(exchange, found, LISTENER_DESYNC_REFUSED);
		exchange_refuse(exchange, h1_error_row(first)->status);
		return 0;
	}
	exchange_strict_note(exchange, error);
	exchange_refuse(exchange, h1_error_row(error)->status);
	return 0;
}

static bool refuses(const struct http_terms *terms, uint64_t found)
{
	return desync_judge(found, terms->desync) == DESYNC_REFUSE ||
	       (found & DESYNC_BIT(header_name_odd) && terms->names == HTTP_NAMES_REFUSE);
}

uint64_t exchange_strict_unwanted(const struct exchange *exchange)
{
	const struct http_terms *terms = &exchange_spec(exchange)->http;
	uint64_t unwanted = 0;

	if (terms->names != HTTP_NAMES_FORWARD)
		unwanted |= DESYNC_BIT(header_name_odd);
	if (terms->desync != DESYNC_MONITOR)
		unwanted |= DESYNC_BIT(suspicious_header);
	return unwanted;
}

/* What is forwarded of it. */
static void edit(struct exchange *exchange, const struct http_terms *terms, uint64_t found)
{
	uint64_t drop = exchange_strict_unwanted(exchange);

	if (found & drop)
		desync_drop(&exchange->request.headers, drop);
	if (desync_judge(found, terms->desync) != DESYNC_CLOSE)
		return;
	exchange->strict.is_last = true;
	exchange->keep_client = false;
}

/* The limits that the codec of HTTP/1 has kept to, as if the request had come so. The status. */
static unsigned int is_over(const struct http_request *request, const struct h1_limits *limits)
{
	size_t line = request->method_text.len + request->target.len + sizeof("  HTTP/1.1\r\n") - 1;
	uint32_t n = 0, i;

	if (line > limits->target_bytes)
		return 414;
	for (i = 0; i < request->headers.len; i++) {
		const struct http_header *header = &request->headers.items[i];

		if (header->flags & HTTP_HEADER_DROPPED)
			continue;
		line = header->name.len + header->value.len + sizeof(": \r\n") - 1;
		if (line > limits->line_bytes || ++n > limits->headers)
			return 431;
	}
	return 0;
}

bool exchange_strict_admit(struct exchange *exchange)
{
	const struct http_terms *terms = &exchange_spec(exchange)->http;
	uint64_t found = exchange->strict.found | desync_scan(&exchange->request);
	unsigned int status = 0;

	if (exchange->request.version == HTTP_VERSION_2)
		status = is_over(&exchange->request, &terms->limits);
	if (status) {
		exchange_refuse(exchange, status);
		return false;
	}
	if (!found)
		return true;
	if (refuses(terms, found)) {
		count(exchange, found, LISTENER_DESYNC_REFUSED);
		exchange->keep_client = false;
		exchange_answer(exchange, 400, CLOSE_desync);
		return false;
	}
	count(exchange, found, LISTENER_DESYNC_FORWARDED);
	edit(exchange, terms, found);
	return true;
}
