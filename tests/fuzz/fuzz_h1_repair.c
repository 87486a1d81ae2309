/*
 * Heads that are put in order: nothing outside of them is touched, what the codec then accepts it
 * accepts with one framing only, and repairing it is over.
 */
#include "http/h1_repair.h"
#include "http/h1_write.h"
#include "http/headers.h"
#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http_header items[H1_HEADERS_DEFAULT];

static void check(bool good)
{
	if (!good)
		abort();
}

static int parse(struct h1_head *head, const char *bytes, size_t len, struct http_request *request,
	enum h1_error *ret_error)
{
	http_headers_lend(&request->headers, items, H1_HEADERS_DEFAULT);
	return h1_head_request(head, &H1_LIMITS_DEFAULT, bytes, len, request, ret_error);
}

static void check_request(struct http_request *request)
{
	const struct http_headers *headers = &request->headers;
	const struct http_header *length = http_headers_find(headers, HTTP_HEADER_CONTENT_LENGTH);
	const struct http_header *coding =
		http_headers_find(headers, HTTP_HEADER_TRANSFER_ENCODING);

	check(!length || !coding);
	check(!length || !http_headers_next(headers, length));
	check(!coding || !http_headers_next(headers, coding));
	check(!coding || request->body == HTTP_BODY_CHUNKED);
}

/* It is written, and read again as the same. */
static void check_written(struct http_request *request)
{
	static char out[1 << 17];
	struct h1_write how = {0};
	struct h1_head head = {0};
	struct http_request again;
	enum h1_error error;
	enum http_body body = request->body;
	uint64_t length = request->content_length;
	int n;

	if (!request->authority.len)
		return;
	http_headers_drop_hop_by_hop(&request->headers);
	n = h1_write_request(request, &how, out, sizeof(out));
	check(n > 0);
	check(parse(&head, out, (size_t)n, &again, &error) == n);
	check(again.body == body && again.content_length == length);
}

static void repair(struct h1_head *head, enum h1_error error, char *bytes, size_t len)
{
	size_t end = head->scanned, skip;
	struct h1_head anew = {0};
	struct http_request request;
	uint64_t found;
	int r;

	if (h1_repair(head, error, bytes, &skip, &found) < 0)
		return;
	check(found && skip < end && end <= len);
	r = parse(&anew, bytes + skip, len - skip, &request, &error);
	check(r == -EBADMSG || (r > 0 && (size_t)r + skip == end));
	if (r < 0)
		return;
	check_request(&request);
	desync_scan(&request);
	check_written(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct h1_head head = {0};
	struct http_request request;
	enum h1_error error;
	char *bytes = malloc(size + 1);
	char *behind;
	size_t end;

	memcpy(bytes, data, size);
	if (parse(&head, bytes, size, &request, &error) == -EBADMSG) {
		end = head.scanned <= size ? head.scanned : size;
		behind = malloc(size - end + 1);
		memcpy(behind, bytes + end, size - end);
		repair(&head, error, bytes, size);
		check(memcmp(behind, bytes + end, size - end) == 0);
		free(behind);
	}
	free(bytes);
	return 0;
}
