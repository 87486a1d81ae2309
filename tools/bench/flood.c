/*
 * Flood generator of the tests and the bench: TCP segments written as whole frames to a packet
 * socket, from any source address, at a fixed rate or as fast as they go; one thread, bounded by
 * --seconds in any case. Kinds:
 *   syn      SYNs from random sources
 *   ack      bare ACKs that acknowledge nothing
 *   data     ACKs with payload and a sequence number that nobody gave out
 *   connect  SYNs whose SYN-ACKs are answered with a bare ACK: connections without data
 *   hello    SYNs whose SYN-ACKs are answered with the payload, in segments of --mss
 * Sources come from one prefix; a prefix of full length forges one address. connect and hello need
 * the answers: the target must route the prefix to this interface. They go through the sources in
 * turn, and keep no state: all they need is in the SYN-ACK. The kernel here must neither own nor
 * forward the prefix, or it takes part.
 * With --live the kernel makes the packets (flood_live.h): for the highest rates, of syn, ack and
 * data, whose random sources then differ in 32 bits at most.
 * Prints one JSON line at the end.
 */
#include "flood_live.h"
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCH = 64,
	LIVE_BATCH = 1 << 17, /* packets for one call, of which each takes some 25 ms of waiting */
	FRAME_BYTES = 1600,
	PAYLOAD_MAX = 16384,
	SECONDS_MAX = 120,
	PORT_FIRST = 1024,
	PORTS = 64000,
	IDLE_US = 50, /* pause when nothing is due: short against the rates in use */
	DEFAULT_PAYLOAD = 512,
	DEFAULT_LINGER_MS = 300,
	MSS_DEFAULT = 1400, /* leaves room for both headers and timestamps in 1500 */
	MSS_MAX = 1440,
};

enum kind { KIND_SYN, KIND_ACK, KIND_DATA, KIND_CONNECT, KIND_HELLO };
static const char *const kind_names[] = {"syn", "ack", "data", "connect", "hello"};

/* Of a client that is a Linux: MSS 1460, SACK, timestamps, window scale 7. */
static const uint8_t syn_options[20] = {
	2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7};
static const uint8_t ack_options[12] = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0};

static struct flood {
	/* options */
	enum kind kind;
	struct target to;
	uint8_t prefix[16];
	double pps; /* 0: as fast as possible */
	double seconds;
	uint64_t count; /* 0: no limit but the time */
	int linger_ms; /* for the last answers */
	bool reset; /* answer data with RST, so that the target forgets the connection */
	uint16_t mss;
	uint8_t payload[PAYLOAD_MAX];
	size_t payload_len;
	bool is_live;
	/* of the addresses */
	uint64_t host_mask;
	unsigned int host_bits;
	/* state */
	int tx_fd, rx_fd;
	struct live live;
	uint64_t random;
	uint64_t started; /* connections, or packets of the kinds without answers */
	uint32_t port_base;
	unsigned int queued; /* in the batch */
	uint8_t frames[BATCH][FRAME_BYTES];
	struct iovec iov[BATCH];
	struct mmsghdr messages[BATCH];
	/* result */
	uint64_t sent, failed, syn_acks, resets, acks, data, ends;
} flood = {.tx_fd = -1, .rx_fd = -1};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(1);
}

static _Noreturn void refuse(const char *what)
{
	fprintf(stderr, "flood: %s\n", what);
	exit(2);
}

static double now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static uint64_t random_next(void)
{
	uint64_t x = flood.random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	flood.random = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* Writes out what is queued. A frame that the device does not take (ENOBUFS) is counted. */
static void send_queued(void)
{
	unsigned int done = 0;

	while (done < flood.queued) {
		int n = sendmmsg(flood.tx_fd, flood.messages + done, flood.queued - done, 0);

		if (n > 0) {
			flood.sent += (unsigned int)n;
			done += (unsigned int)n;
		} else if (errno == ENOBUFS || errno == EAGAIN) {
			flood.failed++;
			done++;
		} else if (errno != EINTR) {
			die("sendmmsg");
		}
	}
	flood.queued = 0;
}

static void queue(const struct segment *segment)
{
	unsigned int i = flood.queued++;

	flood.iov[i].iov_len = write_frame(flood.frames[i], &flood.to, segment);
	if (flood.queued == BATCH)
		send_queued();
}

static void set_options(struct segment *segment, const uint8_t *options, size_t len)
{
	memcpy(segment->options, options, len);
	segment->options_len = (uint8_t)len;
}

/* The address of the prefix with that number. */
static void set_source(uint8_t *source, uint64_t number)
{
	memcpy(source, flood.prefix, flood.to.addr_len);
	number &= flood.host_mask;
	for (size_t i = flood.to.addr_len; number; number >>= 8)
		source[--i] |= (uint8_t)number;
}

/* All of a packet of the flood but its addresses and numbers. */
static void set_kind_of(struct segment *segment)
{
	segment->flags = SYN;
	if (flood.kind != KIND_ACK && flood.kind != KIND_DATA) {
		set_options(segment, syn_options, sizeof(syn_options));
		return;
	}
	segment->flags = ACK;
	set_options(segment, ack_options, sizeof(ack_options));
	if (flood.kind == KIND_DATA) {
		segment->flags |= PSH;
		segment->data = flood.payload;
		segment->data_len = flood.payload_len < flood.mss ? flood.payload_len : flood.mss;
	}
}

/* The next packet of the flood itself. */
static void queue_next(void)
{
	uint64_t random = random_next(), number = flood.started++;
	struct segment segment = {.seq = (uint32_t)(random >> 32)};

	set_kind_of(&segment);
	if (flood.kind < KIND_CONNECT) {
		set_source(segment.source, random_next());
		segment.port = (uint16_t)(PORT_FIRST + (random & 0xffff) % PORTS);
	} else {
		uint64_t round = flood.host_bits < 64 ? number >> flood.host_bits : 0;

		set_source(segment.source, number);
		segment.port = (uint16_t)(PORT_FIRST + (flood.port_base + round) % PORTS);
	}
	if (segment.flags & ACK) {
		segment.ack = (uint32_t)random_next();
		put32(segment.options + 8, (uint32_t)random);
	}
	queue(&segment);
}

static void send_live(uint64_t number)
{
	int r = number ? live_send(&flood.live, (uint32_t)number) : 0;

	if (r < 0) {
		errno = -r;
		die("BPF_PROG_TEST_RUN");
	}
	flood.started += number;
	flood.sent += number;
}

static void send_due(uint64_t number)
{
	if (flood.is_live) {
		send_live(number);
		return;
	}
	for (uint64_t i = 0; i < number; i++)
		queue_next();
	send_queued();
}

/* Their timestamp in ours, if they use timestamps at all. */
static void echo_timestamp(struct segment *reply, const uint8_t *options, size_t len)
{
	for (size_t i = 0; i < len && options[i];) {
		if (options[i] == 1) {
			i++;
			continue;
		}
		if (i + 2 > len || options[i + 1] < 2 || i + options[i + 1] > len)
			return;
		if (options[i] == 8 && options[i + 1] == 10) {
			set_options(reply, ack_options, sizeof(ack_options));
			memcpy(reply->options + 8, options + i + 2, 4);
			return;
		}
		i += options[i + 1];
	}
}

static void reply_to_syn_ack(struct segment *reply)
{
	size_t at = 0, room = flood.mss - reply->options_len;

	reply->flags = ACK;
	if (flood.kind != KIND_HELLO) {
		queue(reply);
		return;
	}
	for (uint32_t first = reply->seq; at < flood.payload_len; at += reply->data_len) {
		reply->seq = first + (uint32_t)at;
		reply->data = flood.payload + at;
		reply->data_len = flood.payload_len - at < room ? flood.payload_len - at : room;
		reply->flags = at + reply->data_len == flood.payload_len ? ACK | PSH : ACK;
		queue(reply);
	}
}

/* Judges one received segment from the target to a source of ours. */
static void take_segment(const uint8_t *to, const uint8_t *tcp, size_t len)
{
	size_t header = (size_t)(tcp[12] >> 4) * 4;
	struct segment reply = {.port = (uint16_t)(tcp[2] << 8 | tcp[3]), .seq = get32(tcp + 8)};
	uint8_t flags = tcp[13];

	if (header < TCP_BYTES || header > len)
		return;
	memcpy(reply.source, to, flood.to.addr_len);
	if (flags & RST) {
		flood.resets++;
	} else if (flags & SYN) {
		flood.syn_acks++;
		reply.ack = get32(tcp + 4) + 1;
		echo_timestamp(&reply, tcp + TCP_BYTES, header - TCP_BYTES);
		reply_to_syn_ack(&reply);
	} else if (len > header || flags & FIN) {
		flood.data += len > header;
		flood.ends += (flags & FIN) != 0;
		reply.flags = RST;
		if (flood.reset)
			queue(&reply);
	} else {
		flood.acks++;
	}
}

static bool is_source(const uint8_t *address)
{
	uint64_t host = 0;
	uint8_t back[16];

	for (size_t i = flood.to.addr_len > 8 ? flood.to.addr_len - 8 : 0; i < flood.to.addr_len;
		i++)
		host = host << 8 | address[i];
	set_source(back, host);
	return !memcmp(back, address, flood.to.addr_len);
}

static void take_frame(const uint8_t *frame, size_t len)
{
	const uint8_t *ip = frame + ETH_HLEN;
	size_t ip_len = flood.to.ip_len, total, at = flood.to.family == AF_INET ? 12 : 8;
	const uint8_t *from = ip + at, *to = from + flood.to.addr_len;

	if (len < ETH_HLEN + ip_len + TCP_BYTES ||
		memcmp(frame + 12, flood.to.ethernet + 12, 2) != 0 ||
		ip[flood.to.family == AF_INET ? 9 : 6] != IPPROTO_TCP ||
		memcmp(from, flood.to.address, flood.to.addr_len) != 0 || !is_source(to))
		return;
	/* Short frames are padded: the length is the header's. */
	total = flood.to.family == AF_INET ? (size_t)(ip[2] << 8 | ip[3])
					   : (size_t)(ip[4] << 8 | ip[5]) + IPV6_BYTES;
	if (flood.to.family == AF_INET)
		ip_len = (size_t)(ip[0] & 15) * 4;
	if (total < ip_len + TCP_BYTES || (ip[ip_len] << 8 | ip[ip_len + 1]) != flood.to.port)
		return;
	take_segment(to, ip + ip_len, total - ip_len);
}

/* Takes what has arrived. Returns whether anything had. */
static bool receive(void)
{
	static uint8_t frames[BATCH][FRAME_BYTES];
	static struct iovec iov[BATCH];
	static struct mmsghdr messages[BATCH];
	int n;

	for (unsigned int i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){frames[i], FRAME_BYTES};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	n = recvmmsg(flood.rx_fd, messages, BATCH, MSG_DONTWAIT, NULL);
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
		die("recvmmsg");
	for (int i = 0; i < n; i++)
		take_frame(frames[i], messages[i].msg_len);
	send_queued();
	return n > 0;
}

static void pause_us(long us)
{
	struct timespec time = {.tv_nsec = us * 1000};
	struct pollfd poll = {.fd = flood.rx_fd, .events = POLLIN};

	if (flood.rx_fd < 0)
		nanosleep(&time, NULL);
	else
		ppoll(&poll, 1, &time, NULL);
}

/* How many packets should leave now. */
static uint64_t due(double elapsed)
{
	uint64_t most = flood.is_live ? LIVE_BATCH : BATCH, limit = most;

	if (flood.pps > 0) {
		uint64_t wanted = (uint64_t)(elapsed * flood.pps) + 1;

		limit = wanted > flood.started ? wanted - flood.started : 0;
	}
	if (flood.count && limit > flood.count - flood.started)
		limit = flood.count - flood.started;
	return limit < most ? limit : most;
}

/* Sends for the time or up to the count. Returns the seconds it took. */
static double run(void)
{
	double begin = now(CLOCK_MONOTONIC), elapsed = 0;

	while (elapsed < flood.seconds && (!flood.count || flood.started < flood.count)) {
		uint64_t number = due(elapsed);
		bool is_busy = number > 0;

		send_due(number);
		if (flood.rx_fd >= 0)
			is_busy |= receive();
		if (!is_busy)
			pause_us(IDLE_US);
		elapsed = now(CLOCK_MONOTONIC) - begin;
	}
	return elapsed;
}

/* The answers to the last packets. */
static void linger(void)
{
	double end = now(CLOCK_MONOTONIC) + flood.linger_ms / 1e3;

	while (flood.rx_fd >= 0 && now(CLOCK_MONOTONIC) < end)
		if (!receive())
			pause_us(1000);
}

static void open_sockets(const char *interface, const char *mac)
{
	int tx_fd = socket(AF_PACKET, SOCK_RAW, 0), on = 1, bytes = 8 << 20;
	uint16_t protocol = htons(flood.to.family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(interface),
	};
	struct ifreq request = {0};
	uint8_t *to = flood.to.ethernet;

	strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
	if (tx_fd < 0 || !address.sll_ifindex || ioctl(tx_fd, SIOCGIFHWADDR, &request) ||
		bind(tx_fd, (struct sockaddr *)&address, sizeof(address)) ||
		setsockopt(tx_fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) ||
		setsockopt(tx_fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
		die(interface);
	if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", to, to + 1, to + 2, to + 3, to + 4,
		    to + 5) != 6)
		refuse("--mac is not a hardware address");
	memcpy(flood.to.ethernet + ETH_ALEN, request.ifr_hwaddr.sa_data, ETH_ALEN);
	memcpy(flood.to.ethernet + 2 * ETH_ALEN, &protocol, sizeof(protocol));
	flood.tx_fd = tx_fd;
	for (unsigned int i = 0; i < BATCH; i++) {
		flood.iov[i].iov_base = flood.frames[i];
		flood.messages[i].msg_hdr =
			(struct msghdr){.msg_iov = &flood.iov[i], .msg_iovlen = 1};
	}
	if (flood.kind < KIND_CONNECT)
		return;
	flood.rx_fd = socket(AF_PACKET, SOCK_RAW, 0);
	address.sll_protocol = protocol;
	if (flood.rx_fd < 0 ||
		setsockopt(flood.rx_fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) ||
		setsockopt(flood.rx_fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) ||
		bind(flood.rx_fd, (struct sockaddr *)&address, sizeof(address)))
		die(interface);
}

static void open_live(const char *interface)
{
	struct segment segment = {0};
	int r;

	if (flood.kind >= KIND_CONNECT)
		refuse("--live goes with syn, ack and data only");
	set_kind_of(&segment);
	set_source(segment.source, 0);
	r = live_init(&flood.live, interface, &flood.to, &segment, flood.host_mask, flood.random);
	if (r < 0) {
		errno = -r;
		die("bench_flood");
	}
}

static void set_prefix(const char *text)
{
	char copy[64], *slash;
	unsigned int bits, prefix_bits;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	bits = (unsigned int)flood.to.addr_len * 8;
	prefix_bits = slash ? (unsigned int)atoi(slash + 1) : bits;
	if (slash)
		*slash = 0;
	if (inet_pton(flood.to.family, copy, flood.prefix) != 1 || prefix_bits > bits)
		refuse("--from is not a prefix of the target's family");
	flood.host_bits = bits - prefix_bits;
	flood.host_mask = flood.host_bits >= 64 ? UINT64_MAX : (1ULL << flood.host_bits) - 1;
	if (!is_source(flood.prefix))
		refuse("--from has bits behind its length");
}

static void set_target(const char *text)
{
	flood.to.family = strchr(text, ':') ? AF_INET6 : AF_INET;
	flood.to.addr_len = flood.to.family == AF_INET ? 4 : 16;
	flood.to.ip_len = flood.to.family == AF_INET ? IPV4_BYTES : IPV6_BYTES;
	if (inet_pton(flood.to.family, text, flood.to.address) != 1)
		refuse("--to is not an address");
}

static void set_payload(const char *path)
{
	FILE *file = path ? fopen(path, "re") : NULL;

	if (file) {
		flood.payload_len = fread(flood.payload, 1, PAYLOAD_MAX, file);
		fclose(file);
	} else if (path) {
		die(path);
	} else {
		/* Looks like the begin of a handshake record, for what looks no further. */
		memcpy(flood.payload, "\x16\x03\x01\x01\xfb\x01", 6);
		flood.payload_len = DEFAULT_PAYLOAD;
	}
	if (!flood.payload_len)
		refuse("the payload is empty");
}

static void set_kind(const char *name)
{
	for (flood.kind = 0; flood.kind <= KIND_HELLO; flood.kind++)
		if (!strcmp(name, kind_names[flood.kind]))
			return;
	refuse("--kind is one of syn, ack, data, connect, hello");
}

static void set_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("--cpu");
}

#define USAGE                                                                                      \
	"usage: --kind KIND --interface NAME --mac OF-THE-NEXT-HOP --to ADDRESS --port PORT "      \
	"--from PREFIX --seconds S [--pps N --count N --payload FILE --mss BYTES --linger-ms MS "  \
	"--cpu N --reset --live]"

static const struct option long_options[] = {
	{"kind", required_argument, NULL, 'k'},
	{"interface", required_argument, NULL, 'i'},
	{"mac", required_argument, NULL, 'm'},
	{"to", required_argument, NULL, 't'},
	{"port", required_argument, NULL, 'p'},
	{"from", required_argument, NULL, 'f'},
	{"pps", required_argument, NULL, 'r'},
	{"seconds", required_argument, NULL, 's'},
	{"count", required_argument, NULL, 'n'},
	{"payload", required_argument, NULL, 'd'},
	{"mss", required_argument, NULL, 'M'},
	{"linger-ms", required_argument, NULL, 'l'},
	{"cpu", required_argument, NULL, 'c'},
	{"reset", no_argument, NULL, 'R'},
	{"live", no_argument, NULL, 'L'},
	{0},
};

static const char *values[128]; /* of the options, by letter */

static double number(int letter, double otherwise, double least, double most)
{
	double value = values[letter] ? atof(values[letter]) : otherwise;

	if (!(value >= least && value <= most))
		refuse("a number is out of range (--seconds is needed, and at most 120)");
	return value;
}

static void read_options(int argc, char **argv)
{
	int letter;

	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (letter == '?')
			refuse(USAGE);
		values[letter] = optarg ? optarg : "";
	}
	if (!values['k'] || !values['i'] || !values['m'] || !values['t'] || !values['f'])
		refuse(USAGE);
	set_kind(values['k']);
	set_target(values['t']);
	set_prefix(values['f']);
	set_payload(values['d']);
	flood.to.port = (uint16_t)number('p', 0, 1, 65535);
	flood.pps = number('r', 0, 0, 1e8);
	flood.seconds = number('s', 0, 0.001, SECONDS_MAX);
	flood.count = (uint64_t)number('n', 0, 0, 1e12);
	flood.mss = (uint16_t)number('M', MSS_DEFAULT, 100, MSS_MAX);
	flood.linger_ms = (int)number('l', DEFAULT_LINGER_MS, 0, 1e5);
	flood.reset = values['R'];
	if (values['c'])
		set_cpu((int)number('c', 0, 0, 1023));
	open_sockets(values['i'], values['m']);
	flood.is_live = values['L'];
	if (flood.is_live)
		open_live(values['i']);
}

int main(int argc, char **argv)
{
	double cpu, seconds;

	if (getrandom(&flood.random, sizeof(flood.random), 0) != sizeof(flood.random))
		die("getrandom");
	flood.random |= 1; /* the generator stays at zero */
	flood.port_base = (uint32_t)(flood.random >> 32);
	read_options(argc, argv);
	cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	seconds = run();
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	linger();
	printf("{\"kind\": \"%s\", \"sent\": %lu, \"failed\": %lu, \"started\": %lu, \"seconds\": %.4f, "
	       "\"pps\": %.0f, \"cpu_ns\": %.0f, \"syn_acks\": %lu, \"resets\": %lu, \"acks\": %lu, "
	       "\"data\": %lu, \"ends\": %lu}\n",
		kind_names[flood.kind], flood.sent, flood.failed, flood.started, seconds,
		(double)flood.sent / seconds, cpu * 1e9 / (double)(flood.sent ? flood.sent : 1),
		flood.syn_acks, flood.resets, flood.acks, flood.data, flood.ends);
	return 0;
}
