/*
 * Sockets out of cookies, with real clients: a veth pair between this namespace (packet plane,
 * listening sockets) and one of the clients'; and what the XDP program makes of the tuples that the
 * kernel itself remembers (TIME_WAIT, half-open).
 */
#include "cookies.h"

#include "bpf/xdp_pass.skel.h"
#include "dataplane/dp_parts.h"

#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <time.h>

#define SERVER_V4 "10.78.0.1"
#define SERVER_V6 "fd78::1"
#define PORT      8443

enum { WAIT_MS = 5000 };

static int server_ns = -1, client_ns = -1;
static struct xdp_pass_bpf *pass;
static pid_t keeper;

static void enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static void in_client(const char *command)
{
	harness_sh("nsenter --net=/proc/%d/fd/%d sh -c '%s'", (int)getpid(), client_ns, command);
}

/* A process whose namespace is the clients', until it can be named by a descriptor. */
static int namespace_new(void)
{
	char path[64], byte;
	int ready[2], fd;

	if (pipe(ready))
		return -1;
	keeper = fork();
	if (keeper == 0) {
		if (unshare(CLONE_NEWNET) == 0 && write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	if (read(ready[0], &byte, 1) != 1)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)keeper);
	fd = open(path, O_RDONLY);
	close(ready[0]);
	close(ready[1]);
	return fd;
}

static void devices(void)
{
	harness_sh("ip link add srv0 type veth peer name cli0 netns %d", (int)keeper);
	harness_sh("ip addr add " SERVER_V4 "/24 dev srv0; ip addr add " SERVER_V6
		   "/64 dev srv0 nodad; ip link set srv0 up; sysctl -qw net.ipv4.tcp_syncookies=1");
	in_client("ip link set lo up; ip addr add 10.78.0.2/24 dev cli0; ip link set cli0 up; "
		  "ip addr add fd78::2/64 dev cli0 nodad");
}

/* XDP_TX out of a veth reaches a peer only if that has a program, too. */
static int pass_attach(void)
{
	int code;

	enter(client_ns);
	pass = xdp_pass_bpf__open_and_load();
	code = pass ? bpf_xdp_attach((int)if_nametoindex("cli0"),
			      bpf_program__fd(pass->progs.xdp_pass), XDP_FLAGS_DRV_MODE, NULL)
		    : -1;
	enter(server_ns);
	return code;
}

static int group_setup(void **state)
{
	static const struct dataplane_interface_spec interface = {"srv0", DATAPLANE_NATIVE};
	struct dataplane_spec spec = {
		.enabled = true,
		.pin_dir = harness_pin_dir(),
		.workers = 1,
		.handover = HANDOVER_OWN_COOKIES,
		.interfaces = &interface,
		.interface_count = 1,
	};
	struct err err = {};

	harness_sweep();
	if (unshare(CLONE_NEWNET))
		return -1;
	harness_loopback_up();
	server_ns = open("/proc/self/ns/net", O_RDONLY);
	client_ns = namespace_new();
	if (server_ns < 0 || client_ns < 0)
		return -1;
	devices();
	if (dataplane_open(&spec, &harness.dp, &err) ||
		dp_heartbeat_open(harness.dp, 0, &harness.heartbeat, &err) || pass_attach()) {
		print_error("%s\n", err.text);
		return -1;
	}
	return cookies_settings()->handover == HANDOVER_OWN_COOKIES ? 0 : -1;
}

static int group_teardown(void **state)
{
	xdp_pass_bpf__destroy(pass);
	if (keeper > 0)
		kill(keeper, SIGKILL);
	return harness_teardown(state);
}

/* The usual listener under test, on both addresses. */
static void serve(enum listener_syn_mode mode, bool gated)
{
	struct dp_listener listeners[] = {
		{.id = 1, .socket_row = 1, .name = "v4", .protocol = IPPROTO_TCP},
		{.id = 1, .socket_row = 2, .name = "v6", .protocol = IPPROTO_TCP},
	};

	cookies_on(mode, gated);
	listeners[0].address = harness_address(SERVER_V4, PORT);
	listeners[1].address = harness_address(SERVER_V6, PORT);
	for (int i = 0; i < 2; i++) {
		listeners[i].syn_mode = mode;
		listeners[i].gated = gated;
	}
	harness_listeners(listeners, 2);
}

static socklen_t address_len(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? sizeof(struct sockaddr_in)
					     : sizeof(struct sockaddr_in6);
}

static int listening(const char *host)
{
	struct sockaddr_storage address = harness_address(host, PORT);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, address_len(&address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

/* A client that is connected, from its own point of view. source_port 0: any. */
static int client_connect(const char *host, uint16_t source_port)
{
	struct sockaddr_storage address = harness_address(host, PORT);
	struct sockaddr_storage own =
		harness_address(strchr(host, ':') ? "fd78::2" : "10.78.0.2", source_port);
	struct timeval limit = {.tv_sec = WAIT_MS / 1000};
	int fd, one = 1;

	harness_alive(true);
	enter(client_ns);
	fd = socket(address.ss_family, SOCK_STREAM, 0);
	enter(server_ns);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&own, address_len(&own)), 0);
	if (connect(fd, (struct sockaddr *)&address, address_len(&address)))
		fail_msg("connect %s: %s", host, strerror(errno));
	return fd;
}

/* By RST: a FIN of one that has no socket here would be sent again, into the next test, whose
 * listener would make a connection of it. */
static void client_abort(int fd)
{
	const struct linger at_once = {.l_onoff = 1};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	close(fd);
}

static int accept_soon(int listener)
{
	struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
	struct timeval limit = {.tv_sec = WAIT_MS / 1000};
	int fd;

	if (poll(&poll_fd, 1, WAIT_MS) != 1)
		fail_msg("nothing to accept");
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

static void say(int from, int to, const char *words)
{
	char heard[64] = {};

	assert_int_equal(write(from, words, strlen(words)), strlen(words));
	assert_int_equal(recv(to, heard, strlen(words), MSG_WAITALL), strlen(words));
	assert_string_equal(heard, words);
}

static struct tcp_info info_of(int fd)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info;
}

/* The server speaks first; both ends agree about the options of the SYN. */
static void connection_check(const char *host, bool timestamps)
{
	int listener = listening(host), client, server;
	struct tcp_info info, client_info;

	harness_count_from_here();
	client = client_connect(host, 0);
	server = accept_soon(listener);
	say(server, client, "220 ready");
	say(client, server, "EHLO");
	info = info_of(server);
	client_info = info_of(client);
	assert_int_equal(!!(info.tcpi_options & TCPI_OPT_TIMESTAMPS), timestamps);
	assert_true(info.tcpi_options & TCPI_OPT_SACK);
	assert_true(info.tcpi_options & TCPI_OPT_WSCALE);
	assert_int_equal(info.tcpi_options, client_info.tcpi_options);
	assert_int_equal(info.tcpi_snd_wscale, client_info.tcpi_rcv_wscale);
	assert_int_equal(client_info.tcpi_snd_wscale, SLUICE_RCV_WSCALE);
	assert_int_equal(harness_counted().value[COUNTER_syn_cookie], 1);
	assert_int_equal(harness_counted().value[COUNTER_released], 1);
	close(client);
	close(server);
	close(listener);
}

static void test_ungated(void **state)
{
	serve(SYN_ALWAYS, false);
	connection_check(SERVER_V4, true);
	connection_check(SERVER_V6, true);
}

static void test_without_timestamps(void **state)
{
	serve(SYN_ALWAYS, false);
	in_client("sysctl -qw net.ipv4.tcp_timestamps=0");
	connection_check(SERVER_V4, false);
	connection_check(SERVER_V6, false);
	in_client("sysctl -qw net.ipv4.tcp_timestamps=1");
}

/* The driver has no room for metadata: the tc program looks at everything itself. */
static void test_without_metadata(void **state)
{
	serve(SYN_ALWAYS, false);
	cookies_settings()->meta_missing = 1;
	cookies_settings()->meta_magic++;
	connection_check(SERVER_V4, true);
}

/* A driver's batch: the frame `count` times through XDP, then all of them through tc, then TCP. */
static void batch_run(const struct packet_spec *spec, int count)
{
	struct frame frame = packet_build(spec);
	struct xdp_md ctx = {
		.data_end = (uint32_t)frame.len, .ingress_ifindex = if_nametoindex("srv0")};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data,
		.data_size_in = (uint32_t)frame.len, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
		.repeat = count, .batch_size = 64, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	int code = bpf_prog_test_run_opts(harness_program(), &opts);

	if (code)
		fail_msg("live frames: %s", strerror(-code));
}

static void destination_set(const char *interface)
{
	struct ifreq request = {};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
	memcpy(pkt_destination, request.ifr_hwaddr.sa_data, 6);
	close(fd);
}

/* Whether the batch was as fast as one of a driver's is: not longer than a jiffy. */
static bool batch_run_fast(const struct packet_spec *spec, int count)
{
	struct timespec begin, end;
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	batch_run(spec, count);
	clock_gettime(CLOCK_MONOTONIC, &end);
	ns = (end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec;
	return ns < 1000000000 / dp_jiffies_per_s();
}

enum { BATCH = 3, BATCH_TRIES = 50 };

/* The tc program looks at everything itself, and a driver hands over a batch: one socket is asked
 * for, and so one connection charged; none for frames that are another machine's. */
static void test_batch_without_metadata(void **state)
{
	struct packet_spec syn = {.src = "10.78.0.60",
		.dst = SERVER_V4,
		.sport = 50500,
		.dport = PORT,
		.flags = PKT_SYN,
		.options = cookies_linux,
		.tcp_options = sizeof(cookies_linux),
		.checksum = PKT_SUM_GOOD};
	const uint8_t other[6] = {2, 0, 0, 0, 0, 1};
	int fd = listening(SERVER_V4), tries = 0;
	struct packet_spec data;
	struct segment answer;
	uint8_t bytes[12];
	bool fast;

	serve(SYN_ALWAYS, false);
	do { /* the first ones find their code in no cache */
		memcpy(pkt_destination, other, 6);
		syn.sport++;
		answer = cookies_syn(&syn);
		data = cookies_ack(&syn, &answer, bytes, 0, 100);
		cookies_settings()->meta_missing = 1;
		harness_count_from_here();
		batch_run(&data, BATCH);
		assert_int_equal(harness_counted().value[COUNTER_other_host], BATCH);
		assert_int_equal(harness_counted().value[COUNTER_released], 0);
		destination_set("srv0");
		fast = batch_run_fast(&data, BATCH);
		close(accept_soon(fd));
	} while (!fast && ++tries < BATCH_TRIES);
	assert_true(fast);
	assert_int_equal(harness_counted().value[COUNTER_released], 1);
	memcpy(pkt_destination, other, 6);
	cookies_settings()->meta_missing = 0;
	close(fd);
}

/* A client that says nothing has no socket here; one that does has, though no gate runs. */
static void test_gated_without_gate(void **state)
{
	int listener = listening(SERVER_V4), silent[20], client, server;
	struct pollfd poll_fd = {.fd = listener, .events = POLLIN};
	char heard[8];

	serve(SYN_ALWAYS, true);
	harness_count_from_here();
	for (size_t i = 0; i < array_len(silent); i++)
		silent[i] = client_connect(SERVER_V4, 0);
	client = client_connect(SERVER_V4, 0);
	assert_int_equal(write(client, "hello", 5), 5);
	server = accept_soon(listener);
	assert_int_equal(recv(server, heard, 5, MSG_WAITALL), 5);
	assert_int_equal(poll(&poll_fd, 1, 0), 0);
	assert_int_equal(harness_counted().value[COUNTER_released], 1);
	assert_int_equal(harness_counted().value[COUNTER_cookie_ack], array_len(silent) + 1);
	assert_int_equal(harness_counted().value[COUNTER_gate_bypassed], 1);
	for (size_t i = 0; i < array_len(silent); i++)
		close(silent[i]);
	close(client);
	close(server);
	close(listener);
}

/* Limits of connections are charged once each, where the socket is made. */
static void test_connection_limit(void **state)
{
	struct dp_listener listener = {.id = 3,
		.name = "limited",
		.protocol = IPPROTO_TCP,
		.limits = {[LIMIT_SOURCE_CONNECTIONS] = {.rate_per_s = 1, .burst = 3}}};
	int fd = listening(SERVER_V4), clients[5];
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	serve(SYN_ALWAYS, false);
	listener.address = harness_address(SERVER_V4, PORT);
	harness_listeners(&listener, 1);
	harness_count_from_here();
	for (size_t i = 0; i < array_len(clients); i++)
		clients[i] = client_connect(SERVER_V4, 0);
	for (int i = 0; i < 3; i++)
		close(accept_soon(fd));
	assert_int_equal(poll(&poll_fd, 1, 0), 0);
	assert_int_equal(harness_counted().value[COUNTER_released], 3);
	assert_int_equal(harness_counted().value[COUNTER_source_connection_limit], 2);
	for (size_t i = 0; i < array_len(clients); i++)
		client_abort(clients[i]);
	close(fd);
}

static uint32_t states(int fd)
{
	return info_of(fd).tcpi_state;
}

/* The server closed first. The client comes again from the same port: the kernel's business. */
static void test_time_wait(void **state)
{
	static const struct packet_spec ack = {.src = "10.78.0.2",
		.dst = SERVER_V4,
		.sport = 50123,
		.dport = PORT,
		.flags = PKT_ACK};
	struct packet_spec syn = ack;
	int listener = listening(SERVER_V4), client, server;
	char byte;

	serve(SYN_ALWAYS, false);
	client = client_connect(SERVER_V4, 50123);
	server = accept_soon(listener);
	assert_int_equal(states(server), TCP_ESTABLISHED);
	cookies_expect("established", &ack, XDP_PASS, COUNTER_COUNT);
	close(server);
	assert_int_equal(read(client, &byte, 1), 0);
	close(client);
	cookies_expect("time-wait, ACK", &ack, XDP_PASS, COUNTER_COUNT);
	syn.flags = PKT_SYN;
	cookies_expect("time-wait, SYN", &syn, XDP_PASS, COUNTER_syn);
	client = client_connect(SERVER_V4, 50123);
	server = accept_soon(listener);
	say(client, server, "again");
	close(server);
	close(client);
	close(listener);
}

/* Whoever comes again from a port in TIME_WAIT makes a connection, too: limits hold for it. */
static void test_time_wait_limit(void **state)
{
	static const struct packet_spec syn = {.src = "10.78.0.2",
		.dst = SERVER_V4,
		.sport = 50124,
		.dport = PORT,
		.flags = PKT_SYN};
	struct dp_listener limited = {.id = 4,
		.name = "limited",
		.protocol = IPPROTO_TCP,
		.limits = {[LIMIT_SOURCE_CONNECTIONS] = {.rate_per_s = 1, .burst = 3}}};
	int listener = listening(SERVER_V4), client, server;
	char byte;

	serve(SYN_ALWAYS, false);
	client = client_connect(SERVER_V4, 50124);
	server = accept_soon(listener);
	close(server);
	assert_int_equal(read(client, &byte, 1), 0);
	close(client);
	limited.address = harness_address(SERVER_V4, PORT);
	harness_listeners(&limited, 1);
	harness_count_from_here();
	for (int i = 0; i < 5; i++)
		assert_int_equal(harness_run(&syn), i < 3 ? XDP_PASS : XDP_DROP);
	assert_int_equal(harness_counted().value[COUNTER_source_connection_limit], 2);
	close(listener);
}

/* Puts a frame on the wire from the clients' side. */
static void wire_send(const struct frame *frame)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
	int fd;

	enter(client_ns);
	to.sll_ifindex = (int)if_nametoindex("cli0");
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	assert_int_equal(sendto(fd, frame->data, frame->len, 0, (struct sockaddr *)&to, sizeof(to)),
		frame->len);
	close(fd);
	enter(server_ns);
}

static void hardware_address(struct frame *frame)
{
	struct ifreq request = {.ifr_name = "srv0"};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
	memcpy(frame->data, request.ifr_hwaddr.sa_data, 6);
	close(fd);
}

/* The clients' side of the wire, from now on. */
static int wire_tap(void)
{
	struct timeval limit = {.tv_sec = WAIT_MS / 1000};
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	int fd;

	enter(client_ns);
	at.sll_ifindex = (int)if_nametoindex("cli0");
	fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_IP));
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	enter(server_ns);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

/* The sequence number of the SYN-ACK to this port. */
static uint32_t wire_syn_ack(int tap, uint16_t port)
{
	uint8_t frame[2048];

	for (;;) {
		ssize_t got = recv(tap, frame, sizeof(frame), 0);

		assert_true(got > 0);
		if (got >= 54 && frame[23] == IPPROTO_TCP && frame[47] == (PKT_SYN | PKT_ACK) &&
			(frame[36] << 8 | frame[37]) == port)
			return cookies_u32(frame + 38);
	}
}

/* The kernel answers a SYN whose sender stays silent: a half-open connection. Returns the number
 * that the answer would acknowledge. */
static uint32_t half_open(void)
{
	struct packet_spec syn = {.src = "10.78.0.99",
		.dst = SERVER_V4,
		.sport = 50200,
		.dport = PORT,
		.flags = PKT_SYN,
		.checksum = PKT_SUM_GOOD};
	struct frame frame = packet_build(&syn);
	int tap = wire_tap();
	uint32_t isn;

	hardware_address(&frame);
	harness_sh("ip neigh replace 10.78.0.99 lladdr 02:00:00:00:00:99 dev srv0");
	harness_alive(true);
	wire_send(&frame);
	isn = wire_syn_ack(tap, 50200);
	close(tap);
	return isn + 1;
}

static void test_half_open(void **state)
{
	static const struct {
		const char *name;
		bool gated;
		uint8_t flags;
		uint16_t payload;
		int verdict;
		enum sluice_counter counter;
		bool forged; /* by somebody who has not seen the SYN-ACK */
		uint32_t offset; /* in the stream */
	} rows[] = {
		{"open, bare ACK", false, PKT_ACK, 0, XDP_PASS, COUNTER_COUNT},
		{"open, data", false, PKT_ACK, 10, XDP_PASS, COUNTER_COUNT},
		{"open, RST", false, PKT_RST, 0, XDP_PASS, COUNTER_COUNT},
		{"gated, bare ACK", true, PKT_ACK, 0, XDP_DROP, COUNTER_request_ack},
		{"gated, FIN", true, PKT_FIN | PKT_ACK, 0, XDP_PASS, COUNTER_COUNT},
		{"gated, FIN of a later place", true, PKT_FIN | PKT_ACK, 0, XDP_DROP,
			COUNTER_request_ack, .offset = 500},
		{"gated, FIN, forged", true, PKT_FIN | PKT_ACK, 0, XDP_DROP, COUNTER_cookie_bad,
			.forged = true},
		{"gated, RST", true, PKT_RST, 0, XDP_PASS, COUNTER_COUNT},
		{"gated, data", true, PKT_ACK, 10, XDP_PASS, COUNTER_gate_bypassed},
		{"gated, later data", true, PKT_ACK, 10, XDP_PASS, COUNTER_gate_bypassed,
			.offset = 500},
		{"gated, data, forged", true, PKT_ACK, 10, XDP_DROP, COUNTER_cookie_bad,
			.forged = true},
		{"gated, SYN again", true, PKT_SYN, 0, XDP_PASS, COUNTER_COUNT},
	};
	int listener = listening(SERVER_V4);
	uint32_t ack;

	serve(SYN_KERNEL, false);
	ack = half_open();
	for (size_t i = 0; i < array_len(rows); i++) {
		struct packet_spec spec = {.src = "10.78.0.99",
			.dst = SERVER_V4,
			.sport = 50200,
			.dport = PORT,
			.flags = rows[i].flags,
			.payload = rows[i].payload,
			.seq = PKT_SEQ + 1 + rows[i].offset,
			.ack_seq = ack + rows[i].forged};

		serve(SYN_KERNEL, rows[i].gated);
		cookies_expect(rows[i].name, &spec, rows[i].verdict, rows[i].counter);
	}
	close(listener);
}

/* The kernel sends cookies of its own: XDP tells their ACKs from others. */
static void test_kernel_cookies(void **state)
{
	static const struct packet_spec stray = {.src = "10.78.0.2",
		.dst = SERVER_V4,
		.sport = 50300,
		.dport = PORT,
		.flags = PKT_ACK,
		.ack_seq = 77,
		.payload = 3};
	int listener = listening(SERVER_V4), client, server;

	serve(SYN_ALWAYS, false);
	cookies_settings()->handover = HANDOVER_KERNEL_COOKIES;
	harness_sh("sysctl -qw net.ipv4.tcp_syncookies=2");
	harness_count_from_here();
	client = client_connect(SERVER_V4, 0);
	server = accept_soon(listener);
	say(server, client, "hello");
	assert_int_equal(harness_counted().value[COUNTER_syn], 1);
	assert_int_equal(harness_counted().value[COUNTER_no_connection], 1);
	cookies_expect("no cookie", &stray, XDP_DROP, COUNTER_cookie_bad);
	harness_sh("sysctl -qw net.ipv4.tcp_syncookies=1");
	close(client);
	close(server);
	close(listener);
}

/* A node that routes: a listener of all its addresses is not one of everybody else's. */
static void test_forwarded(void **state)
{
	static const struct {
		const char *name, *dst;
		uint8_t flags;
		uint16_t frag_off;
		int verdict;
		enum sluice_counter counter;
	} rows[] = {
		{"SYN to us", SERVER_V4, PKT_SYN, 0, XDP_TX, COUNTER_syn_cookie},
		{"data to us", SERVER_V4, PKT_ACK, 0, XDP_DROP, COUNTER_cookie_bad},
		{"scan of us", SERVER_V4, PKT_FIN, 0, XDP_DROP, COUNTER_tcp_fin_without_ack},
		{"fragment to us", SERVER_V4, PKT_ACK, 0x10, XDP_DROP, COUNTER_gated_fragment},
		{"SYN through us", "10.79.0.5", PKT_SYN, 0, XDP_PASS, COUNTER_COUNT},
		{"data through us", "10.79.0.5", PKT_ACK, 0, XDP_PASS, COUNTER_COUNT},
		{"scan through us", "10.79.0.5", PKT_FIN, 0, XDP_PASS, COUNTER_COUNT},
		{"fragment through us", "10.79.0.5", PKT_ACK, 0x10, XDP_PASS, COUNTER_fragment},
	};
	struct dp_listener any = {.id = 5,
		.name = "any",
		.protocol = IPPROTO_TCP,
		.syn_mode = SYN_ALWAYS,
		.gated = true};
	int listener = listening("0.0.0.0");

	cookies_on(SYN_ALWAYS, true);
	any.address = harness_address("0.0.0.0", PORT);
	harness_listeners(&any, 1);
	harness_sh("ip route add 10.79.0.0/24 via 10.78.0.2; sysctl -qw net.ipv4.ip_forward=1");
	for (size_t i = 0; i < array_len(rows); i++) {
		struct packet_spec spec = {.src = "10.78.0.2",
			.dst = rows[i].dst,
			.sport = 50400,
			.dport = PORT,
			.flags = rows[i].flags,
			.frag_off = rows[i].frag_off,
			.checksum = PKT_SUM_GOOD};

		cookies_expect(rows[i].name, &spec, rows[i].verdict, rows[i].counter);
	}
	harness_sh("sysctl -qw net.ipv4.ip_forward=0; ip route del 10.79.0.0/24");
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ungated),
		cmocka_unit_test(test_without_timestamps),
		cmocka_unit_test(test_without_metadata),
		cmocka_unit_test(test_batch_without_metadata),
		cmocka_unit_test(test_gated_without_gate),
		cmocka_unit_test(test_connection_limit),
		cmocka_unit_test(test_time_wait),
		cmocka_unit_test(test_time_wait_limit),
		cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_kernel_cookies),
		cmocka_unit_test(test_forwarded),
	};

	return cmocka_run_group_tests_name("bpf/release", tests, group_setup, group_teardown);
}
