/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SYN cookies (<sluice/cookie.h>) as the programs use them: for XDP and tc alike. */
#ifndef SLUICE_BPF_COOKIE_H
#define SLUICE_BPF_COOKIE_H

#include "listener.h"
#include "options.h"
#include "tcp.h"

static __always_inline void cookie_tuple(
	struct sluice_cookie_tuple *tuple, const struct packet *packet, bool bound)
{
	__builtin_memcpy(tuple->from_be, packet->saddr_be, sizeof(tuple->from_be));
	__builtin_memcpy(tuple->to_be, packet->daddr_be, sizeof(tuple->to_be));
	tuple->from_port_be = packet->ports.source;
	tuple->to_port_be = packet->ports.dest;
	tuple->v6 = packet->v6;
	tuple->bound = bound;
}

#define COOKIE_OFFER_TIMESTAMPS (COOKIE_OPTIONS_MASK + 1) /* beside enum cookie_bits */

/* Of what the client offered, what the kernel lets a socket be made with. Left in packet->offer,
 * and read from there: the verifier does not follow values through that memory, and need not walk
 * through all that comes after for every combination. */
static __always_inline void cookie_offer(
	struct packet *packet, const struct sluice_settings *config)
{
	const struct tcp_options *options = &packet->tcp_options;
	const __u8 ecn = TCP_FLAG_ECE_BIT | TCP_FLAG_CWR_BIT;
	__u32 bits = sluice_cookie_mss_bits(options->mss, packet->v6);

	if ((packet->flags & ecn) == ecn && (config->flags & SETTINGS_ECN))
		bits |= COOKIE_ECN;
	if (options->sack && (config->flags & SETTINGS_SACK))
		bits |= COOKIE_SACK;
	if (options->has_timestamp && (config->flags & SETTINGS_TIMESTAMPS))
		bits |= COOKIE_OFFER_TIMESTAMPS;
	if (!options->has_scale || !(config->flags & SETTINGS_WINDOW_SCALING))
		bits |= SLUICE_COOKIE_NO_SCALE;
	else
		bits |= options->scale < TCP_SCALE_MAX ? options->scale : TCP_SCALE_MAX;
	packet->offer = bits;
}

static __always_inline enum cookie_verdict cookie_check_as(const struct packet *packet,
	const struct sluice_settings *config, const struct sluice_cookie_tuple *tuple,
	__u32 *ret_offset)
{
	const struct tcp_options *options = &packet->tcp_options;
	enum cookie_verdict verdict = sluice_cookie_check(sluice_cookie_secret_of(config)->keys,
		config->epoch, tuple, packet->ack_seq - 1, options->has_timestamp, options->tsecr,
		packet->seq, ret_offset);

	if (!options->has_timestamp)
		*ret_offset = 0;
	return verdict;
}

/* Was the gate of this listener switched on or off so lately that cookies of before come in? */
static __always_inline bool cookie_gate_changed(
	const struct sluice_guard *guard, const struct sluice_settings *config)
{
	__u32 age = config->epoch - (guard->flags >> LISTENER_GATE_EPOCH_SHIFT);

	return (age & LISTENER_GATE_EPOCH_MASK) <= LISTENER_GATE_EPOCHS;
}

/* As if the gate were as it was before. A function of its own, since it is asked for a few minutes
 * after that, and of what has no timestamps. */
__noinline int cookie_check_changed(const struct packet *packet, __u32 bound)
{
	const struct sluice_settings *config = settings_get();
	struct sluice_cookie_tuple tuple;
	__u32 offset = 0;

	if (!packet || !config)
		return COOKIE_BAD;
	cookie_tuple(&tuple, packet, bound);
	return cookie_check_as(packet, config, &tuple, &offset);
}

/* Is the segment's acknowledgement number a cookie? *ret_offset: its place in the stream, 0 where
 * that is not known. */
static __always_inline enum cookie_verdict cookie_check(struct packet *packet,
	const struct sluice_guard *guard, const struct sluice_settings *config, __u32 *ret_offset)
{
	bool bound = !listener_is_gated(guard);
	struct sluice_cookie_tuple tuple;
	enum cookie_verdict verdict;

	cookie_tuple(&tuple, packet, bound);
	verdict = cookie_check_as(packet, config, &tuple, ret_offset);
	if (verdict != COOKIE_BAD || packet->tcp_options.has_timestamp ||
		!cookie_gate_changed(guard, config))
		return verdict;
	verdict = cookie_check_changed(packet, !bound);
	packet->gate_changed = verdict != COOKIE_BAD;
	return verdict;
}

#endif
