/*
 * Token buckets that are charged in user space: TLS handshakes per source, prefix, listener, server
 * name and JA4 fingerprint. A number holds for the node: one fixed table of 8-byte buckets (the same
 * algorithm as <sluice/limit.h>), indexed by a keyed hash, charged by compare-and-swap from any
 * worker. Two rows per key, granted if either has a token, so that two keys that share a row do not
 * harm each other; for one key exact. Memory is bounded whatever clients send.
 */
#ifndef SLUICE_GATE_LIMITS_H
#define SLUICE_GATE_LIMITS_H

#include "core/attr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gate_limit {
	uint32_t rate_per_s; /* 0: no limit */
	uint32_t burst;      /* 0: one second's worth */
	uint8_t generation;  /* another one than before the change: old buckets count as full */
};

struct gate_limits;

/* One for the node; lives as long as the workers. */
struct gate_limits *gate_limits_new(void);
void gate_limits_free(struct gate_limits *limits);

enum gate_limit_kind { /* part of the key, so that equal bytes of two kinds are two buckets */
	GATE_LIMIT_SOURCE,
	GATE_LIMIT_PREFIX,
	GATE_LIMIT_LISTENER,
	GATE_LIMIT_NAME,
	GATE_LIMIT_JA4,
};

enum { GATE_LIMIT_KEY_BYTES_MAX = 256 };

/* Takes a token. `scope` is the listener's id. Any thread. */
bool gate_limits_charge(struct gate_limits *limits, const struct gate_limit *limit,
	enum gate_limit_kind kind, uint32_t scope, const void *key, size_t key_bytes,
	uint64_t now_us);

#endif
