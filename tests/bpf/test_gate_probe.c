/* Whether what the gate releases, and what XDP lets in directly, reaches accept(): on a host without
 * a packet filter, with the filters people have, and with the rules that the probe says are needed. */
#include "harness.h"

#include "control/gate_probe.h"
#include "dataplane/dp_gate.h"

enum { PORT = 443 };

static struct tun *tun;
static struct gate_probe_way by_tun, by_link;
static struct dp_gate_interface host0;

static int group_setup(void **state)
{
	static const struct dataplane_interface_spec interface = {
		.name = "host0", .mode = DATAPLANE_GENERIC};
	struct dataplane_spec spec = {
		.enabled = true,
		.interfaces = &interface,
		.interface_count = 1,
		.pin_dir = harness_pin_dir(),
		.workers = 1,
		.handover = HANDOVER_OWN_COOKIES,
	};
	struct err err = {};

	harness_sweep();
	if (unshare(CLONE_NEWNET))
		return -1;
	harness_loopback_up();
	harness_sh("ip link add host0 type veth peer name out0 && ip link set host0 up && "
		   "ip link set out0 up && ip address add 10.88.0.1/24 dev host0 && "
		   "ip -6 address add 2001:db8:88::1/64 dev host0 nodad");
	if (dataplane_open(&spec, &harness.dp, &err) || tun_open("sluice%d", 2, &tun, &err) ||
		dp_gate_attach_tun(harness.dp, tun_ifindex(tun), &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	if (!dataplane_active(harness.dp) || dp_gate_interfaces(harness.dp, &host0) != 1)
		return -1;
	by_tun = (struct gate_probe_way){.dp = harness.dp, .tun = tun};
	by_link = (struct gate_probe_way){.dp = harness.dp, .interface = &host0};
	return 0;
}

static int group_teardown(void **state)
{
	tun_close(tun);
	return harness_teardown(state);
}

static int flush(void **state)
{
	harness_sh("nft flush ruleset; sysctl -qw net.ipv4.conf.all.rp_filter=0 "
		   "net.ipv4.tcp_syncookies=1 net.ipv4.tcp_timestamps=1");
	dataplane_maintain(harness.dp);
	return 0;
}

/* Nothing of the probe stays: no route, no listening socket, no connection. */
static void check_nothing_left(void)
{
	harness_sh("test -z \"$(ip route show dev %s; ip -6 route show dev %s; "
		   "ip route show 198.51.100.77; ip -6 route show 2001:db8:5:77::77; "
		   "ip neigh show dev host0 nud permanent)\" && "
		   "test $(cat /proc/net/tcp /proc/net/tcp6 | grep -vc local_address) = 0",
		tun_name(tun), tun_name(tun));
}

static union addr address(const char *text)
{
	union addr parsed;

	assert_int_equal(addr_parse(text, &parsed), 0);
	return parsed;
}

static int run_by(const struct gate_probe_way *way, const char *target, struct err *err)
{
	union addr wanted = address(target), tried;
	int code = gate_probe_run(way, &wanted, &tried, err);

	check_nothing_left();
	return code;
}

static int run(const char *target, struct err *err)
{
	return run_by(&by_tun, target, err);
}

static void run_ok(const char *target)
{
	struct err err = {};

	harness_ok(run(target, &err), &err);
}

static void test_reaches_accept(void **state)
{
	run_ok("10.88.0.1:443");
	run_ok("[2001:db8:88::1]:443");
	run_ok("0.0.0.0:8443");
	run_ok("[::]:8443");
}

static void test_strict_rp_filter(void **state)
{
	harness_sh("sysctl -qw net.ipv4.conf.all.rp_filter=1");
	run_ok("10.88.0.1:443");
}

static void test_without_timestamps(void **state)
{
	harness_sh("sysctl -qw net.ipv4.tcp_timestamps=0");
	dataplane_maintain(harness.dp);
	run_ok("10.88.0.1:443");
	run_ok("[2001:db8:88::1]:443");
}

static void filter(const char *text)
{
	FILE *nft = popen("nft -f -", "w");

	assert_non_null(nft);
	fputs(text, nft);
	assert_int_equal(pclose(nft), 0);
}

/* Runs the commands that the text ends with, as a person would. */
static void follow_advice(const struct err *err)
{
	const char *commands = strstr(err->text, "nft insert");

	assert_non_null(commands);
	harness_sh("%s", commands);
}

static void check_filter(const char *rules, const char *advice)
{
	static const char *const targets[] = {"10.88.0.1:443", "[2001:db8:88::1]:443"};

	for (size_t i = 0; i < array_len(targets); i++) {
		struct err err = {};

		harness_sh("nft flush ruleset");
		filter(rules);
		assert_int_equal(run(targets[i], &err), -EHOSTUNREACH);
		if (!strstr(err.text, advice))
			fail_msg("%s", err.text);
		follow_advice(&err);
		run_ok(targets[i]);
	}
}

static void test_filter_by_interface(void **state)
{
	check_filter(
		"table inet filter {\nchain input {\n"
		"type filter hook input priority 0; policy drop;\n"
		"iifname { \"lo\", \"host0\" } accept\nct state established,related accept\n}\n}\n",
		"nft insert rule inet filter input iifname \"sluice*\" accept");
}

static void test_filter_of_states(void **state)
{
	check_filter("table inet mangle {\nchain early {\n"
		     "type filter hook prerouting priority mangle;\n"
		     "ct state new tcp flags & (fin|syn|rst|ack) != syn counter drop\n}\n}\n",
		"nft insert rule inet mangle early iifname \"sluice*\" accept");
}

static void test_two_filters(void **state)
{
	check_filter("table inet mangle {\nchain early {\n"
		     "type filter hook prerouting priority mangle;\n"
		     "ct state new tcp flags & (fin|syn|rst|ack) != syn drop\n}\n}\n"
		     "table inet filter {\nchain input {\n"
		     "type filter hook input priority 0; policy drop;\n"
		     "iifname \"host0\" tcp dport 443 accept\n}\n}\n",
		"; nft insert rule");
}

/* A port that is open for everybody: it must be that one that is tried. */
static void test_port_of_the_listener(void **state)
{
	struct err err = {};

	filter("table inet filter {\nchain input {\n"
	       "type filter hook input priority 0; policy drop;\ntcp dport 443 accept\n}\n}\n");
	run_ok("10.88.0.1:443");
	run_ok("[::]:443");
	assert_int_equal(run("10.88.0.1:8443", &err), -EHOSTUNREACH);
}

static void test_port_in_use(void **state)
{
	union addr wanted = address("0.0.0.0:443"), tried;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct err err = {};

	assert_int_equal(bind(fd, &wanted.any, addr_len(&wanted)), 0);
	assert_int_equal(listen(fd, 1), 0);
	harness_ok(gate_probe_run(&by_tun, &wanted, &tried, &err), &err);
	assert_int_not_equal(addr_port(&tried), PORT);
	close(fd);
}

/* The product's own listener, which is open when the gate comes up later: the port is tried all the
 * same, where nobody connects to. */
static void test_port_in_use_by_us(void **state)
{
	static const char *const targets[] = {"0.0.0.0:443", "10.88.0.1:443"};

	filter("table inet filter {\nchain input {\n"
	       "type filter hook input priority 0; policy drop;\ntcp dport 443 accept\n}\n}\n");
	for (size_t i = 0; i < array_len(targets); i++) {
		union addr wanted = address(targets[i]), tried;
		int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
		struct err err = {};

		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
		assert_int_equal(bind(fd, &wanted.any, addr_len(&wanted)), 0);
		assert_int_equal(listen(fd, 1), 0);
		harness_ok(gate_probe_run(&by_tun, &wanted, &tried, &err), &err);
		harness_ok(gate_probe_run(&by_link, &wanted, &tried, &err), &err);
		assert_int_equal(addr_port(&tried), PORT);
		close(fd);
	}
}

/* --- in on an interface */
static void test_link_reaches_accept(void **state)
{
	static const char *const targets[] = {"10.88.0.1:443", "[::]:80"};

	for (size_t i = 0; i < 2 * array_len(targets); i++) {
		struct err err = {};

		if (i == array_len(targets)) {
			harness_sh("sysctl -qw net.ipv4.conf.all.rp_filter=1 "
				   "net.ipv4.tcp_timestamps=0");
			dataplane_maintain(harness.dp);
		}
		harness_ok(run_by(&by_link, targets[i % array_len(targets)], &err), &err);
	}
}

/* What drops only what comes from the TUN device leaves this way open. */
static void test_link_past_filter_by_interface(void **state)
{
	struct err err = {};

	filter("table inet filter {\nchain input {\n"
	       "type filter hook input priority 0; policy drop;\n"
	       "iifname { \"lo\", \"host0\" } accept\n}\n}\n");
	assert_int_equal(run("10.88.0.1:443", &err), -EHOSTUNREACH);
	harness_ok(run_by(&by_link, "10.88.0.1:443", &err), &err);
	harness_ok(run_by(&by_link, "[2001:db8:88::1]:443", &err), &err);
}

static void test_link_filter_of_states(void **state)
{
	static const char *const targets[] = {"10.88.0.1:443", "[2001:db8:88::1]:443"};

	for (size_t i = 0; i < array_len(targets); i++) {
		struct err err = {};

		harness_sh("nft flush ruleset");
		filter("table inet mangle {\nchain early {\n"
		       "type filter hook prerouting priority mangle;\n"
		       "ct state new tcp flags & (fin|syn|rst|ack) != syn counter drop\n}\n}\n");
		assert_int_equal(run_by(&by_link, targets[i], &err), -EHOSTUNREACH);
		if (!strstr(err.text, "inet mangle early iifname \"host0\" tcp dport 443 accept"))
			fail_msg("%s", err.text);
		follow_advice(&err);
		harness_ok(run_by(&by_link, targets[i], &err), &err);
	}
}

static void test_not_tried(void **state)
{
	struct err err = {};

	assert_int_equal(run("192.0.2.1:443", &err), -EADDRNOTAVAIL);
	harness_sh("sysctl -qw net.ipv4.tcp_syncookies=0");
	dataplane_maintain(harness.dp);
	assert_int_equal(run("10.88.0.1:443", &err), -ENOTSUP);
	assert_non_null(strstr(err.text, "tcp_syncookies"));
}

/* The tc program is not there: a socket is not made, and no packet filter is blamed. */
static void test_no_program(void **state)
{
	struct err err = {};

	close(harness.dp->tun_link_fd);
	harness.dp->tun_link_fd = -1;
	assert_int_equal(run("10.88.0.1:443", &err), -EIO);
	assert_non_null(strstr(err.text, "no socket was made"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_reaches_accept, flush),
		cmocka_unit_test_teardown(test_strict_rp_filter, flush),
		cmocka_unit_test_teardown(test_without_timestamps, flush),
		cmocka_unit_test_teardown(test_filter_by_interface, flush),
		cmocka_unit_test_teardown(test_filter_of_states, flush),
		cmocka_unit_test_teardown(test_two_filters, flush),
		cmocka_unit_test_teardown(test_port_of_the_listener, flush),
		cmocka_unit_test_teardown(test_port_in_use, flush),
		cmocka_unit_test_teardown(test_port_in_use_by_us, flush),
		cmocka_unit_test_teardown(test_link_reaches_accept, flush),
		cmocka_unit_test_teardown(test_link_past_filter_by_interface, flush),
		cmocka_unit_test_teardown(test_link_filter_of_states, flush),
		cmocka_unit_test_teardown(test_not_tried, flush),
		cmocka_unit_test_teardown(test_no_program, flush),
	};

	return cmocka_run_group_tests_name("bpf/gate_probe", tests, group_setup, group_teardown);
}
