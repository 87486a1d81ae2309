/* What consistent hashing goes by: see balance_key.h. */
#include "proxy/balance_key.h"
#include "core/hash.h"
#include "http/cookies.h"
#include "http/query.h"

static const struct hash_key same_on_all_nodes = {0x736c756963652062, 0x616c616e6365206b};

uint64_t balance_key_of(struct slice bytes)
{
	uint64_t hash = hash_bytes(&same_on_all_nodes, bytes.ptr, bytes.len);

	return hash == BALANCE_NO_KEY ? 1 : hash;
}

static uint64_t key_of_client(const union addr *client)
{
	uint8_t bytes[16];

	addr_to_mapped(client, bytes);
	return balance_key_of((struct slice){(const char *)bytes, sizeof(bytes)});
}

static struct slice header_of(const struct http_request *request, struct slice name)
{
	const struct http_header *header;

	if (http_header_id(name) == HTTP_HEADER_HOST) /* in HTTP/2 :authority, mostly */
		return request->authority;
	header = http_headers_find_name(&request->headers, name);
	return header ? header->value : (struct slice){NULL, 0};
}

uint64_t balance_key(const struct balance_key_spec *spec, const struct http_request *request,
	const union addr *client)
{
	struct slice part = {NULL, 0};

	if (spec->part == BALANCE_KEY_SOURCE_IP)
		return key_of_client(client);
	if (!request)
		return BALANCE_NO_KEY;
	if (spec->part == BALANCE_KEY_HEADER)
		part = header_of(request, slice_of(spec->name));
	else if (spec->part == BALANCE_KEY_COOKIE)
		part = http_cookie_find(&request->headers, slice_of(spec->name));
	else
		part = http_query_find(request->query, slice_of(spec->name));
	return part.ptr ? balance_key_of(part) : BALANCE_NO_KEY;
}
