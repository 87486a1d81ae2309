/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The SK_REUSEPORT program: the one place that chooses the worker of a connection. Among the
 * workers with a fresh heartbeat the hash of the connection decides; when the worker it names is
 * not available the others share its part. Also called when a listening socket is closed, to
 * move the connections that wait on it (SELECT_OR_MIGRATE).
 * Every worker has its own listening socket: slot = socket row of the listener * MAX_WORKERS +
 * worker. When nothing can be chosen the kernel's own selection applies.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "maps_shared.h"
#include "count.h"
#include "heartbeat.h"

#define AF_INET6 10

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, SLUICE_MAX_LISTENERS * SLUICE_MAX_WORKERS);
	__type(key, __u32);
	__type(value, __u64);
} worker_sockets SEC(".maps");

/* The compiler would merge this load with the one of src_ip6 by moving the pointer, which the
 * verifier refuses for sockets: this keeps the offset inside the load. */
static __always_inline __u32 reuseport_src_ip4(const struct bpf_sock *sk)
{
	__u32 address;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		: "=r"(address)
		: "r"(sk), "i"(offsetof(struct bpf_sock, src_ip4)));
	return address;
}

/* The row of the address the listening sockets of this group are bound to. */
static __always_inline struct sluice_listener *reuseport_listener(struct sk_reuseport_md *ctx)
{
	struct sluice_listener_key key = {.protocol = ctx->ip_protocol};
	struct bpf_sock *sk = ctx->sk;

	key.port_be = bpf_htons(sk->src_port);
	if (sk->family == AF_INET6) {
		key.addr_be[0] = sk->src_ip6[0];
		key.addr_be[1] = sk->src_ip6[1];
		key.addr_be[2] = sk->src_ip6[2];
		key.addr_be[3] = sk->src_ip6[3];
	} else {
		key.addr_be[2] = bpf_htonl(0xffff);
		key.addr_be[3] = reuseport_src_ip4(sk);
	}
	return bpf_map_lookup_elem(&listeners, &key);
}

/* Maps a 32-bit hash onto [0, count) without a division. */
static __always_inline __u32 reuseport_scale(__u32 hash, __u32 count)
{
	return (__u64)hash * count >> 32;
}

static __always_inline bool reuseport_select(struct sk_reuseport_md *ctx, __u32 slot)
{
	return bpf_sk_select_reuseport(ctx, &worker_sockets, &slot, 0) == 0;
}

struct reuseport_walk {
	struct sk_reuseport_md *ctx;
	const struct sluice_settings *config;
	__u64 now_ns;
	__u32 base;
	__u32 worker;
	bool selected;
};

static long reuseport_try(__u64 step, struct reuseport_walk *walk)
{
	__u32 worker = walk->worker;

	if (heartbeat_fresh(worker, walk->config, walk->now_ns) &&
		reuseport_select(walk->ctx, walk->base + worker)) {
		walk->selected = true;
		return 1;
	}
	walk->worker = worker + 1 < walk->config->worker_count ? worker + 1 : 0;
	return 0;
}

/* The named worker cannot: start somewhere else, so that its part spreads over all the others. */
static __always_inline bool reuseport_select_other(
	struct sk_reuseport_md *ctx, const struct sluice_settings *config, __u32 base, __u64 now_ns)
{
	struct reuseport_walk walk = {
		.ctx = ctx,
		.config = config,
		.now_ns = now_ns,
		.base = base,
		.worker = reuseport_scale(ctx->hash * 0x9e3779b1u, config->worker_count),
	};

	bpf_loop(config->worker_count, reuseport_try, &walk, 0);
	return walk.selected;
}

SEC("sk_reuseport/migrate")
int sluice_reuseport(struct sk_reuseport_md *ctx)
{
	struct sluice_listener *listener = reuseport_listener(ctx);
	struct sluice_settings *config;
	__u32 row = 0, worker;
	__u64 now_ns;

	config = bpf_map_lookup_elem(&settings, &row);
	if (!listener || !config) {
		COUNT(reuseport_default);
		return SK_PASS;
	}
	if (ctx->migrating_sk)
		COUNT(reuseport_migrated);
	now_ns = heartbeat_now_ns();
	worker = reuseport_scale(ctx->hash, config->worker_count);
	if (heartbeat_fresh(worker, config, now_ns) &&
		reuseport_select(ctx, listener->socket_base + worker))
		COUNT(reuseport_selected);
	else if (reuseport_select_other(ctx, config, listener->socket_base, now_ns))
		COUNT(reuseport_moved);
	else
		COUNT(reuseport_default);
	return SK_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
