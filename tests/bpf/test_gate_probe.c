/* Whether what the gate releases reaches accept(): on a host without a packet filter, with the
 * filters people have, and with the rules that the probe says are needed. */
#include "harness.h"

#include "control/gate_probe.h"
#include "dataplane/dp_gate.h"

enum { PORT = 443 };

static struct tun *tun;

static int group_setup(void **state)
{
	struct dataplane_spec spec = {
		.enabled = true,
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
	return dataplane_active(harness.dp) ? 0 : -1;
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
	harness_sh("test -z \"$(ip route show dev %s; ip -6 route show dev %s)\"", tun_name(tun),
		tun_name(tun));
	harness_sh("test $(cat /proc/net/tcp /proc/net/tcp6 | grep -vc local_address) = 0");
}

static union addr address(const char *text)
{
	union addr parsed;

	assert_int_equal(addr_parse(text, &parsed), 0);
	return parsed;
}

static int run(const char *target, struct err *err)
{
	union addr wanted = address(target), tried;
	int code = gate_probe_run(harness.dp, tun, &wanted, &tried, err);

	check_nothing_left();
	return code;
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
	union addr wanted = address("10.88.0.1:443"), tried;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct err err = {};

	assert_int_equal(bind(fd, &wanted.any, addr_len(&wanted)), 0);
	assert_int_equal(listen(fd, 1), 0);
	harness_ok(gate_probe_run(harness.dp, tun, &wanted, &tried, &err), &err);
	assert_int_not_equal(addr_port(&tried), PORT);
	close(fd);
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
		cmocka_unit_test_teardown(test_not_tried, flush),
		cmocka_unit_test_teardown(test_no_program, flush),
	};

	return cmocka_run_group_tests_name("bpf/gate_probe", tests, group_setup, group_teardown);
}
