/*
 * Why TLS with a target failed: kept per target and worker for whoever looks, and told to the log: a
 * new reason at once, the same one again after a minute. Called by the worker that owns the stream.
 */
#ifndef SLUICE_PROXY_TLS_REFUSAL_H
#define SLUICE_PROXY_TLS_REFUSAL_H

#include "proxy/group.h"

struct stream;

/* `stream` is a TLS stream to a target of the group. Nothing happens if it has not failed. */
void tls_refusal_note(const struct target_group *group, struct target *target, uint32_t worker,
	const struct stream *stream);

/* Of all workers. */
struct tls_refusals {
	uint64_t count;
	int64_t last_unix_s; /* 0: there was none */
	const char *failure, *help, *detail; /* of the last one; detail may be "" */
};

/* Any thread. */
void tls_refusals_sum(
	const struct target *target, uint32_t n_workers, struct tls_refusals *ret_refusals);

#endif
