/*
 * What the tests of the gate's packet side share, and its fuzzer: frames made by hand, clients that
 * answer a SYN cookie, and a gate between a fake AF_XDP socket and a fake TUN device on a clock of
 * the test's own. Header only, because every test is a program of one file; no cmocka in here.
 */
#ifndef SLUICE_TESTS_UNIT_GATE_RIG_H
#define SLUICE_TESTS_UNIT_GATE_RIG_H

#include "../tls/hello_bytes.h"
#include "gate/frame.h"
#include "gate/gate_io.h"
#include "gate/gate_parts.h"
#include "gate/reply.h"

#include <sluice/settings.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RIG_FRAME_BYTES = 2048, RIG_FRAMES = 600, RIG_KEPT = 64, RIG_PACKET_BYTES = 65535 };

#define RIG_CLIENT "192.0.2.7:40000"
#define RIG_LOCAL  "198.51.100.1:443"

static inline void rig_must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "rig: %s\n", what);
	abort();
}

struct rig_segment {
	union addr from, to;
	uint32_t seq, ack, tsval, tsecr;
	bool has_timestamp, partial, bad_checksum;
	uint8_t flags; /* 0: ACK and PSH */
	uint8_t ecn;
	int tags; /* VLAN */
	const void *options; /* instead of the timestamp */
	size_t options_bytes;
	const void *payload;
	size_t payload_bytes;
};

static inline union addr rig_addr(const char *text)
{
	union addr addr;

	rig_must(addr_parse(text, &addr) == 0, text);
	return addr;
}

static inline uint32_t rig_put_l2(const struct rig_segment *segment, bool v6, uint8_t *out)
{
	uint32_t at = 12;
	int tag;

	memcpy(out, "\x02\0\0\0\0\1\x02\0\0\0\0\2", 12);
	for (tag = 0; tag < segment->tags; tag++, at += 4) {
		frame_put16(out + at, tag + 1 < segment->tags ? 0x88a8 : 0x8100);
		frame_put16(out + at + 2, (uint16_t)(100 + tag));
	}
	frame_put16(out + at, v6 ? 0x86dd : 0x0800);
	return at + 2;
}

static inline uint32_t rig_put_ip(
	const struct rig_segment *segment, bool v6, uint32_t len, uint8_t *ip)
{
	uint16_t sum;

	memset(ip, 0, v6 ? IPV6_BYTES : IPV4_BYTES);
	if (v6) {
		ip[0] = 0x60;
		ip[1] = (uint8_t)(segment->ecn << 4);
		frame_put16(ip + IPV6_PAYLOAD_LENGTH, (uint16_t)len);
		ip[IPV6_NEXT_HEADER] = IPPROTO_TCP;
		ip[IPV6_HOP_LIMIT] = 60;
		memcpy(ip + IPV6_FROM, &segment->from.v6.sin6_addr, 16);
		memcpy(ip + IPV6_TO, &segment->to.v6.sin6_addr, 16);
		return IPV6_BYTES;
	}
	ip[0] = 0x45;
	ip[IPV4_TOS] = segment->ecn;
	frame_put16(ip + IPV4_TOTAL_LENGTH, (uint16_t)(IPV4_BYTES + len));
	frame_put16(ip + IPV4_ID, 0x1234);
	ip[IPV4_TTL] = 60;
	ip[IPV4_PROTOCOL] = IPPROTO_TCP;
	memcpy(ip + IPV4_FROM, &segment->from.v4.sin_addr, 4);
	memcpy(ip + IPV4_TO, &segment->to.v4.sin_addr, 4);
	sum = (uint16_t)~frame_fold(frame_sum(ip, IPV4_BYTES, 0));
	memcpy(ip + IPV4_CHECKSUM, &sum, 2);
	return IPV4_BYTES;
}

/* Returns the length of the TCP header. */
static inline uint32_t rig_put_tcp(const struct rig_segment *segment, uint8_t *tcp)
{
	uint32_t len = TCP_BYTES;

	memset(tcp, 0, FRAME_TCP_BYTES_MAX);
	frame_put16(tcp + TCP_FROM_PORT, addr_port(&segment->from));
	frame_put16(tcp + TCP_TO_PORT, addr_port(&segment->to));
	frame_put32(tcp + TCP_SEQ, segment->seq);
	frame_put32(tcp + TCP_ACK, segment->ack);
	tcp[TCP_FLAGS] = segment->flags ? segment->flags : FRAME_ACK | FRAME_PSH;
	frame_put16(tcp + TCP_WINDOW, 502);
	if (segment->options) {
		memcpy(tcp + len, segment->options, segment->options_bytes);
		len += (uint32_t)(segment->options_bytes + 3) / 4 * 4;
	} else if (segment->has_timestamp) {
		memcpy(tcp + len, "\1\1\x08\x0a", 4);
		frame_put32(tcp + len + 4, segment->tsval);
		frame_put32(tcp + len + 8, segment->tsecr);
		len += 12;
	}
	tcp[TCP_DATA_OFFSET] = (uint8_t)(len / 4 << 4);
	return len;
}

/* Returns the length of the frame. */
static inline uint32_t rig_frame(const struct rig_segment *segment, uint8_t *out)
{
	bool v6 = segment->from.any.sa_family == AF_INET6;
	uint32_t l2 = rig_put_l2(segment, v6, out), ip_bytes = v6 ? IPV6_BYTES : IPV4_BYTES, len;
	uint8_t *ip = out + l2, *tcp = ip + ip_bytes;
	uint16_t sum;

	len = rig_put_tcp(segment, tcp);
	rig_must(l2 + ip_bytes + len + segment->payload_bytes <= RIG_FRAME_BYTES, "frame too long");
	if (segment->payload_bytes)
		memcpy(tcp + len, segment->payload, segment->payload_bytes);
	len += (uint32_t)segment->payload_bytes;
	rig_put_ip(segment, v6, len, ip);
	sum = frame_fold(frame_sum_pseudo(ip, v6, len));
	if (!segment->partial)
		sum = (uint16_t)~frame_fold(frame_sum(tcp, len, frame_sum_pseudo(ip, v6, len)));
	if (segment->bad_checksum)
		sum ^= 0x5555;
	memcpy(tcp + TCP_CHECKSUM, &sum, 2);
	return l2 + ip_bytes + len;
}

/* What came out of the gate. */
struct rig_packet {
	uint32_t len, ip_bytes;
	bool partial;
	uint8_t *bytes;
};

struct rig {
	struct iothread io;
	struct sluice_settings settings;
	struct gate_node node;
	struct gate_worker worker;
	struct gate_policy *policy;
	struct gate *gate;
	uint64_t now_us;
	bool on_loop; /* the loop's clock, and a descriptor */
	/* fake AF_XDP socket: frames stand on memory of exactly their length */
	struct xsk_frame waiting[RIG_FRAMES];
	size_t n_waiting, n_taken;
	bool no_tx;
	uint8_t tx[RIG_FRAME_BYTES];
	struct rig_packet sent[RIG_KEPT]; /* frames to the client, the latest ones */
	size_t n_sent, n_flushed;
	/* fake TUN */
	int release_result;
	struct rig_packet released[RIG_KEPT];
	size_t n_released;
};

static inline void rig_keep(struct rig_packet *kept, size_t *n, const struct iovec *parts,
	int n_parts, uint32_t ip_bytes, bool partial)
{
	struct rig_packet *packet = &kept[*n % RIG_KEPT];
	size_t len = 0;
	int i;

	for (i = 0; i < n_parts; i++)
		len += parts[i].iov_len;
	rig_must(len <= RIG_PACKET_BYTES, "packet too long");
	free(packet->bytes);
	*packet = (struct rig_packet){.ip_bytes = ip_bytes, .partial = partial};
	packet->bytes = malloc(len);
	rig_must(packet->bytes, "memory");
	for (i = 0; i < n_parts; i++) {
		memcpy(packet->bytes + packet->len, parts[i].iov_base, parts[i].iov_len);
		packet->len += (uint32_t)parts[i].iov_len;
	}
	++*n;
}

static inline int rig_op_fd(void *source)
{
	return -1;
}

static inline size_t rig_op_receive(void *source, struct xsk_frame ret_frames[], size_t max)
{
	struct rig *rig = source;
	size_t n = rig->n_waiting - rig->n_taken < max ? rig->n_waiting - rig->n_taken : max;

	memcpy(ret_frames, rig->waiting + rig->n_taken, n * sizeof(ret_frames[0]));
	rig->n_taken += n;
	return n;
}

static inline void rig_op_put_back(void *source)
{
	struct rig *rig = source;
	size_t i;

	for (i = 0; i < rig->n_taken; i++) {
		free(rig->waiting[i].bytes);
		rig->waiting[i].bytes = NULL;
	}
	if (rig->n_taken == rig->n_waiting)
		rig->n_taken = rig->n_waiting = 0;
}

static inline uint8_t *rig_op_send_begin(void *source)
{
	struct rig *rig = source;

	return rig->no_tx ? NULL : rig->tx;
}

static inline void rig_op_send_end(void *source, uint32_t len_bytes)
{
	struct rig *rig = source;
	struct iovec part = {rig->tx, len_bytes};

	rig_must(len_bytes <= REPLY_BYTES_MAX, "reply too long");
	rig_keep(rig->sent, &rig->n_sent, &part, 1, 0, false);
}

static inline void rig_op_flush(void *source)
{
	struct rig *rig = source;

	rig->n_flushed = rig->n_sent;
}

static inline int rig_op_release(
	void *out, const struct iovec *parts, int n_parts, uint32_t ip_header_bytes, bool partial)
{
	struct rig *rig = out;

	if (rig->release_result == 0)
		rig_keep(rig->released, &rig->n_released, parts, n_parts, ip_header_bytes, partial);
	return rig->release_result;
}

static inline uint64_t rig_op_now_us(void *clock)
{
	struct rig *rig = clock;

	return rig->on_loop ? loop_now_us(rig->io.loop) : rig->now_us;
}

static const struct gate_io_ops rig_ops = {
	.fd = rig_op_fd,
	.receive = rig_op_receive,
	.put_back = rig_op_put_back,
	.send_begin = rig_op_send_begin,
	.send_end = rig_op_send_end,
	.flush = rig_op_flush,
	.release = rig_op_release,
	.now_us = rig_op_now_us,
};

/* One listener at `local`, and nothing else. */
static inline void rig_listen(struct rig *rig, const char *local)
{
	struct gate_listener listener = {
		.local = rig_addr(local), .policy = rig->policy, .handshake_ms = 5000};

	gate_set_listeners(rig->gate, &listener, 1);
}

static inline struct gate_policy *rig_policy(const struct gate_policy_spec *wanted)
{
	static const struct gate_name names[] = {{{"www.test", 8}, 1}};
	struct gate_policy_spec spec = wanted ? *wanted : (struct gate_policy_spec){0};
	struct gate_policy *policy;
	struct err err = {""};

	spec.name = "test";
	spec.listener_id = 5;
	spec.names = names;
	spec.n_names = 1;
	rig_must(gate_policy_new(&spec, 1, &policy, &err) == 0, err.text);
	return policy;
}

static inline void rig_open_gate(struct rig *rig, uint32_t flights_max)
{
	void *source = rig;
	struct gate_io io = {&rig_ops, &source, 1, rig, rig};
	struct gate_spec spec = {
		.io = &rig->io, .worker = &rig->worker, .flights_max = flights_max};
	struct err err = {""};

	rig_must(gate_new_io(&spec, &io, &rig->gate, &err) == 0, err.text);
}

static inline void rig_init(
	struct rig *rig, const struct gate_policy_spec *wanted, uint32_t flights_max)
{
	memset(rig, 0, sizeof(*rig));
	rig->now_us = 1000 * 1000;
	rig->settings.epoch = 1000;
	rig->settings.cookie_secrets[0].keys[0][0] = 0x0123456789abcdef;
	rig->settings.cookie_secrets[0].keys[0][1] = 0xfedcba9876543210;
	rig->node = (struct gate_node){gate_limits_new(), gate_released_new(), &rig->settings};
	rig_must(iothread_init(&rig->io, 0) == 0, "loop");
	rig_must(gate_worker_init(&rig->worker, &rig->node) == 0, "worker");
	rig->policy = rig_policy(wanted);
	rig_open_gate(rig, flights_max);
	rig_listen(rig, RIG_LOCAL);
}

static inline void rig_fini(struct rig *rig)
{
	size_t i;

	gate_free(rig->gate);
	shared_put(&rig->policy->shared);
	gate_worker_fini(&rig->worker);
	iothread_fini(&rig->io);
	gate_limits_free(rig->node.limits);
	gate_released_free(rig->node.released);
	for (i = 0; i < RIG_KEPT; i++) {
		free(rig->sent[i].bytes);
		free(rig->released[i].bytes);
	}
	for (i = rig->n_taken; i < rig->n_waiting; i++)
		free(rig->waiting[i].bytes);
}

/* A frame waits for the gate. */
static inline void rig_queue(struct rig *rig, const void *frame, uint32_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	rig_must(copy && rig->n_waiting < RIG_FRAMES, "too many frames");
	memcpy(copy, frame, len);
	rig->waiting[rig->n_waiting++] = (struct xsk_frame){copy, len};
}

static inline void rig_take(struct rig *rig, const void *frame, uint32_t len)
{
	rig_queue(rig, frame, len);
	gate_serve(rig->gate, 0);
}

static inline void rig_pass_ms(struct rig *rig, uint32_t ms)
{
	rig->now_us += (uint64_t)ms * 1000;
	gate_fire_due(rig->gate);
}

static inline uint64_t rig_count(const struct rig *rig, enum gate_reason reason)
{
	return rig->worker.counts.reasons[reason];
}

static inline const struct rig_packet *rig_last_sent(const struct rig *rig)
{
	rig_must(rig->n_sent, "nothing was sent");
	return &rig->sent[(rig->n_sent - 1) % RIG_KEPT];
}

static inline const struct rig_packet *rig_last_released(const struct rig *rig)
{
	rig_must(rig->n_released, "nothing was released");
	return &rig->released[(rig->n_released - 1) % RIG_KEPT];
}

enum rig_client_flags {
	RIG_TIMESTAMPS = 1,
	RIG_KERNEL_COOKIE = 2,
	RIG_NO_SACK = 4,
	RIG_NO_SCALE = 8
};

/* A client that got a SYN-ACK with a cookie (or one of the kernel's). */
struct rig_client {
	struct rig_segment segment; /* what its segments have in common */
	int flags; /* enum rig_client_flags */
	uint32_t isn;
	const uint8_t *stream;
	size_t stream_bytes;
};

/* What the SYN-ACK to its initial sequence number told it. */
static inline void rig_client_stamp(struct rig_client *client, const struct rig *rig)
{
	struct rig_segment *segment = &client->segment;
	struct sluice_cookie cookie = {.client_isn = client->isn,
		.has_timestamp = segment->has_timestamp,
		.options = (client->flags & RIG_NO_SACK ? 0u : COOKIE_SACK) |
			   (client->flags & RIG_NO_SCALE ? SLUICE_COOKIE_NO_SCALE : 7u)};
	struct sluice_cookie_tuple tuple = {.from_port_be = htons(addr_port(&segment->from)),
		.to_port_be = htons(addr_port(&segment->to)),
		.v6 = segment->from.any.sa_family == AF_INET6};

	addr_to_mapped(&segment->from, (uint8_t *)tuple.from_be);
	addr_to_mapped(&segment->to, (uint8_t *)tuple.to_be);
	sluice_cookie_make(
		rig->settings.cookie_secrets[0].keys, rig->settings.epoch, &tuple, &cookie);
	segment->ack = (client->flags & RIG_KERNEL_COOKIE ? ~cookie.ret_isn : cookie.ret_isn) + 1;
	segment->tsecr = cookie.ret_tsval;
}

static inline void rig_client_init(struct rig_client *client, const struct rig *rig,
	const char *from, const char *to, int flags, const struct hello_bytes *stream)
{
	*client = (struct rig_client){
		.segment = {.from = rig_addr(from),
			.to = rig_addr(to),
			.has_timestamp = flags & RIG_TIMESTAMPS,
			.tsval = 5000},
		.flags = flags,
		.isn = 0xfffffc00, /* wraps in the hello */
		.stream = stream->at,
		.stream_bytes = stream->len,
	};
	rig_client_stamp(client, rig);
}

/* Bytes [from, to) of its stream; returns the length of the frame. */
static inline uint32_t rig_client_frame(
	struct rig_client *client, size_t from, size_t to, uint8_t flags, uint8_t *ret_frame)
{
	struct rig_segment segment = client->segment;

	segment.seq = client->isn + 1 + (uint32_t)from;
	segment.flags = flags;
	segment.payload = client->stream + from;
	segment.payload_bytes = to - from;
	client->segment.tsval++;
	return rig_frame(&segment, ret_frame);
}

static inline void rig_client_send(
	struct rig_client *client, struct rig *rig, size_t from, size_t to)
{
	uint8_t frame[RIG_FRAME_BYTES];

	rig_take(rig, frame, rig_client_frame(client, from, to, 0, frame));
}

#endif
