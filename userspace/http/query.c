/* Parameters of a query: see query.h. */
#include "http/query.h"

bool http_query_next(struct slice *rest, struct slice *ret_name, struct slice *ret_value)
{
	const char *end, *equals;
	size_t len;

	while (rest->len && *rest->ptr == '&') {
		rest->ptr++;
		rest->len--;
	}
	if (!rest->len)
		return false;
	end = memchr(rest->ptr, '&', rest->len);
	len = end ? (size_t)(end - rest->ptr) : rest->len;
	equals = memchr(rest->ptr, '=', len);
	*ret_name = (struct slice){rest->ptr, equals ? (size_t)(equals - rest->ptr) : len};
	*ret_value = equals ? (struct slice){equals + 1, len - ret_name->len - 1}
			    : (struct slice){rest->ptr + len, 0};
	rest->ptr += len;
	rest->len -= len;
	return true;
}

struct slice http_query_find(struct slice query, struct slice name)
{
	struct slice found, value;

	while (http_query_next(&query, &found, &value))
		if (slice_eq(found, name))
			return value;
	return (struct slice){NULL, 0};
}
