/* Headers and cookie of a first flight of nobody's: see gate_probe_flight.h. */
#include "control/gate_probe_flight.h"

#include "core/hash.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <string.h>

enum {
	OPTIONS_BYTES = 12,
	PAYLOAD_BYTES = 1,
	MSS = 1220,
};

_Static_assert(sizeof(struct ipv6hdr) + sizeof(struct tcphdr) + OPTIONS_BYTES + PAYLOAD_BYTES <=
		       GATE_PROBE_FLIGHT_BYTES,
	"the longest flight has room");

static struct sluice_cookie_tuple tuple_of(
	const union addr *client, const union addr *server, bool gated)
{
	struct sluice_cookie_tuple tuple = {
		.from_port_be = htons(addr_port(client)),
		.to_port_be = htons(addr_port(server)),
		.v6 = client->any.sa_family == AF_INET6,
		.bound = !gated,
	};

	addr_to_mapped(client, (uint8_t *)tuple.from_be);
	addr_to_mapped(server, (uint8_t *)tuple.to_be);
	return tuple;
}

/* One's complement sum of 32-bit words in network order, not folded. */
static uint32_t sum_words(const __u32 *words_be, size_t count, uint32_t sum)
{
	for (size_t i = 0; i < count; i++)
		sum += (ntohl(words_be[i]) >> 16) + (ntohl(words_be[i]) & 0xffff);
	return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void ip_header_write(struct gate_probe_flight *flight,
	const struct sluice_cookie_tuple *tuple, uint32_t tcp_bytes)
{
	struct ipv6hdr v6 = {.version = 6,
		.payload_len = htons((uint16_t)tcp_bytes),
		.nexthdr = IPPROTO_TCP,
		.hop_limit = 64};
	struct iphdr v4 = {.version = 4,
		.ihl = 5,
		.tot_len = htons((uint16_t)(sizeof(v4) + tcp_bytes)),
		.ttl = 64,
		.protocol = IPPROTO_TCP,
		.saddr = tuple->from_be[3],
		.daddr = tuple->to_be[3]};
	__u32 words[sizeof(v4) / 4];

	if (tuple->v6) {
		memcpy(&v6.saddr, tuple->from_be, sizeof(v6.saddr));
		memcpy(&v6.daddr, tuple->to_be, sizeof(v6.daddr));
		memcpy(flight->bytes, &v6, sizeof(v6));
		flight->head = sizeof(v6);
		return;
	}
	memcpy(words, &v4, sizeof(v4));
	v4.check = htons((uint16_t)~sum_fold(sum_words(words, array_len(words), 0)));
	memcpy(flight->bytes, &v4, sizeof(v4));
	flight->head = sizeof(v4);
}

/* Of the pseudo header, as a sender with checksum offload leaves it. */
static uint16_t partial_checksum(const struct sluice_cookie_tuple *tuple, uint32_t tcp_bytes)
{
	const size_t skip = tuple->v6 ? 0 : 3; /* words in front of a mapped IPv4 address */
	uint32_t sum = IPPROTO_TCP + tcp_bytes;

	sum = sum_words(&tuple->from_be[skip], 4 - skip, sum);
	sum = sum_words(&tuple->to_be[skip], 4 - skip, sum);
	return htons(sum_fold(sum));
}

void gate_probe_flight_build(struct gate_probe_flight *flight,
	const struct sluice_settings *settings, const union addr *client, const union addr *server,
	bool gated)
{
	const struct sluice_cookie_tuple tuple = tuple_of(client, server, gated);
	struct sluice_cookie cookie = {
		.options = sluice_cookie_mss_bits(MSS, tuple.v6) | SLUICE_COOKIE_NO_SCALE,
		.has_timestamp = settings->flags & SETTINGS_TIMESTAMPS,
	};
	uint32_t options = cookie.has_timestamp ? OPTIONS_BYTES : 0, words[3];
	uint32_t tcp_bytes = (uint32_t)sizeof(struct tcphdr) + options + PAYLOAD_BYTES;
	struct tcphdr tcp = {.source = tuple.from_port_be,
		.dest = tuple.to_port_be,
		.doff = (__u16)((sizeof(tcp) + options) / 4),
		.ack = 1,
		.psh = 1,
		.window = htons(64240)};

	memset(flight, 0, sizeof(*flight));
	hash_random(&cookie.client_isn, sizeof(cookie.client_isn));
	sluice_cookie_make(
		sluice_cookie_secret_of(settings)->keys, settings->epoch, &tuple, &cookie);
	tcp.seq = htonl(cookie.client_isn + 1);
	tcp.ack_seq = htonl(cookie.ret_isn + 1);
	tcp.check = partial_checksum(&tuple, tcp_bytes);
	ip_header_write(flight, &tuple, tcp_bytes);
	words[0] = htonl(0x0101080a); /* no operation, twice; timestamps, 10 bytes */
	words[1] = htonl(1);
	words[2] = htonl(cookie.ret_tsval);
	memcpy(flight->bytes + flight->head, &tcp, sizeof(tcp));
	memcpy(flight->bytes + flight->head + sizeof(tcp), words, options);
	flight->len = flight->head + tcp_bytes;
}

uint32_t gate_probe_frame_build(const struct gate_probe_flight *flight, const uint8_t mac[static 6],
	uint8_t ret_frame[static GATE_PROBE_FRAME_BYTES])
{
	struct ethhdr head = {.h_source = {2, 0, 0, 0, 0, 1}}; /* nobody's: locally administered */
	__u32 words[GATE_PROBE_FLIGHT_BYTES / 4 + 1] = {};
	struct tcphdr tcp;

	memcpy(head.h_dest, mac, sizeof(head.h_dest));
	head.h_proto = htons(flight->head == sizeof(struct ipv6hdr) ? ETH_P_IPV6 : ETH_P_IP);
	memcpy(ret_frame, &head, sizeof(head));
	memcpy(ret_frame + sizeof(head), flight->bytes, flight->len);
	/* The field holds the sum of the pseudo header: with it the sum of the segment is whole. */
	memcpy(words, flight->bytes + flight->head, flight->len - flight->head);
	memcpy(&tcp, words, sizeof(tcp));
	tcp.check = htons((uint16_t)~sum_fold(sum_words(words, array_len(words), 0)));
	memcpy(ret_frame + sizeof(head) + flight->head, &tcp, sizeof(tcp));
	return (uint32_t)sizeof(head) + flight->len;
}
