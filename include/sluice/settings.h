/* The `settings` map (one row, memory mapped by the daemon) and the `workers` heartbeats. */
#ifndef SLUICE_SETTINGS_H
#define SLUICE_SETTINGS_H

#include <sluice/types.h>
#include <sluice/limits.h>
#include <sluice/limit.h>
#include <sluice/cookie.h>
#include <sluice/gate.h>

enum settings_flags {
	/* What the kernel allows a socket to be made with (net.ipv4.tcp_*): a SYN-ACK offers no more. */
	SETTINGS_WINDOW_SCALING = 1,
	SETTINGS_SACK = 2,
	SETTINGS_TIMESTAMPS = 4,
	SETTINGS_ECN = 8,
};

struct sluice_settings {
	__u32 layout_version; /* SLUICE_LAYOUT_VERSION of the daemon that wrote the pinned maps */
	__u32 worker_count; /* rows of `workers` in use */
	__u64 hash_key[2]; /* secret of the source table, new at every start from scratch */
	__u64 stale_ns; /* age at which a heartbeat no longer counts */
	__u32 source_mask; /* rows of source_buckets - 1 */
	__u32 deny_state; /* enum deny_state: changed in one store */
	__u64 started_unix_s;
	__u32 guard_slot; /* row of listener_table in force: changed in one store */
	__u32 flags; /* enum settings_flags */
	enum handover handover;
	__u32 epoch; /* CLOCK_REALTIME / SLUICE_EPOCH_S, kept by the daemon */
	struct sluice_cookie_secret cookie_secrets[2]; /* see sluice_cookie_secret_of() */
	__u64 meta_magic; /* random, sluice_meta.magic */
	__u32 meta_missing; /* set by the XDP program: a driver has no room for metadata */
	__u32 gate_frame_bytes; /* longest frame an AF_XDP socket takes; 0: no gate */
	__u32 sample_every_jiffies; /* between two samples of a CPU; 0: none */
	__u32 cookie_slot; /* row of cookie_secrets in force: changed in one store */
	struct sluice_limit resets; /* RSTs for segments that belong to nothing, of the node */
	__u64 source_longest; /* ticks that a row of source_buckets can be ahead, by any limit */
};
SLUICE_SIZE(struct sluice_settings, 192);

/* The secret in force: whole, since every change is written into the other row. */
SLUICE_INLINE const struct sluice_cookie_secret *sluice_cookie_secret_of(
	const struct sluice_settings *settings)
{
	__u32 slot = *(const volatile __u32 *)&settings->cookie_slot;

	return slot & 1 ? &settings->cookie_secrets[1] : &settings->cookie_secrets[0];
}

enum worker_state {
	WORKER_UNUSED,
	WORKER_RUNNING,
	WORKER_STOPPING, /* gets no new connections, whatever its stamp says */
};

/* One cache line per worker, written by that worker only. */
struct sluice_worker {
	__u64 stamp_ns; /* CLOCK_MONOTONIC_COARSE of its last loop turn */
	enum worker_state state;
	__u32 pid;
	__u64 pad[6];
};
SLUICE_SIZE(struct sluice_worker, 64);

#endif
