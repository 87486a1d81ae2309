/* Heads of frames: see h2_scan.h. RFC 9113 section 4.1. */
#include "http/h2_scan.h"

#include <string.h>

enum { PREFACE_BYTES = 24 };
enum {
	TYPE_DATA = 0,
	TYPE_HEADERS = 1,
	TYPE_PRIORITY = 2,
	TYPE_RST_STREAM = 3,
	TYPE_WINDOW_UPDATE = 8,
	TYPE_CONTINUATION = 9,
};

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

void h2_scan_skip_preface(struct h2_scan *scan)
{
	scan->passed = PREFACE_BYTES;
}

bool h2_scan_next(struct h2_scan *scan, const uint8_t *bytes, size_t len, size_t *at)
{
	size_t n = smaller(PREFACE_BYTES - scan->passed, len - *at);

	scan->passed += (uint32_t)n;
	*at += n;
	if (scan->have == H2_FRAME_HEAD_BYTES)
		scan->have = 0;
	n = smaller(scan->left, len - *at);
	scan->left -= (uint32_t)n;
	*at += n;
	n = smaller((size_t)(H2_FRAME_HEAD_BYTES - scan->have), len - *at);
	memcpy(scan->head + scan->have, bytes + *at, n);
	scan->have += (uint8_t)n;
	*at += n;
	if (scan->have < H2_FRAME_HEAD_BYTES)
		return false;
	scan->left = (uint32_t)scan->head[0] << 16 | (uint32_t)scan->head[1] << 8 | scan->head[2];
	return true;
}

int32_t h2_scan_stream(const struct h2_scan *scan)
{
	const uint8_t *id = scan->head + 5;

	return (id[0] & 0x7f) << 24 | id[1] << 16 | id[2] << 8 | id[3];
}

enum h2_cost h2_scan_cost(const struct h2_scan *scan, bool is_over)
{
	uint8_t type = scan->head[3];

	if (is_over && type == TYPE_HEADERS)
		return H2_COST_closed_headers;
	if (is_over && (type == TYPE_DATA || type == TYPE_RST_STREAM || type == TYPE_WINDOW_UPDATE))
		return H2_COST_closed_stream;
	if (type == TYPE_CONTINUATION)
		return H2_COST_continuation;
	return type == TYPE_PRIORITY || type > TYPE_CONTINUATION ? H2_COST_priority : H2_COSTS;
}
