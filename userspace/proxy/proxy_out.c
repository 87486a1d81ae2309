/* PROXY headers towards targets: see proxy_out.h. */
#include "proxy/proxy_out.h"
#include "net/proxyproto.h"
#include "tls/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void tls_tlvs(const struct stream *front, struct proxyproto_tlvs *ret_tlvs)
{
	struct tls_stream_facts facts;

	tls_stream_facts(front, &facts);
	*ret_tlvs = (struct proxyproto_tlvs){
		.alpn = slice_of(facts.alpn),
		.authority = slice_of(facts.sni),
		.has_ssl = true,
		.ssl_client = PROXYPROTO_CLIENT_SSL,
		.ssl_verify = 1, /* no client certificate was verified */
		.ssl_version = slice_of(facts.version),
		.ssl_cipher = slice_of(facts.cipher),
	};
}

int proxy_out_build(enum proxy_out version, const struct upstream_client *client,
	uint8_t **ret_header, uint16_t *ret_len)
{
	struct proxyproto header = {
		.has_addrs = true, .src = *client->client, .dst = *client->local};
	struct proxyproto_tlvs tlvs = {0};
	uint8_t bytes[UPSTREAM_PROXY_HEADER_MAX];
	int len;

	if (client->front_is_tls)
		tls_tlvs(client->front, &tlvs);
	tlvs.crc32c = true;
	if (version == PROXY_OUT_V1)
		len = proxyproto_build_v1(&header, bytes, sizeof(bytes));
	else
		len = proxyproto_build_v2(&header, &tlvs, bytes, sizeof(bytes));
	if (len < 0)
		return len;
	*ret_header = malloc((size_t)len);
	if (!*ret_header)
		return -ENOMEM;
	memcpy(*ret_header, bytes, (size_t)len);
	*ret_len = (uint16_t)len;
	return 0;
}
