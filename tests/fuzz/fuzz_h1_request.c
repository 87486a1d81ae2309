/*
 * Request heads: the judgement must not depend on how the bytes are cut, and what was accepted,
 * forwarded and read again must be the same request.
 */
#include "http/h1_head.h"
#include "http/h1_write.h"
#include "http/headers.h"
#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A judgement with the message written out, cut off where it is too long. */
struct judgement {
	int result, out_len;
	enum h1_error error;
	struct http_request request;
	char out[16384];
};

static void check(bool good)
{
	if (!good)
		abort();
}

static void judge(struct h1_head *head, const char *bytes, size_t len, struct judgement *ret)
{
	static const struct h1_limits limits = {4096, 1024, 1024, 32};
	static struct http_header items[H1_HEADERS_DEFAULT];
	struct h1_write how = {0};

	*ret = (struct judgement){.error = H1_ERROR_NONE};
	http_headers_lend(&ret->request.headers, items, H1_HEADERS_DEFAULT);
	ret->result = h1_head_request(head, &limits, bytes, len, &ret->request, &ret->error);
	if (ret->result > 0)
		ret->out_len = h1_write_request(&ret->request, &how, ret->out, sizeof(ret->out));
}

static void feed(const char *bytes, size_t len, size_t first, size_t step, struct judgement *ret)
{
	struct h1_head head = {0};
	size_t n = first < len ? first : len;

	for (;;) {
		char *copy = malloc(n ? n : 1);

		memcpy(copy, bytes, n);
		judge(&head, copy, n, ret);
		free(copy);
		if (ret->result != -EAGAIN || n == len)
			return;
		n = step > len - n ? len : n + step;
	}
}

static void same_check(const struct judgement *a, const struct judgement *b)
{
	const struct http_request *one = &a->request, *two = &b->request;

	check(a->result == b->result && a->error == b->error);
	check(a->out_len == b->out_len && memcmp(a->out, b->out, sizeof(a->out)) == 0);
	check(one->version == two->version && one->port == two->port);
	check(one->keep_alive == two->keep_alive);
	check(one->expect_continue == two->expect_continue);
	check(one->path.len == two->path.len && one->query.len == two->query.len);
	check(one->upgrade.len == two->upgrade.len && one->headers.len == two->headers.len);
}

static void read_again(const char *bytes, size_t len, struct http_request *ret)
{
	static struct http_header items[2][H1_HEADERS_DEFAULT];
	static int turn;
	struct h1_head head = {0};
	enum h1_error error;

	http_headers_lend(&ret->headers, items[turn++ & 1], H1_HEADERS_DEFAULT);
	check(h1_head_request(&head, &H1_LIMITS_DEFAULT, bytes, len, ret, &error) == (int)len);
}

static int forward(struct http_request *request, char *out, size_t size)
{
	struct h1_write how = {.connection = request->upgrade.len > 0 ? H1_CONNECTION_UPGRADE
								      : H1_CONNECTION_NONE};

	http_headers_drop_hop_by_hop(&request->headers);
	int n = h1_write_request(request, &how, out, size);

	check(n > 0);
	return n;
}

static void round_trip(const char *bytes, size_t len)
{
	static char once[16384], twice[16384];
	struct http_request first, second;

	read_again(bytes, len, &first);
	if (first.authority.len == 0)
		return; /* HTTP/1.0 without Host: the caller must give it one */
	int n = forward(&first, once, sizeof(once));

	read_again(once, (size_t)n, &second);
	check(first.method == second.method && slice_eq(first.target, second.target));
	check(slice_eq(first.authority, second.authority) && slice_eq(first.host, second.host));
	check(first.body == second.body && first.content_length == second.content_length);
	check(slice_eq(first.upgrade, second.upgrade));
	int m = forward(&second, twice, sizeof(twice));

	check(m == n && memcmp(once, twice, (size_t)n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct judgement whole, cut;
	const char *bytes = (const char *)data;

	feed(bytes, size, size, 1, &whole);
	feed(bytes, size, size / 2, size, &cut);
	same_check(&whole, &cut);
	feed(bytes, size, size / 3, 7, &cut);
	same_check(&whole, &cut);
	if (size <= 512) {
		feed(bytes, size, 0, 1, &cut);
		same_check(&whole, &cut);
	}
	if (whole.result > 0)
		round_trip(bytes, (size_t)whole.result);
	return 0;
}
