/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage: of what is dropped, a bounded few per second and CPU are shown to user space
 * (<sluice/sample.h>). Every drop costs a count and a look at the clock of this CPU; packets that
 * are not dropped never come here.
 */
#ifndef SLUICE_BPF_SAMPLE_H
#define SLUICE_BPF_SAMPLE_H

#include "count.h"
#include "maps_lists.h"
#include "parse.h"

/* Where the drop is seen. The programs fill it from their contexts. */
struct sample_frame {
	__u32 length;
	__u32 ifindex;
};

static __always_inline __u32 sample_interval(void)
{
	__u32 row = 0;
	const struct sluice_settings *config = bpf_map_lookup_elem(&settings, &row);

	return config ? config->sample_every_jiffies : 0;
}

static __always_inline void sample_fill(struct sluice_sample *sample, const struct packet *packet)
{
	__builtin_memcpy(sample->saddr_be, packet->saddr_be, sizeof(sample->saddr_be));
	__builtin_memcpy(sample->daddr_be, packet->daddr_be, sizeof(sample->daddr_be));
	sample->v6 = packet->v6;
	sample->sport_be = packet->ports.source;
	sample->dport_be = packet->ports.dest;
	sample->tcp_flags = packet->flags;
}

/* What did not fit the ring stays in `drops`: the next sample stands for it, too. */
static __always_inline void sample_write(struct sluice_sample_pace *pace,
	const struct packet *packet, enum sluice_counter reason, const struct sample_frame *frame)
{
	struct sluice_sample *sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);

	if (!sample) {
		COUNT(samples_lost);
		return;
	}
	sample_fill(sample, packet);
	sample->reason = reason;
	sample->length = frame->length;
	sample->ifindex = frame->ifindex;
	sample->weight = pace->drops;
	pace->drops = 0;
	bpf_ringbuf_submit(sample, 0);
}

/* Is this drop one to show? Counts it. NULL: no. */
static __always_inline struct sluice_sample_pace *sample_due(void)
{
	__u64 now = bpf_jiffies64();
	struct sluice_sample_pace *pace;
	__u32 row = 0, interval;

	pace = bpf_map_lookup_elem(&sample_pace, &row);
	if (!pace)
		return NULL;
	pace->drops++;
	if ((__s64)(pace->due_jiffies - now) > 0)
		return NULL;
	interval = sample_interval();
	if (!interval)
		return NULL;
	pace->due_jiffies = now + interval;
	return pace;
}

/* In the XDP program, when sample_due() said so: the frame has been read once more for it. */
static __always_inline void sample_take(
	struct xdp_md *ctx, const struct packet *packet, enum sluice_counter reason)
{
	struct sample_frame frame = {
		.length = bpf_xdp_get_buff_len(ctx),
		.ifindex = ctx->ingress_ifindex,
	};
	struct sluice_sample_pace *pace;
	__u32 row = 0;

	pace = bpf_map_lookup_elem(&sample_pace, &row);
	if (pace)
		sample_write(pace, packet, reason, &frame);
}

/* In a tc program: the whole. */
static __always_inline void sample_drop_skb(
	struct __sk_buff *skb, const struct packet *packet, enum sluice_counter reason)
{
	struct sluice_sample_pace *pace = sample_due();

	if (pace) {
		struct sample_frame frame = {.length = skb->len, .ifindex = skb->ifindex};

		sample_write(pace, packet, reason, &frame);
	}
}

#endif
