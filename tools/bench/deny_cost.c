/*
 * What a deny list of a million prefixes costs: per packet through the XDP program, as xdp_cost
 * measures it (net of an empty program, the same wrapper and the same addresses), to build and to
 * put in force, and in memory (a line of text for each list). One JSON line per row, or per row that
 * is named:
 *	{"id": "xdp_deny_1m", "ns": 31, "min_ns": 30, "floor_ns": 29, "net_of": "...", ...}
 * The floor of IPv4 is one look, where the source says, at as much memory as a list of so many
 * prefixes takes at the least (bench_sources.bpf.c): what the caches leave of a look-up.
 * Of the prefixes 60 % are /24 (IPv6: /48), 30 % /32 (/64) and 10 % /20 to /23 (/128), at random.
 * The packets are TCP without flags, dropped right behind the list where it lets them through.
 * Turns are long, so that the part of the list that fits the caches is in them, as in a flood.
 * Needs root; works in a network namespace and a pin folder of its own.
 */
#include "core/mem.h"
#include "dataplane/dataplane.h"
#include "dataplane/dp_counters.h"
#include "dataplane/dp_deny.h"
#include "dataplane/dp_internal.h"
#include "dataplane/dp_listeners.h"

#include "bpf/bench_sources.skel.h"
#include "bpf/sluice_xdp.skel.h"
#include "bpf/xdp_pass.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	PREFIXES = 1000000,
	REPEAT = 400000, /* packets per turn */
	ROUNDS = 15,
	FRAME_BYTES = 80,
	PORT = 4001,
};

enum mix {
	MIX_HALF, /* every other packet hits, any prefix alike */
	MIX_LONG, /* every packet hits a /32 or /128 */
	MIX_NONE,
};

struct row {
	const char *id;
	bool v6;
	enum mix mix;
};

struct bench {
	struct dataplane *dp;
	struct bench_sources_bpf *wrap;
	struct xdp_pass_bpf *pass;
	struct dp_prefix *prefixes; /* PREFIXES of IPv4, then as many of IPv6 */
	uint64_t seed;
};

static void die(const char *what, int code)
{
	fprintf(stderr, "deny_cost: %s: %s\n", what, strerror(code < 0 ? -code : code));
	exit(1);
}

static void check(int code, const struct err *err)
{
	if (code < 0) {
		fprintf(stderr, "deny_cost: %s\n", err->text);
		exit(1);
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint32_t draw(struct bench *bench)
{
	bench->seed = bench->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(bench->seed >> 32);
}

/* 1.0.0.0 to 223.255.255.255, or 2000::/3 */
static void draw_address(struct bench *bench, bool v6, uint8_t addr[16])
{
	uint32_t words_be[4] = {};

	if (v6) {
		for (int i = 0; i < 4; i++)
			words_be[i] = htonl(draw(bench));
		words_be[0] = htonl((ntohl(words_be[0]) & 0x1fffffff) | 0x20000000);
	} else {
		words_be[0] =
			htonl(0x01000000 + (uint32_t)((uint64_t)draw(bench) * 0xdf000000 >> 32));
	}
	memcpy(addr, words_be, sizeof(words_be));
}

static void cut(struct dp_prefix *prefix)
{
	for (unsigned int bit = prefix->length_bits; bit < (prefix->v6 ? 128u : 32u); bit++)
		prefix->addr[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
}

static void prefixes_make(struct bench *bench)
{
	bench->prefixes = mem_zalloc(2 * PREFIXES * sizeof(*bench->prefixes));
	for (size_t i = 0; i < 2 * PREFIXES; i++) {
		struct dp_prefix *prefix = &bench->prefixes[i];
		uint32_t part = i % 10;

		prefix->v6 = i >= PREFIXES;
		draw_address(bench, prefix->v6, prefix->addr);
		if (part < 6)
			prefix->length_bits = prefix->v6 ? 48 : 24;
		else if (part < 9)
			prefix->length_bits = prefix->v6 ? 64 : 32;
		else
			prefix->length_bits = (uint8_t)(prefix->v6 ? 128 : 20 + draw(bench) % 4);
		cut(prefix);
	}
}

/* Any address of a prefix. */
static void draw_inside(struct bench *bench, const struct row *row, uint8_t addr[16])
{
	struct dp_prefix *of = bench->prefixes + (row->v6 ? PREFIXES : 0), whole;
	uint32_t which = draw(bench) % PREFIXES;

	if (row->mix == MIX_LONG)
		which = which - which % 10 + (row->v6 ? 9 : 6);
	whole.v6 = row->v6;
	whole.length_bits = of[which].length_bits;
	draw_address(bench, row->v6, addr);
	memcpy(whole.addr, addr, 16);
	cut(&whole);
	for (int i = 0; i < 16; i++)
		addr[i] = (uint8_t)((addr[i] ^ whole.addr[i]) | of[which].addr[i]);
}

/* Misses may hit by chance: one in eleven of IPv4. */
static void sources_fill(struct bench *bench, const struct row *row)
{
	uint32_t *to = bench->wrap->bss->sources_be;
	size_t words = row->v6 ? 4 : 1;

	for (size_t i = 0; i < sizeof(bench->wrap->bss->sources_be) / 4; i += words) {
		uint8_t addr[16];

		if (row->mix == MIX_LONG || (row->mix == MIX_HALF && draw(bench) >> 31))
			draw_inside(bench, row, addr);
		else
			draw_address(bench, row->v6, addr);
		memcpy(to + i, addr, words * 4);
	}
	bench->wrap->bss->sources_v6 = row->v6;
}

static void frame_write(uint8_t *frame, bool v6)
{
	struct ethhdr eth = {.h_dest = {2}, .h_source = {2}};
	struct tcphdr tcp = {.source = htons(40000), .dest = htons(PORT), .doff = 5};
	uint8_t *pos = frame + sizeof(eth);

	memset(frame, 0, FRAME_BYTES);
	eth.h_proto = htons(v6 ? ETH_P_IPV6 : ETH_P_IP);
	memcpy(frame, &eth, sizeof(eth));
	if (v6) {
		struct ip6_hdr ip = {.ip6_dst = IN6ADDR_LOOPBACK_INIT};

		ip.ip6_vfc = 0x60;
		ip.ip6_plen = htons(sizeof(tcp));
		ip.ip6_nxt = IPPROTO_TCP;
		memcpy(pos, &ip, sizeof(ip));
		pos += sizeof(ip);
	} else {
		struct iphdr ip = {.version = 4,
			.ihl = 5,
			.tot_len = htons(sizeof(ip) + sizeof(tcp)),
			.protocol = IPPROTO_TCP,
			.daddr = htonl(INADDR_LOOPBACK)};

		memcpy(pos, &ip, sizeof(ip));
		pos += sizeof(ip);
	}
	memcpy(pos, &tcp, sizeof(tcp));
}

static double turn(struct bench *bench, bool v6, int program)
{
	uint8_t frame[FRAME_BYTES];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame),
		.repeat = REPEAT);
	uint32_t zero = 0;
	int code;

	frame_write(frame, v6);
	memcpy(bench->wrap->bss->sources_frame, frame, sizeof(frame));
	code = bpf_map_update_elem(
		bpf_map__fd(bench->wrap->maps.sources_target), &zero, &program, BPF_ANY);
	if (!code)
		code = bpf_prog_test_run_opts(
			bpf_program__fd(bench->wrap->progs.bench_sources), &opts);
	if (code)
		die("BPF_PROG_TEST_RUN", code);
	return opts.duration;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double hit_share(struct bench *bench, bool v6)
{
	struct dp_counters counters;
	struct err err = {};

	check(dp_counters_read(bench->dp, &counters, &err), &err);
	return (double)counters.value[v6 ? COUNTER_deny_v6 : COUNTER_deny_v4];
}

struct cost {
	double net[ROUNDS];
	double least; /* gross */
};

static void cost_add(struct cost *cost, int round, double whole, double base)
{
	cost->net[round] = whole - base;
	cost->least = round == 0 || whole < cost->least ? whole : cost->least;
}

/* "null" where there is none. */
static void cost_print(const char *name, struct cost *cost, bool is_there, double least_base)
{
	qsort(cost->net, ROUNDS, sizeof(*cost->net), compare);
	if (is_there)
		printf("\"%sns\": %.0f, \"%smin_ns\": %.0f, ", name, cost->net[ROUNDS / 2], name,
			cost->least - least_base);
	else
		printf("\"%sns\": null, \"%smin_ns\": null, ", name, name);
}

static void row_print(struct bench *bench, const struct row *row)
{
	int program = bpf_program__fd(bench->dp->xdp->progs.sluice_xdp);
	int floor_program = bpf_program__fd(bench->wrap->progs.floor_sources);
	int empty = bpf_program__fd(bench->pass->progs.xdp_pass);
	double least_base = 1e9, hits = hit_share(bench, row->v6);
	struct cost cost = {}, floor = {};

	sources_fill(bench, row);
	for (int round = 0; round < ROUNDS; round++) {
		double base = turn(bench, row->v6, empty);

		cost_add(&cost, round, turn(bench, row->v6, program), base);
		if (!row->v6)
			cost_add(&floor, round, turn(bench, row->v6, floor_program), base);
		least_base = base < least_base ? base : least_base;
	}
	hits = (hit_share(bench, row->v6) - hits) / ROUNDS / REPEAT;
	printf("{\"id\": \"%s\", ", row->id);
	cost_print("", &cost, true, least_base);
	cost_print("floor_", &floor, !row->v6, least_base);
	printf("\"net_of\": \"an empty program\", \"hits\": %.2f}\n", hits);
	fflush(stdout);
}

static void list_set(struct bench *bench, bool v6)
{
	struct dp_lists_spec spec = {
		.deny = bench->prefixes + (v6 ? PREFIXES : 0), .deny_count = PREFIXES};
	uint64_t begin = now_ns(), built, installed;
	struct dp_lists *lists;
	struct err err = {};

	check(dp_lists_build(bench->dp, &spec, &lists, &err), &err);
	built = now_ns();
	dp_lists_install(bench->dp, lists);
	installed = now_ns();
	printf("%d prefixes of IPv%d: built in %.0f ms, installed in %.1f us, %.1f MiB\n", PREFIXES,
		v6 ? 6 : 4, (double)(built - begin) / 1e6, (double)(installed - built) / 1e3,
		(double)dp_lists_bytes(lists) / (1 << 20));
	fflush(stdout);
	dp_lists_free(bench->dp, lists);
}

static void listeners_set(struct bench *bench)
{
	struct dp_listener listeners[2] = {
		{.id = 0, .socket_row = 0, .name = "v4", .protocol = IPPROTO_TCP},
		{.id = 1, .socket_row = 1, .name = "v6", .protocol = IPPROTO_TCP},
	};
	struct sockaddr_in v4 = {.sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
		.sin6_port = htons(PORT),
		.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct err err = {};

	memcpy(&listeners[0].address, &v4, sizeof(v4));
	memcpy(&listeners[1].address, &v6, sizeof(v6));
	check(dp_listeners_set(bench->dp, listeners, 2, &err), &err);
}

static void bench_open(struct bench *bench, const char *pin_dir)
{
	struct dataplane_spec spec = {.enabled = true, .pin_dir = pin_dir, .workers = 1};
	struct dataplane_report report;
	struct err err = {};

	check(dataplane_open(&spec, &bench->dp, &err), &err);
	dataplane_report(bench->dp, &report);
	if (!report.active) {
		fprintf(stderr, "deny_cost: no packet plane: %s\n", report.why);
		dataplane_close(bench->dp, DATAPLANE_DETACH);
		exit(1);
	}
	bench->wrap = bench_sources_bpf__open_and_load();
	bench->pass = xdp_pass_bpf__open_and_load();
	if (!bench->wrap || !bench->pass)
		die("loading the wrapper", errno);
	listeners_set(bench);
	prefixes_make(bench);
}

static const struct row rows[] = {
	{"xdp_deny_1m", false, MIX_HALF},
	{"xdp_deny_1m_hosts", false, MIX_LONG},
	{"xdp_deny_1m_miss", false, MIX_NONE},
	{"xdp_deny_1m_v6", true, MIX_HALF},
	{"xdp_deny_1m_v6_hosts", true, MIX_LONG},
	{"xdp_deny_1m_v6_miss", true, MIX_NONE},
};

/* Without names every row is wanted. */
static bool row_wanted(const struct row *row, char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], row->id) == 0)
			return true;
	return count == 0;
}

int main(int argc, char **argv)
{
	struct bench bench = {.seed = 1};
	char pin_dir[64];
	int family = -1;

	snprintf(pin_dir, sizeof(pin_dir), "/sys/fs/bpf/sluice-bench-%d", (int)getpid());
	signal(SIGPIPE, SIG_IGN); /* a reader that leaves must not leave the pins behind */
	if (unshare(CLONE_NEWNET))
		die("unshare (run as root)", errno);
	bench_open(&bench, pin_dir);
	for (size_t i = 0; i < array_len(rows); i++) {
		if (!row_wanted(&rows[i], argv + 1, argc - 1))
			continue;
		if (family != rows[i].v6)
			list_set(&bench, rows[i].v6);
		family = rows[i].v6;
		row_print(&bench, &rows[i]);
	}
	bench_sources_bpf__destroy(bench.wrap);
	xdp_pass_bpf__destroy(bench.pass);
	dataplane_close(bench.dp, DATAPLANE_DETACH);
	free(bench.prefixes);
	return 0;
}
