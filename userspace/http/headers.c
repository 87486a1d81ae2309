/* Edits a proxy makes to headers; see headers.h. Pure. */
#include "http/headers.h"
#include "http/syntax.h"
#include <errno.h>

static bool is_hop_by_hop(const struct http_header *header)
{
	return http_header_name_flags(header->id) & HTTP_NAME_HOP_BY_HOP;
}

/* Names that are known and not hop-by-hop are meant for all recipients, listed or not. */
static void drop_listed(struct http_headers *headers, struct slice list)
{
	struct slice word;

	while (syntax_list_next(&list, &word)) {
		if (http_header_id(word) != HTTP_HEADER_UNKNOWN)
			continue;
		for (uint32_t i = 0; i < headers->len; i++) {
			struct http_header *header = &headers->items[i];

			if (header->id == HTTP_HEADER_UNKNOWN &&
				slice_eq_nocase(header->name, word))
				header->flags |= HTTP_HEADER_DROPPED;
		}
	}
}

void http_headers_drop_hop_by_hop(struct http_headers *headers)
{
	for (uint32_t i = 0; i < headers->len; i++) {
		struct http_header *header = &headers->items[i];

		if (!is_hop_by_hop(header) || header->flags & HTTP_HEADER_DROPPED)
			continue;
		if (header->id == HTTP_HEADER_CONNECTION)
			drop_listed(headers, header->value);
		header->flags |= HTTP_HEADER_DROPPED;
		headers->present &= ~(1ull << header->id);
	}
}

static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c + ('a' - 'A'));
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '-';
}

bool http_name_is_alike(struct slice a, struct slice b)
{
	size_t i;

	if (a.len != b.len)
		return false;
	for (i = 0; i < a.len; i++)
		if (fold(a.ptr[i]) != fold(b.ptr[i]))
			return false;
	return true;
}

enum http_header_id http_name_id_alike(struct slice name)
{
	char folded[32]; /* longer than all of http_headers.def */
	size_t i;

	if (name.len > sizeof(folded))
		return HTTP_HEADER_UNKNOWN;
	for (i = 0; i < name.len; i++)
		folded[i] = fold(name.ptr[i]);
	return http_header_id((struct slice){folded, name.len});
}

void http_headers_drop_alike(struct http_headers *headers, struct slice name)
{
	uint32_t i;

	for (i = 0; i < headers->len; i++)
		if (headers->items[i].id == HTTP_HEADER_UNKNOWN &&
			http_name_is_alike(headers->items[i].name, name))
			headers->items[i].flags |= HTTP_HEADER_DROPPED;
}

/* "a, b, client" of all fields there are. -ENOBUFS if it does not fit. */
static int forwarded_for(const struct http_headers *headers, struct slice client, char *scratch,
	size_t size, struct slice *ret_value)
{
	const struct http_header *header = http_headers_find(headers, HTTP_HEADER_X_FORWARDED_FOR);
	size_t used = 0;

	if (!header) {
		*ret_value = client;
		return 0;
	}
	for (; header; header = http_headers_next(headers, header)) {
		if (header->value.len + 2 > size - used)
			return -ENOBUFS;
		if (header->value.len == 0)
			continue;
		memcpy(scratch + used, header->value.ptr, header->value.len);
		used += header->value.len;
		scratch[used++] = ',';
		scratch[used++] = ' ';
	}
	if (client.len > size - used)
		return -ENOBUFS;
	memcpy(scratch + used, client.ptr, client.len);
	*ret_value = (struct slice){scratch, used + client.len};
	return 0;
}

static void set(
	struct http_header *extra, enum http_header_id id, struct slice name, struct slice value)
{
	*extra = (struct http_header){.name = name, .value = value, .id = (uint8_t)id};
}

static bool is_there(const struct http_headers *headers, enum http_header_id id)
{
	return headers->present & 1ull << id;
}

static void drop_all_of(struct http_headers *headers, enum http_header_id id)
{
	http_headers_drop(headers, id);
	http_headers_drop_alike(headers, http_header_name(id));
}

static int tell_addresses(struct http_headers *headers, const struct http_forwarded *how,
	char *scratch, size_t size, struct http_header *extra)
{
	struct slice addresses = how->client;
	int r = 0;

	if (how->mode == HTTP_FORWARDED_APPEND)
		r = forwarded_for(headers, how->client, scratch, size, &addresses);
	if (r < 0)
		return r;
	if (how->mode != HTTP_FORWARDED_PRESERVE)
		drop_all_of(headers, HTTP_HEADER_X_FORWARDED_FOR);
	if (how->mode == HTTP_FORWARDED_REMOVE || is_there(headers, HTTP_HEADER_X_FORWARDED_FOR))
		return 0;
	set(extra, HTTP_HEADER_X_FORWARDED_FOR, SLICE("X-Forwarded-For"), addresses);
	return 1;
}

static int tell_proto(
	struct http_headers *headers, const struct http_forwarded *how, struct http_header *extra)
{
	int n = 0;

	if (how->proto_mode != HTTP_FORWARDED_PROTO_PRESERVE) {
		drop_all_of(headers, HTTP_HEADER_X_FORWARDED_PROTO);
		drop_all_of(headers, HTTP_HEADER_X_FORWARDED_PORT);
	}
	if (how->proto_mode == HTTP_FORWARDED_PROTO_REMOVE)
		return 0;
	if (!is_there(headers, HTTP_HEADER_X_FORWARDED_PROTO))
		set(&extra[n++], HTTP_HEADER_X_FORWARDED_PROTO, SLICE("X-Forwarded-Proto"),
			how->scheme);
	if (!is_there(headers, HTTP_HEADER_X_FORWARDED_PORT))
		set(&extra[n++], HTTP_HEADER_X_FORWARDED_PORT, SLICE("X-Forwarded-Port"),
			how->port);
	return n;
}

int http_forwarded_apply(struct http_headers *headers, const struct http_forwarded *how,
	char *scratch, size_t size, struct http_header ret_extra[HTTP_FORWARDED_EXTRA])
{
	int n = tell_addresses(headers, how, scratch, size, ret_extra);

	return n < 0 ? n : n + tell_proto(headers, how, ret_extra + n);
}
