/*
 * What the XDP program costs per packet, by kind of packet: BPF_PROG_TEST_RUN with a wrapper that
 * restores the frame before every run. Prints one JSON line per row, or per row that is named:
 *	{"id": "xdp_established", "ns": 31, "min_ns": 30, "floor_ns": 29, "floor_min_ns": 29,
 *	 "net_of": "..."}
 * Every figure is net of a base: an empty program behind the same wrapper, or for
 * xdp_source_bucket_random the same packets without the limit. The floor is a program that does
 * nothing but what cannot be avoided (bench_wrap.bpf.c), null where there is none. Program, floor
 * and bases take short turns; ns is the median over the turns, min_ns compares the least disturbed.
 * Needs root; works in a network namespace and a pin folder of its own.
 */
#include "xdp_frame.h"

#include "dataplane/dataplane.h"
#include "dataplane/dp_deny.h"
#include "dataplane/dp_heartbeat.h"
#include "dataplane/dp_internal.h"
#include "dataplane/dp_listeners.h"

#include "bpf/bench_wrap.skel.h"
#include "bpf/sluice_xdp.skel.h"
#include "bpf/xdp_pass.skel.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
	REPEAT = 30000, /* packets per turn */
	ROUNDS = 61,
	SLOT = 5, /* of the AF_XDP socket */
	PORT_PLAIN = 4001,   /* listener without limits; the kernel answers SYNs */
	PORT_LIMITED = 4002, /* the same with a limit per source that nobody reaches */
	PORT_OTHER = 4003,   /* no listener */
	PORT_GATED = 4004,   /* cookies, and first flights go to the gate */
};

struct bench {
	struct dataplane *dp;
	struct dp_heartbeat heartbeat;
	struct bench_wrap_bpf *wrap;
	struct xdp_pass_bpf *pass;
	uint16_t client_port; /* of the established connection */
};

struct load {
	enum frame_kind kind;
	uint32_t source;       /* host order */
	uint32_t source_count; /* 0: only that one, otherwise random ones from there on */
	uint16_t sport, dport;
	unsigned int syn : 1, ack : 1;
	bool established; /* the frame of the open connection */
	uint32_t verdict; /* of the program, where kind is not FRAME_PLAIN */
	enum program {
		SLUICE,
		EMPTY,
		FLOOR_ESTABLISHED,
		FLOOR_DENY,
		FLOOR_SOURCE_BUCKET,
		FLOOR_SYN_COOKIE,
		FLOOR_ACK_DROP,
		FLOOR_HELLO,
	} program;
};

struct row {
	const char *id;
	const char *net_of;
	struct load load, base;
	enum program floor, floor_base; /* EMPTY: has no floor; run on the packets of `load` */
};

struct cost {
	double median, min;
};

static void die(const char *what, int code)
{
	fprintf(stderr, "xdp_cost: %s: %s\n", what, strerror(code < 0 ? -code : code));
	exit(1);
}

static void loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	if (unshare(CLONE_NEWNET))
		die("unshare (run as root)", errno);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &request))
		die("lo", errno);
	close(fd);
}

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 16))
		die("listen", errno);
	return fd;
}

/* The sockets stay open until the program ends. */
static uint16_t connection_open(void)
{
	struct sockaddr_in address = loopback(PORT_PLAIN);
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		die("connect", errno);
	getsockname(fd, (struct sockaddr *)&address, &len);
	return ntohs(address.sin_port);
}

static void listeners_set(struct bench *bench)
{
	struct dp_listener listeners[] = {
		{.id = 0, .socket_row = 0, .name = "plain", .syn_mode = SYN_KERNEL},
		{.id = 1,
			.socket_row = 1,
			.name = "limited",
			.syn_mode = SYN_KERNEL,
			.limits[LIMIT_SOURCE_CONNECTIONS] = {.rate_per_s = 1000000,
				.burst = 100000000}},
		{.id = 2, .socket_row = 2, .name = "gated", .gated = true},
		{.id = 2, .socket_row = 3, .name = "gated v6", .gated = true},
	};
	struct sockaddr_in addresses[] = {
		loopback(PORT_PLAIN), loopback(PORT_LIMITED), loopback(PORT_GATED)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
		.sin6_port = htons(PORT_GATED),
		.sin6_addr = in6addr_loopback};
	struct err err = {};

	for (size_t i = 0; i < array_len(listeners); i++)
		listeners[i].protocol = IPPROTO_TCP;
	for (size_t i = 0; i < array_len(addresses); i++)
		memcpy(&listeners[i].address, &addresses[i], sizeof(addresses[i]));
	memcpy(&listeners[3].address, &v6, sizeof(v6));
	if (dp_listeners_set(bench->dp, listeners, array_len(listeners), &err)) {
		fprintf(stderr, "xdp_cost: %s\n", err.text);
		exit(1);
	}
}

static void row_set(const struct bpf_map *map, uint32_t row, const void *value)
{
	if (bpf_map_update_elem(bpf_map__fd(map), &row, value, BPF_ANY))
		die(bpf_map__name(map), errno);
}

/* An AF_XDP socket for queue 0 of the loopback device, from which the frames come; the settings
 * that the daemon would write. */
static void gate_set(struct bench *bench)
{
	uint32_t ifindex = if_nametoindex("lo"), fd = (uint32_t)socket(AF_XDP, SOCK_RAW, 0);
	struct sluice_interface_slots slots = {
		.ifindex = ifindex, .first = SLOT, .queues = 1, .mtu = 1500, .mac_count = 1};
	struct sluice_gate_slot owner = {.ifindex = ifindex};
	struct sluice_settings *settings = bench->dp->settings;

	for (int i = 0; i < SLUICE_INTERFACE_MACS; i++)
		memcpy(&slots.macs[i], frame_destination, sizeof(frame_destination));
	row_set(bench->dp->xdp->maps.interface_slots, ifindex % SLUICE_INTERFACE_ROWS, &slots);
	row_set(bench->dp->xdp->maps.gate_slots, SLOT, &owner);
	row_set(bench->dp->xdp->maps.xsks, SLOT, &fd);
	row_set(bench->wrap->maps.floor_xsks, 0, &fd);
	settings->handover = HANDOVER_OWN_COOKIES;
	settings->gate_frame_bytes = 2048;
	settings->flags |= SETTINGS_WINDOW_SCALING | SETTINGS_SACK | SETTINGS_TIMESTAMPS;
	memset(&settings->resets, 0, sizeof(settings->resets));
}

/* 1,000 prefixes as the first floor allows: /24, /32 and /16. */
static void deny_set(struct bench *bench)
{
	struct dp_prefix prefixes[1000] = {};
	struct dp_lists_spec spec = {.deny = prefixes, .deny_count = array_len(prefixes)};
	struct err err = {};

	for (uint32_t i = 0; i < array_len(prefixes); i++) {
		uint32_t host = htonl(0x64000000 + i * 0x1000); /* 100.0.0.0 and on */

		memcpy(prefixes[i].addr, &host, sizeof(host));
		prefixes[i].length_bits = i % 3 == 0 ? 32 : i % 3 == 1 ? 24 : 28;
	}
	if (dp_lists_set(bench->dp, &spec, &err)) {
		fprintf(stderr, "xdp_cost: %s\n", err.text);
		exit(1);
	}
}

static void bench_open(struct bench *bench, const char *pin_dir)
{
	struct dataplane_spec spec = {.enabled = true, .pin_dir = pin_dir, .workers = 1};
	struct dataplane_report report;
	struct err err = {};

	if (dataplane_open(&spec, &bench->dp, &err)) {
		fprintf(stderr, "xdp_cost: %s\n", err.text);
		exit(1);
	}
	dataplane_report(bench->dp, &report);
	if (!report.active || dp_heartbeat_open(bench->dp, 0, &bench->heartbeat, &err)) {
		fprintf(stderr, "xdp_cost: no packet plane: %s%s\n", report.why, err.text);
		dataplane_close(bench->dp, DATAPLANE_DETACH);
		exit(1);
	}
	bench->wrap = bench_wrap_bpf__open_and_load();
	bench->pass = xdp_pass_bpf__open_and_load();
	if (!bench->wrap || !bench->pass)
		die("loading the wrapper", errno);
	listen_on(PORT_LIMITED);
	listen_on(PORT_PLAIN);
	listen_on(PORT_GATED);
	bench->client_port = connection_open();
	listeners_set(bench);
	gate_set(bench);
	deny_set(bench);
}

static int program_fd(const struct bench *bench, const struct load *load)
{
	switch (load->program) {
	case EMPTY:
		return bpf_program__fd(bench->pass->progs.xdp_pass);
	case FLOOR_ESTABLISHED:
		return bpf_program__fd(bench->wrap->progs.floor_established);
	case FLOOR_DENY:
		return bpf_program__fd(bench->wrap->progs.floor_deny);
	case FLOOR_SOURCE_BUCKET:
		return bpf_program__fd(bench->wrap->progs.floor_source_bucket);
	case FLOOR_SYN_COOKIE:
		return bpf_program__fd(bench->wrap->progs.floor_syn_cookie);
	case FLOOR_ACK_DROP:
		return bpf_program__fd(bench->wrap->progs.floor_ack_drop);
	case FLOOR_HELLO:
		return bpf_program__fd(bench->wrap->progs.floor_hello);
	case SLUICE:
		break;
	}
	return bpf_program__fd(bench->dp->xdp->progs.sluice_xdp);
}

static void target_set(struct bench *bench, const struct load *load)
{
	uint32_t zero = 0;
	int fd = program_fd(bench, load);

	if (bpf_map_update_elem(bpf_map__fd(bench->wrap->maps.wrap_target), &zero, &fd, BPF_ANY))
		die("wrap_target", errno);
}

static size_t load_frame(
	const struct bench *bench, const struct load *load, uint8_t frame[FRAME_MAX_BYTES])
{
	struct frame_spec spec = {
		.kind = load->kind,
		.source = load->established ? INADDR_LOOPBACK : load->source,
		.sport = load->established ? bench->client_port : load->sport,
		.dport = load->established ? PORT_PLAIN : load->dport,
		.syn = load->syn,
		.ack = load->ack,
		.keys = sluice_cookie_secret_of(bench->dp->settings)->keys,
		.epoch = bench->dp->settings->epoch,
	};

	return frame_write(frame, &spec);
}

/* ns per packet */
static double load_run(struct bench *bench, const struct load *load)
{
	uint8_t frame[FRAME_MAX_BYTES];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .repeat = REPEAT);
	int code;

	opts.data_size_in = (uint32_t)load_frame(bench, load, frame);
	memcpy(bench->wrap->bss->wrap_frame, frame, sizeof(bench->wrap->bss->wrap_frame));
	bench->wrap->bss->wrap_source_first = load->source;
	bench->wrap->bss->wrap_source_count = load->source_count;
	target_set(bench, load);
	dp_heartbeat_stamp(&bench->heartbeat, dp_heartbeat_now_ns());
	code = bpf_prog_test_run_opts(bpf_program__fd(bench->wrap->progs.bench_wrap), &opts);
	if (code)
		die("BPF_PROG_TEST_RUN", code);
	if (load->program == SLUICE && load->kind != FRAME_PLAIN && opts.retval != load->verdict) {
		fprintf(stderr, "xdp_cost: verdict %u, not %u\n", opts.retval, load->verdict);
		exit(1);
	}
	return opts.duration;
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

/* Of what `whole` took beyond `base`; each round's two were measured one after the other. */
static struct cost cost_net(const double *whole, const double *base)
{
	double net[ROUNDS], least_whole = whole[0], least_base = base[0];

	for (int round = 0; round < ROUNDS; round++) {
		net[round] = whole[round] - base[round];
		least_whole = whole[round] < least_whole ? whole[round] : least_whole;
		least_base = base[round] < least_base ? base[round] : least_base;
	}
	return (struct cost){median(net, ROUNDS), least_whole - least_base};
}

static struct load load_with(const struct load *load, enum program program)
{
	struct load other = *load;

	other.program = program;
	return other;
}

static void row_print(struct bench *bench, const struct row *row)
{
	struct load floor_load = load_with(&row->load, row->floor);
	struct load floor_base_load = load_with(&row->load, row->floor_base);
	double whole[ROUNDS], base[ROUNDS], floor[ROUNDS], floor_base[ROUNDS];
	struct cost cost;

	for (int round = 0; round < ROUNDS; round++) {
		base[round] = load_run(bench, &row->base);
		whole[round] = load_run(bench, &row->load);
		if (row->floor == EMPTY)
			continue;
		floor[round] = load_run(bench, &floor_load);
		floor_base[round] = row->floor_base == row->base.program
					    ? base[round]
					    : load_run(bench, &floor_base_load);
	}
	cost = cost_net(whole, base);
	printf("{\"id\": \"%s\", \"ns\": %.0f, \"min_ns\": %.0f, ", row->id, cost.median, cost.min);
	if (row->floor == EMPTY) {
		printf("\"floor_ns\": null, \"floor_min_ns\": null, ");
	} else {
		cost = cost_net(floor, floor_base);
		printf("\"floor_ns\": %.0f, \"floor_min_ns\": %.0f, ", cost.median, cost.min);
	}
	printf("\"net_of\": \"%s\"}\n", row->net_of);
	fflush(stdout);
}

#define RANDOM  .source = 0x0a000000, .source_count = 0x01000000 /* 10.0.0.0/8 */
#define ANY     .source = 0x01000000, .source_count = 0xdf000000 /* 1.0.0.0 to 223.255.255.255 */
#define ONE     .source = 0x0a000001, .sport = 40000
#define NOTHING "an empty program"

static const struct row rows[] = {
	{"xdp_parse_pass", NOTHING, {ONE, .dport = PORT_OTHER, .ack = 1}, {ONE, .program = EMPTY},
		EMPTY, EMPTY},
	{"xdp_established", NOTHING, {.established = true, .ack = 1}, {ONE, .program = EMPTY},
		FLOOR_ESTABLISHED, EMPTY},
	{"xdp_null_scan", NOTHING, {ONE, .dport = PORT_PLAIN}, {ONE, .program = EMPTY}, EMPTY,
		EMPTY},
	/* a whole /24 */
	{"xdp_deny_hit", NOTHING, {.source = 0x64001005, .dport = PORT_PLAIN, .syn = 1},
		{ONE, .program = EMPTY}, FLOOR_DENY, EMPTY},
	/* one address of a /24 */
	{"xdp_deny_hit_host", NOTHING, {.source = 0x64000000, .dport = PORT_PLAIN, .syn = 1},
		{ONE, .program = EMPTY}, EMPTY, EMPTY},
	/* dropped for its missing flags right behind the deny list */
	{"xdp_deny_random_miss", NOTHING, {ANY, .sport = 40000, .dport = PORT_PLAIN},
		{ANY, .program = EMPTY}, EMPTY, EMPTY},
	{"xdp_syn_plain", NOTHING, {RANDOM, .sport = 40000, .dport = PORT_PLAIN, .syn = 1},
		{RANDOM, .program = EMPTY}, EMPTY, EMPTY},
	{"xdp_syn_limited", NOTHING, {RANDOM, .sport = 40000, .dport = PORT_LIMITED, .syn = 1},
		{RANDOM, .program = EMPTY}, EMPTY, EMPTY},
	{"xdp_syn_cookie", NOTHING,
		{ONE, .kind = FRAME_SYN, .dport = PORT_GATED, .verdict = XDP_TX},
		{ONE, .kind = FRAME_SYN, .program = EMPTY}, FLOOR_SYN_COOKIE, EMPTY},
	{"xdp_syn_cookie_random", NOTHING,
		{RANDOM, .kind = FRAME_SYN, .sport = 40000, .dport = PORT_GATED, .verdict = XDP_TX},
		{RANDOM, .kind = FRAME_SYN, .program = EMPTY}, FLOOR_SYN_COOKIE, EMPTY},
	{"xdp_syn_cookie_v6", NOTHING,
		{.kind = FRAME_SYN_V6, .sport = 40000, .dport = PORT_GATED, .verdict = XDP_TX},
		{.kind = FRAME_SYN_V6, .program = EMPTY}, EMPTY, EMPTY},
	/* a valid cookie */
	{"xdp_ack_drop", NOTHING,
		{ONE, .kind = FRAME_ACK, .dport = PORT_GATED, .verdict = XDP_DROP},
		{ONE, .kind = FRAME_ACK, .program = EMPTY}, FLOOR_ACK_DROP, EMPTY},
	/* none */
	{"xdp_ack_flood", NOTHING,
		{RANDOM, .kind = FRAME_ACK, .sport = 40000, .dport = PORT_GATED,
			.verdict = XDP_DROP},
		{RANDOM, .kind = FRAME_ACK, .program = EMPTY}, FLOOR_ACK_DROP, EMPTY},
	{"xdp_hello", NOTHING,
		{ONE, .kind = FRAME_HELLO, .dport = PORT_GATED, .verdict = XDP_REDIRECT},
		{ONE, .kind = FRAME_HELLO, .program = EMPTY}, FLOOR_HELLO, EMPTY},
	{"xdp_source_bucket_random", "the same packets without the limit",
		{RANDOM, .sport = 40000, .dport = PORT_LIMITED, .syn = 1},
		{RANDOM, .sport = 40000, .dport = PORT_PLAIN, .syn = 1}, FLOOR_SOURCE_BUCKET,
		FLOOR_ESTABLISHED},
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
	struct bench bench = {};
	char pin_dir[64];

	snprintf(pin_dir, sizeof(pin_dir), "/sys/fs/bpf/sluice-bench-%d", (int)getpid());
	signal(SIGPIPE, SIG_IGN); /* a reader that leaves must not leave the pins behind */
	loopback_up();
	bench_open(&bench, pin_dir);
	for (size_t i = 0; i < array_len(rows); i++)
		if (row_wanted(&rows[i], argv + 1, argc - 1))
			row_print(&bench, &rows[i]);
	bench_wrap_bpf__destroy(bench.wrap);
	xdp_pass_bpf__destroy(bench.pass);
	dataplane_close(bench.dp, DATAPLANE_DETACH);
	return 0;
}
