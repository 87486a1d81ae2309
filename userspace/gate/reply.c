/* Frames that answer a client: see reply.h. */
#include "gate/reply.h"

#include <assert.h>
#include <string.h>

enum { TTL = 64, DONT_FRAGMENT = 0x4000, TIMESTAMP_BYTES = 12, SACK_BYTES = 12 };

static uint32_t write_l2(const struct frame *to, uint8_t *out)
{
	memcpy(out, to->bytes + FRAME_MAC_BYTES, FRAME_MAC_BYTES);
	memcpy(out + FRAME_MAC_BYTES, to->bytes, FRAME_MAC_BYTES);
	memcpy(out + 2 * FRAME_MAC_BYTES, to->bytes + 2 * FRAME_MAC_BYTES,
		to->l2_bytes - 2u * FRAME_MAC_BYTES);
	return to->l2_bytes;
}

static void write_v4(const struct frame *to, uint32_t segment, uint8_t *ip)
{
	const uint8_t *theirs = frame_ip(to);
	uint16_t sum;

	memset(ip, 0, IPV4_BYTES);
	ip[0] = 0x45;
	frame_put16(ip + IPV4_TOTAL_LENGTH, (uint16_t)(IPV4_BYTES + segment));
	frame_put16(ip + IPV4_FRAGMENT, DONT_FRAGMENT);
	ip[IPV4_TTL] = TTL;
	ip[IPV4_PROTOCOL] = IPPROTO_TCP;
	memcpy(ip + IPV4_FROM, theirs + IPV4_TO, 4);
	memcpy(ip + IPV4_TO, theirs + IPV4_FROM, 4);
	sum = (uint16_t)~frame_fold(frame_sum(ip, IPV4_BYTES, 0));
	memcpy(ip + IPV4_CHECKSUM, &sum, 2);
}

static void write_v6(const struct frame *to, uint32_t segment, uint8_t *ip)
{
	const uint8_t *theirs = frame_ip(to);

	memset(ip, 0, IPV6_BYTES);
	ip[0] = 0x60;
	frame_put16(ip + IPV6_PAYLOAD_LENGTH, (uint16_t)segment);
	ip[IPV6_NEXT_HEADER] = IPPROTO_TCP;
	ip[IPV6_HOP_LIMIT] = TTL;
	memcpy(ip + IPV6_FROM, theirs + IPV6_TO, 16);
	memcpy(ip + IPV6_TO, theirs + IPV6_FROM, 16);
}

/* RFC 7323 3: our TSval is what the SYN-ACK said, which the client echoes: its cookie. */
static uint32_t write_timestamp(const struct frame *to, uint8_t *out)
{
	static const uint8_t head[4] = {1, 1, 8, 10};

	if (!to->has_timestamp)
		return 0;
	memcpy(out, head, sizeof(head));
	frame_put32(out + 4, to->tsecr);
	frame_put32(out + 8, to->tsval);
	return TIMESTAMP_BYTES;
}

static uint32_t write_sack(const struct reply *reply, uint8_t *out)
{
	static const uint8_t head[4] = {1, 1, 5, 10};

	if (!reply->has_sack)
		return 0;
	memcpy(out, head, sizeof(head));
	frame_put32(out + 4, reply->sack_from);
	frame_put32(out + 8, reply->sack_to);
	return SACK_BYTES;
}

/* All but the checksum. Returns the length of the header. */
static uint32_t write_tcp(const struct reply *reply, uint8_t *out)
{
	const struct frame *to = reply->to;
	const uint8_t *theirs = frame_tcp(to);
	uint32_t len = TCP_BYTES;

	memset(out, 0, TCP_BYTES);
	memcpy(out + TCP_FROM_PORT, theirs + TCP_TO_PORT, 2);
	memcpy(out + TCP_TO_PORT, theirs + TCP_FROM_PORT, 2);
	frame_put32(out + TCP_SEQ, to->ack);
	if (reply->flags & FRAME_ACK)
		frame_put32(out + TCP_ACK, reply->ack);
	out[TCP_FLAGS] = reply->flags;
	frame_put16(out + TCP_WINDOW, reply->window);
	len += write_timestamp(to, out + len);
	len += write_sack(reply, out + len);
	out[TCP_DATA_OFFSET] = (uint8_t)(len / 4 << 4);
	return len;
}

uint32_t reply_write(const struct reply *reply, uint8_t ret_frame[static REPLY_BYTES_MAX])
{
	const struct frame *to = reply->to;
	uint32_t l2 = write_l2(to, ret_frame), segment;
	uint8_t *ip = ret_frame + l2, *tcp = ip + to->ip_bytes;
	uint16_t sum;

	assert(reply->payload_bytes <= REPLY_PAYLOAD_BYTES_MAX);
	segment = write_tcp(reply, tcp);
	if (reply->payload_bytes)
		memcpy(tcp + segment, reply->payload, reply->payload_bytes);
	segment += (uint32_t)reply->payload_bytes;
	if (to->v6)
		write_v6(to, segment, ip);
	else
		write_v4(to, segment, ip);
	sum = (uint16_t)~frame_fold(frame_sum(tcp, segment, frame_sum_pseudo(ip, to->v6, segment)));
	memcpy(tcp + TCP_CHECKSUM, &sum, 2);
	return l2 + to->ip_bytes + segment;
}
