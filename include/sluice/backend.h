/*
 * The `backends` and `target_groups` maps: what a person (and later the forwarding stage) wants
 * to know about targets. Written by the control thread.
 */
#ifndef SLUICE_BACKEND_H
#define SLUICE_BACKEND_H

#include <sluice/types.h>
#include <sluice/limits.h>

enum backend_state {
#define STATE(id, name) BACKEND_##id,
#include <sluice/backend.def>
#undef STATE
	BACKEND_STATE_COUNT
};

enum backend_reason {
#define REASON(id, name, help) WHY_##id,
#include <sluice/backend.def>
#undef REASON
	WHY_COUNT
};

enum group_protocol {
	GROUP_HTTP,
	GROUP_HTTPS,
	GROUP_TCP,
	GROUP_TLS,
	GROUP_UDP,
};

enum group_algorithm {
	GROUP_ROUND_ROBIN,
	GROUP_LEAST_OUTSTANDING,
	GROUP_WEIGHTED_RANDOM,
	GROUP_MAGLEV,
};

/* Key: backend id, __u32. */
struct sluice_backend {
	char address_text[SLUICE_ADDRESS_BYTES]; /* "10.0.0.1:8080" */
	char group[SLUICE_NAME_BYTES];
	enum backend_state state;
	enum backend_reason reason;
	__u32 addr_be[4]; /* IPv4 mapped */
	__u16 port_be;
	__u16 port;
	__u32 group_id;
	__u32 weight;
	__u32 successes; /* consecutive */
	__u32 failures;  /* consecutive */
	__u32 latency_us; /* of the last successful check */
	__u64 last_change_unix_s;
	__u64 checks;
	__u64 checks_failed;
};
SLUICE_SIZE(struct sluice_backend, 200);

/* Key: group id, __u32. */
struct sluice_target_group {
	char name[SLUICE_NAME_BYTES];
	enum group_protocol protocol;
	enum group_algorithm algorithm;
	__u32 targets;
	__u32 healthy;
	__u32 unhealthy;
	__u32 initial;
	__u32 draining;
	__u32 unused;
};
SLUICE_SIZE(struct sluice_target_group, 96);

#endif
