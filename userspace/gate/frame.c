/* Frames of first flights: see frame.h. */
#include "gate/frame.h"

#include <errno.h>
#include <string.h>

enum {
	ETHERTYPE_AT = 12,
	ETHERTYPE_V4 = 0x0800,
	ETHERTYPE_V6 = 0x86dd,
	ETHERTYPE_VLAN = 0x8100,
	ETHERTYPE_VLAN_OUTER = 0x88a8,
	TAG_BYTES = 4,
	FRAGMENT_MASK = 0x3fff, /* "more fragments" and the offset */
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_TIMESTAMP = 8,
	OPTION_TIMESTAMP_BYTES = 10,
};

uint64_t frame_sum(const void *bytes, size_t len, uint64_t sum)
{
	const uint8_t *at = bytes;
	uint32_t word;
	uint16_t half = 0;
	size_t i;

	for (i = 0; i + 4 <= len; i += 4) {
		memcpy(&word, at + i, 4);
		sum += word;
	}
	if (len & 2) {
		memcpy(&half, at + i, 2);
		sum += half;
		i += 2;
	}
	half = 0;
	if (len & 1) {
		memcpy(&half, at + i, 1);
		sum += half;
	}
	return sum;
}

uint16_t frame_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + (sum & 0xffff));
}

uint64_t frame_sum_pseudo(const uint8_t *ip, bool v6, uint32_t tcp_len)
{
	uint64_t sum = (uint64_t)htonl(tcp_len) + htonl(IPPROTO_TCP);

	return v6 ? frame_sum(ip + IPV6_FROM, 32, sum) : frame_sum(ip + IPV4_FROM, 8, sum);
}

static int parse_l2(const uint8_t *bytes, size_t len, struct frame *frame)
{
	size_t at = ETHERTYPE_AT;
	uint16_t type;
	int tags;

	for (tags = 0; tags <= 2; tags++, at += TAG_BYTES) {
		if (at + 2 > len)
			return -EPROTO;
		type = frame_get16(bytes + at);
		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_VLAN_OUTER)
			break;
	}
	if (type != ETHERTYPE_V4 && type != ETHERTYPE_V6)
		return -EPROTO;
	frame->v6 = type == ETHERTYPE_V6;
	frame->l2_bytes = (uint16_t)(at + 2);
	return 0;
}

/* The length of the TCP segment, or -EPROTO. */
static int parse_v4(const uint8_t *ip, size_t len, struct frame *frame)
{
	uint16_t total;

	if (len < IPV4_BYTES || ip[0] != 0x45 || ip[IPV4_PROTOCOL] != IPPROTO_TCP)
		return -EPROTO;
	total = frame_get16(ip + IPV4_TOTAL_LENGTH);
	if (total < IPV4_BYTES || total > len || frame_get16(ip + IPV4_FRAGMENT) & FRAGMENT_MASK ||
		frame_fold(frame_sum(ip, IPV4_BYTES, 0)) != 0xffff)
		return -EPROTO;
	frame->ip_bytes = IPV4_BYTES;
	frame->ecn = ip[IPV4_TOS] & FRAME_ECN_CE;
	frame->tuple.from_be[2] = frame->tuple.to_be[2] = htonl(0xffff);
	memcpy(&frame->tuple.from_be[3], ip + IPV4_FROM, 4);
	memcpy(&frame->tuple.to_be[3], ip + IPV4_TO, 4);
	return total - IPV4_BYTES;
}

static int parse_v6(const uint8_t *ip, size_t len, struct frame *frame)
{
	uint16_t payload;

	if (len < IPV6_BYTES || ip[0] >> 4 != 6 || ip[IPV6_NEXT_HEADER] != IPPROTO_TCP)
		return -EPROTO;
	payload = frame_get16(ip + IPV6_PAYLOAD_LENGTH);
	if (payload > len - IPV6_BYTES)
		return -EPROTO;
	frame->ip_bytes = IPV6_BYTES;
	frame->ecn = ip[1] >> 4 & FRAME_ECN_CE;
	frame->tuple.v6 = 1;
	memcpy(frame->tuple.from_be, ip + IPV6_FROM, 16);
	memcpy(frame->tuple.to_be, ip + IPV6_TO, 16);
	return payload;
}

static int take_timestamp(const uint8_t *option, struct frame *frame)
{
	if (option[1] != OPTION_TIMESTAMP_BYTES || frame->has_timestamp)
		return -EPROTO;
	frame->has_timestamp = true;
	frame->tsval = frame_get32(option + 2);
	frame->tsecr = frame_get32(option + 6);
	return 0;
}

static int parse_options(const uint8_t *options, size_t len, struct frame *frame)
{
	size_t i = 0;
	int r;

	while (i < len && options[i] != OPTION_END) {
		if (options[i] == OPTION_NOP) {
			i++;
			continue;
		}
		if (i + 2 > len || options[i + 1] < 2 || i + options[i + 1] > len)
			return -EPROTO;
		if (options[i] == OPTION_TIMESTAMP) {
			r = take_timestamp(options + i, frame);
			if (r < 0)
				return r;
		}
		i += options[i + 1];
	}
	return 0;
}

static int parse_tcp(const uint8_t *tcp, size_t len, struct frame *frame)
{
	if (len < TCP_BYTES)
		return -EPROTO;
	frame->tcp_bytes = (uint16_t)(tcp[TCP_DATA_OFFSET] >> 4) * 4;
	if (frame->tcp_bytes < TCP_BYTES || frame->tcp_bytes >= len)
		return -EPROTO;
	frame->flags = tcp[TCP_FLAGS];
	/* Urgent data: the socket would leave a byte out of the stream that was judged. */
	if ((frame->flags & (FRAME_ACK | FRAME_SYN | FRAME_RST | FRAME_URG)) != FRAME_ACK)
		return -EPROTO;
	frame->payload_bytes = (uint32_t)len - frame->tcp_bytes;
	frame->seq = frame_get32(tcp + TCP_SEQ);
	frame->ack = frame_get32(tcp + TCP_ACK);
	memcpy(&frame->tuple.from_port_be, tcp + TCP_FROM_PORT, 2);
	memcpy(&frame->tuple.to_port_be, tcp + TCP_TO_PORT, 2);
	return parse_options(tcp + TCP_BYTES, frame->tcp_bytes - (size_t)TCP_BYTES, frame);
}

/* A frame of a neighbour whose network card is imagined (veth, a virtual machine) was never meant
 * for a wire: its checksum field still holds the sum of the pseudo header. */
static int check_sum(struct frame *frame, const uint8_t *tcp, size_t len)
{
	uint64_t pseudo = frame_sum_pseudo(frame_ip(frame), frame->v6, (uint32_t)len);
	uint16_t field, pseudo_fold = frame_fold(pseudo);

	if (frame_fold(frame_sum(tcp, len, pseudo)) == 0xffff)
		return 0;
	memcpy(&field, tcp + TCP_CHECKSUM, 2);
	frame->partial = field == pseudo_fold;
	return frame->partial ? 0 : -EBADMSG;
}

int frame_parse(uint8_t *bytes, size_t len, struct frame *ret_frame)
{
	struct frame frame = {.bytes = bytes};
	const uint8_t *ip, *tcp;
	int segment, r;

	r = parse_l2(bytes, len, &frame);
	if (r < 0)
		return r;
	ip = bytes + frame.l2_bytes;
	len -= frame.l2_bytes;
	segment = frame.v6 ? parse_v6(ip, len, &frame) : parse_v4(ip, len, &frame);
	if (segment < 0)
		return segment;
	tcp = ip + frame.ip_bytes;
	r = parse_tcp(tcp, (size_t)segment, &frame);
	if (r < 0)
		return r;
	r = check_sum(&frame, tcp, (size_t)segment);
	if (r < 0)
		return r;
	*ret_frame = frame;
	return 0;
}

static void address(const __u32 mapped_be[4], uint16_t port_be, bool v6, union addr *ret_addr)
{
	*ret_addr = (union addr){0};
	if (v6) {
		ret_addr->v6.sin6_family = AF_INET6;
		ret_addr->v6.sin6_port = port_be;
		memcpy(&ret_addr->v6.sin6_addr, mapped_be, 16);
	} else {
		ret_addr->v4.sin_family = AF_INET;
		ret_addr->v4.sin_port = port_be;
		ret_addr->v4.sin_addr.s_addr = mapped_be[3];
	}
}

void frame_addresses(const struct frame *frame, union addr *ret_client, union addr *ret_local)
{
	const struct sluice_cookie_tuple *tuple = &frame->tuple;

	address(tuple->from_be, tuple->from_port_be, frame->v6, ret_client);
	address(tuple->to_be, tuple->to_port_be, frame->v6, ret_local);
}

static void restate_ip(struct frame *frame, uint32_t segment)
{
	uint8_t *ip = frame_ip(frame);
	uint16_t sum;

	if (frame->v6) {
		frame_put16(ip + IPV6_PAYLOAD_LENGTH, (uint16_t)segment);
		return;
	}
	frame_put16(ip + IPV4_TOTAL_LENGTH, (uint16_t)(IPV4_BYTES + segment));
	memset(ip + IPV4_CHECKSUM, 0, 2);
	sum = (uint16_t)~frame_fold(frame_sum(ip, IPV4_BYTES, 0));
	memcpy(ip + IPV4_CHECKSUM, &sum, 2);
}

void frame_restate(struct frame *frame, uint32_t seq, uint32_t payload_bytes, uint8_t flags)
{
	uint32_t segment = frame->tcp_bytes + payload_bytes;
	uint8_t *tcp = frame_tcp(frame);
	uint16_t sum;

	restate_ip(frame, segment);
	frame_put32(tcp + TCP_SEQ, seq);
	tcp[TCP_FLAGS] = flags;
	frame_put16(tcp + TCP_URGENT, 0);
	sum = frame_fold(frame_sum_pseudo(frame_ip(frame), frame->v6, segment));
	memcpy(tcp + TCP_CHECKSUM, &sum, 2);
	frame->seq = seq;
	frame->flags = flags;
	frame->payload_bytes = payload_bytes;
	frame->partial = true;
}
