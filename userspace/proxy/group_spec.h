/* How a target group is made and what it does with its targets: see group.h. Plain data. */
#ifndef SLUICE_PROXY_GROUP_SPEC_H
#define SLUICE_PROXY_GROUP_SPEC_H

#include "proxy/balance_key.h"
#include "proxy/outlier.h"
#include "proxy/retry.h"
#include "proxy/sticky.h"

struct group_state;
struct target_member;
struct tls_client;

/* The order of the words in settings.def. */
enum balance_algorithm {
	BALANCE_ROUND_ROBIN,
	BALANCE_LEAST_OUTSTANDING,
	BALANCE_WEIGHTED_RANDOM,
	BALANCE_CONSISTENT_HASH,
};
/* Of HTTP, towards the targets. GRPC: HTTP/2 that is used for nothing else. */
enum group_version { GROUP_HTTP1, GROUP_HTTP2, GROUP_GRPC };
enum proxy_out { PROXY_OUT_OFF, PROXY_OUT_V1, PROXY_OUT_V2 };

/* 0: no limit. */
struct group_limits {
	uint32_t connections; /* to one target, with something under way */
	uint32_t requests; /* under way at one target; tunnels, too */
	uint32_t pending; /* in the group: wait for a new connection to a target */
};

struct group_spec {
	const char *name;
	struct group_state *state; /* the group takes its own count; NULL: it makes one */
	enum group_version version; /* HTTP1 for anything but HTTP, too */
	enum balance_algorithm algorithm;
	struct balance_key_spec key; /* CONSISTENT_HASH */
	bool fail_open;
	/* Fewer usable targets than either: the group fails open. */
	uint32_t fail_open_below, fail_open_below_percent;
	uint32_t slow_start_ms; /* 0: none */
	struct group_limits limits;
	struct outlier_spec outlier;
	struct retry_spec retry;
	struct sticky_spec sticky; /* the texts are copied */
	enum proxy_out proxy_out;
	struct tls_client *tls; /* NULL: plain; the group takes its own count */
	const char *tls_name; /* SNI and name to verify; NULL: the target's host or address */
	uint32_t connect_ms, response_ms;
	uint32_t pool_per_worker; /* idle connections kept per target and worker */
	uint32_t pool_idle_ms;
	struct target_member *members; /* the group takes its own count on each target */
	uint32_t n_members;
	uint32_t n_workers;
};

/* Requests and tunnels that one target may have under way; 0: any number. Each has a connection, but in
 * HTTP/2. */
static inline uint32_t group_limit_in_use(const struct group_spec *spec)
{
	const struct group_limits *limits = &spec->limits;

	if (spec->version != GROUP_HTTP1)
		return limits->requests;
	if (!limits->connections || !limits->requests)
		return limits->connections ? limits->connections : limits->requests;
	return limits->connections < limits->requests ? limits->connections : limits->requests;
}

#endif
