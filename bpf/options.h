/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Options of a TCP segment, into packet->tcp_options. The layouts that the great systems send are
 * known at a glance; all others are copied out of the frame and walked through.
 */
#ifndef SLUICE_BPF_OPTIONS_H
#define SLUICE_BPF_OPTIONS_H

#include "parse.h"

#define TCP_OPTIONS_MAX 40

#define TCP_OPTION_END        0
#define TCP_OPTION_NOP        1
#define TCP_OPTION_MSS        2
#define TCP_OPTION_SCALE      3
#define TCP_OPTION_SACK       4
#define TCP_OPTION_TIMESTAMPS 8

#define TCP_SCALE_MAX 14 /* RFC 7323 section 2.3 */

/* Options out of the frame, zero (end of list) behind. */
struct option_bytes {
	__u8 bytes[64]; /* 40 are used; a power of two so that an index can be masked */
};

/* Four bytes of options as they are written in the RFCs. */
#define OPTION_WORD(a, b, c, d)                                                                    \
	bpf_htonl((__u32)(a) << 24 | (__u32)(b) << 16 | (__u32)(c) << 8 | (__u32)(d))

#define OPTION_WORD_TIMESTAMPS                                                                     \
	OPTION_WORD(TCP_OPTION_NOP, TCP_OPTION_NOP, TCP_OPTION_TIMESTAMPS, 10)
#define OPTION_WORD_SACK_TIMESTAMPS OPTION_WORD(TCP_OPTION_SACK, 2, TCP_OPTION_TIMESTAMPS, 10)
#define OPTION_WORD_MSS(mss)        OPTION_WORD(TCP_OPTION_MSS, 4, (mss) >> 8, (mss) & 255)
#define OPTION_WORD_SCALE(scale)    OPTION_WORD(TCP_OPTION_NOP, TCP_OPTION_SCALE, 3, scale)
#define OPTION_WORD_SACK            OPTION_WORD(TCP_OPTION_NOP, TCP_OPTION_NOP, TCP_OPTION_SACK, 2)
#define OPTION_WORD_NOPS            OPTION_WORD(1, 1, 1, 1)

static __always_inline __u8 option_byte(const struct option_bytes *bytes, __u64 at)
{
	/* the mask must reach the verifier, the compiler would drop it */
	asm volatile("%0 &= 63" : "+r"(at));
	return bytes->bytes[at];
}

static __always_inline __u32 option_u32(const struct option_bytes *bytes, __u32 at)
{
	return (__u32)option_byte(bytes, at) << 24 | (__u32)option_byte(bytes, at + 1) << 16 |
	       (__u32)option_byte(bytes, at + 2) << 8 | option_byte(bytes, at + 3);
}

static __always_inline void option_take(
	const struct option_bytes *bytes, __u32 at, __u8 length, struct tcp_options *options)
{
	__u8 kind = option_byte(bytes, at);

	if (kind == TCP_OPTION_MSS && length == 4) {
		options->mss = option_byte(bytes, at + 2) << 8 | option_byte(bytes, at + 3);
	} else if (kind == TCP_OPTION_SCALE && length == 3) {
		options->scale = option_byte(bytes, at + 2);
		options->has_scale = true;
	} else if (kind == TCP_OPTION_SACK && length == 2) {
		options->sack = true;
	} else if (kind == TCP_OPTION_TIMESTAMPS && length == 10) {
		options->tsval = option_u32(bytes, at + 2);
		options->tsecr = option_u32(bytes, at + 6);
		options->has_timestamp = true;
	}
}

/* Returns 0, or -1 when an option's length is impossible. */
static __always_inline int option_walk(
	const struct option_bytes *bytes, __u32 len, struct tcp_options *options)
{
	__u32 at = 0;

	for (int i = 0; i < TCP_OPTIONS_MAX && at < len; i++) {
		__u8 kind, length;

		/* all the verifier shall know, so that its ways through the loop meet here */
		asm volatile("%0 &= 63" : "+r"(at));
		kind = option_byte(bytes, at);
		if (kind == TCP_OPTION_END)
			break;
		if (kind == TCP_OPTION_NOP) {
			at++;
			continue;
		}
		length = option_byte(bytes, at + 1);
		if (length < 2 || at + length > len)
			return -1;
		option_take(bytes, at, length, options);
		at += length;
	}
	return 0;
}

/* Any layout. 0; -1: malformed, or not in the frame. A function of its own, so that the verifier
 * walks through the loop once. */
__noinline int options_walk(struct xdp_md *ctx, struct packet *packet)
{
	struct option_bytes bytes = {};
	__u32 len;

	if (!packet || packet->header_len < sizeof(struct tcphdr))
		return -1;
	len = packet->header_len - sizeof(struct tcphdr);
	asm volatile("%0 &= 63" : "+r"(len));
	if (len == 0)
		return 0;
	if (bpf_xdp_load_bytes(ctx, packet->l4 + sizeof(struct tcphdr), bytes.bytes, len))
		return -1;
	return option_walk(&bytes, len, &packet->tcp_options);
}

#define OPTIONS_LINUX_WORDS      5
#define OPTIONS_WINDOWS_WORDS    3
#define OPTIONS_TIMESTAMPS_WORDS 3

/* Linux's and Android's SYN: MSS, SACK, timestamps, scale. */
static __always_inline bool options_are_linux(const __u32 *words_be, struct tcp_options *options)
{
	if (words_be[1] != OPTION_WORD_SACK_TIMESTAMPS ||
		(words_be[0] & bpf_htonl(0xffff0000)) != OPTION_WORD_MSS(0) ||
		(words_be[4] & bpf_htonl(0xffffff00)) != OPTION_WORD_SCALE(0))
		return false;
	options->mss = bpf_ntohl(words_be[0]);
	options->tsval = bpf_ntohl(words_be[2]);
	options->scale = bpf_ntohl(words_be[4]);
	options->has_scale = options->has_timestamp = options->sack = true;
	return true;
}

/* Windows's SYN: MSS, scale, SACK. */
static __always_inline bool options_are_windows(const __u32 *words_be, struct tcp_options *options)
{
	if (words_be[2] != OPTION_WORD_SACK ||
		(words_be[0] & bpf_htonl(0xffff0000)) != OPTION_WORD_MSS(0) ||
		(words_be[1] & bpf_htonl(0xffffff00)) != OPTION_WORD_SCALE(0))
		return false;
	options->mss = bpf_ntohl(words_be[0]);
	options->scale = bpf_ntohl(words_be[1]);
	options->has_scale = options->sack = true;
	return true;
}

/* Every segment of a connection with timestamps. */
static __always_inline bool options_are_timestamps(
	const __u32 *words_be, struct tcp_options *options)
{
	if (words_be[0] != OPTION_WORD_TIMESTAMPS)
		return false;
	options->tsval = bpf_ntohl(words_be[1]);
	options->tsecr = bpf_ntohl(words_be[2]);
	options->has_timestamp = true;
	return true;
}

/* `count` words of options behind the header, NULL when it has more or fewer, or they are not in
 * the linear part of the buffer. */
static __always_inline const __u32 *options_words(
	const struct packet *packet, const struct tcphdr *tcp, void *end, __u32 count)
{
	const __u32 *words = (const __u32 *)(tcp + 1);

	if (packet->header_len != sizeof(*tcp) + 4 * count || (void *)(words + count) > end)
		return NULL;
	return words;
}

/* packet->tcp_options must be zero. -1: malformed. */
static __always_inline int options_of_syn(
	struct xdp_md *ctx, struct packet *packet, const struct tcphdr *tcp)
{
	void *end = frame_end(ctx);
	const __u32 *words = options_words(packet, tcp, end, OPTIONS_LINUX_WORDS);

	if (words && options_are_linux(words, &packet->tcp_options))
		return 0;
	words = options_words(packet, tcp, end, OPTIONS_WINDOWS_WORDS);
	if (words && options_are_windows(words, &packet->tcp_options))
		return 0;
	return options_walk(ctx, packet);
}

/* The same of another segment: nothing but the timestamps matters. */
static __always_inline int options_of_segment(
	struct xdp_md *ctx, struct packet *packet, const struct tcphdr *tcp)
{
	void *end = frame_end(ctx);
	const __u32 *words = options_words(packet, tcp, end, OPTIONS_TIMESTAMPS_WORDS);

	if (words && options_are_timestamps(words, &packet->tcp_options))
		return 0;
	return packet->header_len == sizeof(*tcp) ? 0 : options_walk(ctx, packet);
}

#endif
