/*
 * A dropped packet (or refused first flight), for `sluicectl watch drops` and `top`. The XDP program
 * writes them into the ring buffer `samples`: always a few a second and CPU, more while somebody
 * watches (sluice_settings.sample_*).
 */
#ifndef SLUICE_SAMPLE_H
#define SLUICE_SAMPLE_H

#include <sluice/types.h>
#include <sluice/limits.h>

#define SLUICE_SAMPLE_RING_BYTES (256 * 1024)

struct sluice_sample {
	__u32 saddr_be[4]; /* IPv4 mapped; zero where the headers could not be read */
	__u32 daddr_be[4];
	__u16 sport_be;
	__u16 dport_be;
	__u16 reason;     /* enum sluice_counter */
	__u8 tcp_flags;
	__u8 v6;
	__u32 length;     /* of the frame, bytes */
	__u32 ifindex;
	__u64 weight; /* packets this one stands for: drops of this CPU since its last sample */
};
SLUICE_SIZE(struct sluice_sample, 56);

/* Per CPU: paces the samples. */
struct sluice_sample_pace {
	__u64 drops;      /* since the last sample */
	__u64 due_jiffies; /* of the next sample */
};
SLUICE_SIZE(struct sluice_sample_pace, 16);

#endif
