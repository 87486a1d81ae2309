/*
 * Fuzzes the PROXY protocol parser. The input stands in memory of exactly its length, so that a
 * byte read beyond it is caught. A verdict must not change when bytes are added, and a header that
 * was accepted must come out the same when it is written again and read back.
 */
#include "net/proxyproto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static int parse_exact(const uint8_t *data, size_t size, struct proxyproto *ret_header)
{
	uint8_t *copy = malloc(size ? size : 1);
	int r;

	must(copy != NULL);
	if (size)
		memcpy(copy, data, size);
	r = proxyproto_parse(size ? copy : NULL, size, ret_header, NULL);
	free(copy);
	return r;
}

static void same(const struct proxyproto *a, const struct proxyproto *b)
{
	must(a->is_local == b->is_local && a->has_addrs == b->has_addrs);
	if (a->has_addrs)
		must(addr_eq(&a->src, &b->src) && addr_eq(&a->dst, &b->dst));
}

static void rebuild(const struct proxyproto *header)
{
	static const struct proxyproto_tlvs tlvs = {.alpn = SLICE("h2"),
		.has_ssl = true,
		.ssl_version = SLICE("TLSv1.3"),
		.crc32c = true};
	uint8_t bytes[PROXYPROTO_BYTES_MAX];
	struct proxyproto again;
	int len;

	len = proxyproto_build_v2(header, &tlvs, bytes, sizeof(bytes));
	must(len > 0 && parse_exact(bytes, (size_t)len, &again) == len);
	same(header, &again);
	len = proxyproto_build_v1(header, bytes, sizeof(bytes));
	must(len > 0 && len <= PROXYPROTO_V1_BYTES_MAX);
	must(parse_exact(bytes, (size_t)len, &again) == len);
	if (!header->is_local)
		same(header, &again);
}

/* The verdict on the whole, and on one prefix that the input itself chooses. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxyproto header, part_header;
	size_t part = size ? data[size - 1] % (size + 1) : 0;
	int whole, r;

	whole = parse_exact(data, size, &header);
	r = parse_exact(data, part, &part_header);
	must(r == -EAGAIN || r == whole);
	must(whole > 0 || whole == -EAGAIN || whole == -ENOMSG || whole == -EPROTO);
	if (whole == -EAGAIN)
		must(size < PROXYPROTO_BYTES_MAX);
	if (whole > 0) {
		must((size_t)whole <= size);
		rebuild(&header);
	}
	return 0;
}
