/* Cookies and query parameters of a request: what is found is inside of what came, walks end, and the
 * first of a name is what a search finds. The first byte divides the rest into two headers. */
#include "http/cookies.h"
#include "http/query.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static bool is_within(struct slice part, struct slice whole)
{
	return part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

static void walk_cookies(const struct http_headers *headers, struct slice all)
{
	struct slice name, value, first;
	struct http_cookie_walk walk;
	size_t n = 0;

	http_cookie_walk_init(&walk, headers);
	while (http_cookie_next(&walk, headers, &name, &value)) {
		require(is_within(name, all) && is_within(value, all));
		require(!memchr(value.ptr, ';', value.len));
		first = http_cookie_find(headers, name);
		require(first.ptr && first.ptr <= value.ptr);
		require(++n <= all.len);
	}
}

static void walk_query(struct slice query)
{
	struct slice rest = query, name, value, first;

	while (http_query_next(&rest, &name, &value)) {
		require(is_within(name, query) && is_within(value, query));
		require(!memchr(value.ptr, '&', value.len));
		first = http_query_find(query, name);
		require(first.ptr && first.ptr <= value.ptr);
	}
	require(!rest.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_header items[2];
	struct http_headers headers;
	struct slice all;
	size_t cut;

	if (!size)
		return 0;
	all = (struct slice){(const char *)data + 1, size - 1};
	cut = data[0] < all.len ? data[0] : all.len;
	http_headers_lend(&headers, items, 2);
	if (http_headers_add(&headers, SLICE("Cookie"), (struct slice){all.ptr, cut}) < 0 ||
		http_headers_add(&headers, SLICE("Cookie"),
			(struct slice){all.ptr + cut, all.len - cut}) < 0)
		abort();
	walk_cookies(&headers, all);
	walk_query(all);
	return 0;
}
