/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The tc programs that make a socket of a segment with a valid SYN cookie: the kernel takes it as
 * if it had sent the SYN-ACK itself.
 *	sluice_release_tun   on the gate's own TUN device: first flights that were let in
 *	sluice_release_link  on every interface with the XDP program: what that marked (gate_direct)
 * A segment of a connection that the kernel knows passes. The cookie is checked once more: between
 * XDP and here, and in the gate, time has passed, so that one which is stale by now will do.
 * Limits of connections are charged here, once each.
 */
#define BPF_NO_KFUNC_PROTOTYPES /* the one used is declared below, for kernels without it */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "maps_listeners.h"
#include "bucket.h"
#include "cookie.h"
#include "count.h"
#include "interface.h"
#include "listener.h"
#include "parse.h"
#define RECENT_MAP recent_release
#include "recent.h"
#include "sample.h"
#include "socket.h"
#include "tcp.h"

#define TC_ACT_OK   0
#define TC_ACT_SHOT 2

#define TC_PACKET_HOST 0 /* skb->pkt_type: addressed to this device */

#define RELEASE_HEADERS 128 /* bytes that are pulled into the linear part */

struct bpf_tcp_req_attrs___sluice {
	__u32 rcv_tsval;
	__u32 rcv_tsecr;
	__u16 mss;
	__u8 rcv_wscale;
	__u8 snd_wscale;
	__u8 ecn_ok;
	__u8 wscale_ok;
	__u8 sack_ok;
	__u8 tstamp_ok;
	__u8 usec_ts_ok;
	__u8 reserved[3];
};

/* The packet at hand lies in a map and not on the stack, of which there is little. A CPU works on one
 * at a time: packets come in here with softirqs off. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet);
} scratch_release SEC(".maps");

static __always_inline struct packet *release_scratch(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&scratch_release, &row);
}

/* Since 6.9. */
extern void *bpf_cast_to_kern_ctx(void *) __ksym __weak;
extern int bpf_sk_assign_tcp_reqsk(struct __sk_buff *skb, struct sock *sk,
	struct bpf_tcp_req_attrs___sluice *attrs, int attrs__sz) __ksym __weak;

/* In assembler for the same reason as frame_begin(). */
static __always_inline void *skb_begin(const struct __sk_buff *skb)
{
	void *begin;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		: "=r"(begin)
		: "r"(skb), "i"(offsetof(struct __sk_buff, data)));
	return begin;
}

static __always_inline void *skb_end(const struct __sk_buff *skb)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		: "=r"(end)
		: "r"(skb), "i"(offsetof(struct __sk_buff, data_end)));
	return end;
}

/* Whatever the layout; the usual one is read without this. */
__noinline int release_options_walk(struct __sk_buff *skb, struct packet *packet)
{
	struct option_bytes bytes = {};
	__u32 len;

	if (!packet || packet->header_len < sizeof(struct tcphdr))
		return -1;
	len = packet->header_len - sizeof(struct tcphdr);
	asm volatile("%0 &= 63" : "+r"(len));
	if (len == 0)
		return 0;
	if (bpf_skb_load_bytes(skb, packet->l4 + sizeof(struct tcphdr), bytes.bytes, len))
		return -1;
	return option_walk(&bytes, len, &packet->tcp_options);
}

static __always_inline int release_options(
	struct __sk_buff *skb, struct packet *packet, const struct tcphdr *tcp)
{
	const __u32 *words = options_words(packet, tcp, skb_end(skb), OPTIONS_TIMESTAMPS_WORDS);

	if (words && options_are_timestamps(words, &packet->tcp_options))
		return 0;
	return release_options_walk(skb, packet);
}

static __always_inline bool release_parse_ipv6(
	struct cursor *cursor, struct packet *packet, struct headers *headers)
{
	struct ipv6hdr *ip = PARSE_HEADER(cursor, struct ipv6hdr);

	if (!ip || ip->nexthdr != IPPROTO_TCP)
		return false;
	headers->l3 = ip;
	packet->v6 = true;
	packet->l4_len = bpf_ntohs(ip->payload_len);
	return parse_tcp(cursor, packet, headers) == PARSE_TCP;
}

/* Only what the XDP program marks or the gate writes: no IP options, no fragments. */
static __always_inline bool release_parse(
	struct __sk_buff *skb, struct cursor *cursor, __be16 proto, struct packet *ret_packet)
{
	struct headers headers = {};
	struct packet packet = {};

	if (proto == bpf_htons(ETH_P_IP)) {
		if (parse_ipv4(cursor, &packet, &headers) != PARSE_TCP || packet_is_odd(&packet))
			return false;
	} else if (proto != bpf_htons(ETH_P_IPV6) ||
		   !release_parse_ipv6(cursor, &packet, &headers)) {
		return false;
	}
	if (!headers.tcp)
		return false;
	packet_complete(skb_begin(skb), &packet, &headers, ret_packet);
	return ret_packet->header_len >= sizeof(struct tcphdr) &&
	       ret_packet->header_len <= ret_packet->l4_len &&
	       (ret_packet->flags & (TCP_FLAG_SYN_BIT | TCP_FLAG_RST_BIT | TCP_FLAG_ACK_BIT)) ==
		       TCP_FLAG_ACK_BIT &&
	       release_options(skb, ret_packet, headers.tcp) == 0;
}

static __always_inline void release_attributes(
	const struct packet *packet, struct bpf_tcp_req_attrs___sluice *attrs)
{
	__u32 cookie = packet->ack_seq - 1, scale = cookie & COOKIE_SCALE_MASK;

	attrs->mss = sluice_cookie_mss(cookie, packet->v6);
	attrs->sack_ok = !!(cookie & COOKIE_SACK);
	attrs->ecn_ok = !!(cookie & COOKIE_ECN);
	if (scale != SLUICE_COOKIE_NO_SCALE) {
		attrs->wscale_ok = 1;
		attrs->snd_wscale = scale;
		attrs->rcv_wscale = SLUICE_RCV_WSCALE;
	}
	if (packet->tcp_options.has_timestamp) {
		attrs->tstamp_ok = 1;
		attrs->rcv_tsval = packet->tcp_options.tsval;
		attrs->rcv_tsecr = packet->tcp_options.tsecr;
	}
}

/* The listening socket that is found is a hint: which one of the address gets the connection is
 * decided by the SK_REUSEPORT program, as ever. Returns XDP_PASS or a DROP(). */
__noinline int release_make(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_tcp_req_attrs___sluice attrs = {};
	struct bpf_sock *listener;
	struct sock *sk;
	int verdict = DROP(release_refused);

	if (!packet || !bpf_ksym_exists(bpf_sk_assign_tcp_reqsk))
		return verdict;
	listener = socket_lookup(skb, packet, 0);
	if (!listener)
		return DROP(release_no_listener);
	release_attributes(packet, &attrs);
	if (socket_read_state(listener) != BPF_TCP_LISTEN)
		verdict = DROP(release_no_listener);
	else if ((sk = (struct sock *)bpf_skc_to_tcp_sock(listener)) &&
		 bpf_sk_assign_tcp_reqsk(skb, sk, &attrs, sizeof(attrs)) == 0)
		verdict = XDP_PASS;
	bpf_sk_release(listener);
	return verdict;
}

/* Of no connection. `marked`: the XDP program, or the gate, found a cookie in it. What is not may
 * follow the segment that a socket was just asked for in the same batch, and passes then. */
static __always_inline int release_unknown(struct __sk_buff *skb, struct packet *packet,
	const struct sluice_settings *config, bool marked)
{
	const struct sluice_guard *guard = listener_find(packet, config, listener_port(packet));
	__u32 offset = 0;
	int verdict;

	if (!guard)
		return marked ? DROP(release_no_listener) : XDP_PASS;
	if (cookie_check(packet, guard, config, &offset) == COOKIE_BAD)
		return marked ? DROP(release_cookie) : XDP_PASS;
	if (!marked && recent_has(packet))
		return XDP_PASS;
	if (offset)
		return DROP(segment_early);
	verdict = bucket_charge_connection(packet, guard, config, true);
	if (verdict != XDP_PASS)
		return verdict;
	verdict = release_make(skb, packet);
	if (verdict == XDP_PASS) {
		recent_note(packet);
		COUNT(released);
		LISTENER_COUNT(guard, released);
	}
	return verdict;
}

/*
 * The kernel answered this SYN itself and knows where the stream begins, the gate does not. What
 * begins anywhere else would come to stand behind bytes that nobody judged.
 */
static __always_inline bool release_begins_request(
	struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock *sk = socket_lookup(skb, packet, packet->ports.source);
	struct tcp_request_sock *request;
	bool begins = false;

	if (!sk)
		return false;
	request = bpf_skc_to_tcp_request_sock(sk);
	if (request)
		begins = packet->seq == request->rcv_isn + 1;
	bpf_sk_release(sk);
	return begins;
}

static __always_inline int release_judge(struct __sk_buff *skb, struct packet *packet,
	const struct sluice_settings *config, bool marked)
{
	__u32 state = socket_state_of(skb, packet);

	if (state == SOCKET_NONE || state == BPF_TCP_LISTEN || state == BPF_TCP_TIME_WAIT)
		return release_unknown(skb, packet, config, marked);
	if (marked && state == BPF_TCP_NEW_SYN_RECV && !release_begins_request(skb, packet))
		return DROP(segment_early);
	if (marked)
		COUNT(release_known);
	return XDP_PASS;
}

/* The whole, given the packet's values: a function of its own, so that the verifier walks through
 * it once. Returns XDP_PASS or a DROP(). */
__noinline int release_packet(struct __sk_buff *skb, struct packet *packet, __u32 marked)
{
	const struct sluice_settings *config = settings_get();

	if (!packet || !config)
		return XDP_PASS;
	if (!listener_port(packet))
		return marked ? DROP(release_no_listener) : XDP_PASS;
	return release_judge(skb, packet, config, marked);
}

static __always_inline int release_leave(
	struct __sk_buff *skb, const struct packet *packet, int verdict)
{
	if (!verdict_is_drop(verdict))
		return TC_ACT_OK;
	sample_drop_skb(skb, packet, count_verdict(verdict));
	return TC_ACT_SHOT;
}

static __always_inline void release_pull(struct __sk_buff *skb)
{
	if (skb_begin(skb) + RELEASE_HEADERS > skb_end(skb))
		bpf_skb_pull_data(skb, skb->len < RELEASE_HEADERS ? skb->len : RELEASE_HEADERS);
}

SEC("tcx/ingress")
int sluice_release_tun(struct __sk_buff *skb)
{
	struct packet *packet = release_scratch();
	struct cursor cursor;

	if (!packet)
		return TC_ACT_SHOT;
	release_pull(skb);
	cursor.pos = skb_begin(skb);
	cursor.end = skb_end(skb);
	if (!release_parse(skb, &cursor, skb->protocol, packet))
		return release_leave(skb, packet, DROP(release_cookie));
	return release_leave(skb, packet, release_packet(skb, packet, true));
}

/* What generic XDP copied has lost the length of its Ethernet header (mac_len; __copy_skb_header() in
 * net/core/skbuff.c leaves it out), and the kernel does not put that header in front again. */
static __always_inline struct sk_buff *release_begins_at_ip(struct __sk_buff *skb)
{
	struct sk_buff *kernel;

	if (!bpf_ksym_exists(bpf_cast_to_kern_ctx))
		return NULL;
	kernel = bpf_cast_to_kern_ctx(skb);
	return kernel->head + kernel->network_header == kernel->data ? kernel : NULL;
}

/* Marked by gate_direct()? Where the Ethernet header is not in front, data_meta is as far off. */
static __always_inline bool release_is_marked(
	struct __sk_buff *skb, const struct sluice_settings *config)
{
	const struct sluice_meta *meta = (void *)(long)skb->data_meta;
	struct sk_buff *kernel;
	__u64 magic = 0;

	if ((void *)(meta + 1) > skb_begin(skb))
		return false;
	if (meta->magic == config->meta_magic)
		return true;
	kernel = release_begins_at_ip(skb);
	if (!kernel)
		return false;
	bpf_probe_read_kernel(
		&magic, sizeof(magic), kernel->head + kernel->mac_header - sizeof(*meta));
	return magic == config->meta_magic;
}

/* The same as interface_is_ours(), asked of what is not marked. The kernel calls a frame for the
 * address of a VLAN device another machine's until that device takes it. */
static __always_inline bool release_is_ours(struct __sk_buff *skb)
{
	const struct sluice_interface_slots *slots;
	const __u64 *head = skb_begin(skb);

	if (skb->pkt_type == TC_PACKET_HOST)
		return true;
	slots = interface_get(skb->ifindex);
	if (!slots || !slots->mac_count || (void *)(head + 1) > skb_end(skb) ||
		release_begins_at_ip(skb))
		return false;
	return interface_has(slots, sluice_mac(*head));
}

SEC("tcx/ingress")
int sluice_release_link(struct __sk_buff *skb)
{
	const struct sluice_settings *config = settings_get();
	struct packet *packet = release_scratch();
	struct cursor cursor;
	__be16 proto;
	bool marked;

	if (!config || !packet)
		return TC_ACT_OK;
	marked = release_is_marked(skb, config);
	if (!marked && (!config->meta_missing || !release_is_ours(skb)))
		return TC_ACT_OK;
	release_pull(skb);
	cursor.pos = skb_begin(skb);
	cursor.end = skb_end(skb);
	proto = release_begins_at_ip(skb) ? skb->protocol : parse_ethernet(&cursor);
	if (!release_parse(skb, &cursor, proto, packet))
		return TC_ACT_OK;
	return release_leave(skb, packet, release_packet(skb, packet, marked));
}

char _license[] SEC("license") = "Dual BSD/GPL";
