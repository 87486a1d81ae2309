/* Attaching on real interfaces (veth in a network namespace of this process), taking over, being
 * in the way of others, and what a person sees in the pinned maps. */
#include "veth.h"

#include "bpf/xdp_pass.skel.h"
#include "dataplane/dp_backends.h"
#include "dataplane/dp_deny.h"
#include "dataplane/dp_hostcheck.h"

#include <linux/if_link.h>
#include <time.h>

static void test_attach_and_stop(void **state)
{
	veth_add();
	open_ok(&veth_auto, 1);
	assert_int_equal(report().interfaces[0].mode, DATAPLANE_NATIVE);
	assert_string_equal(report().interfaces[0].why, "");
	assert_int_not_equal(prog_id("pkt0.5"), 0);
	harness_sh("test -e %s/links/xdp_pkt0%%2e5 && test -e %s/maps/listeners", harness_pin_dir(),
		harness_pin_dir());
	close_with(DATAPLANE_DETACH);
	assert_int_equal(prog_id("pkt0.5"), 0);
	assert_int_equal(access(harness_pin_dir(), F_OK), -1);
}

static void test_generic_where_native_is_not_possible(void **state)
{
	const struct dataplane_interface_spec specs[] = {{"lo", DATAPLANE_AUTO},
		{"pkt0.5", DATAPLANE_GENERIC}, {"pkt1", DATAPLANE_NONE}, {"pkt9", DATAPLANE_AUTO}};
	struct dataplane_report now;

	veth_add();
	open_ok(specs, 4);
	now = report();
	assert_int_equal(now.interfaces[0].mode, DATAPLANE_GENERIC);
	assert_non_null(strstr(now.interfaces[0].why, "native: "));
	assert_int_equal(now.interfaces[1].mode, DATAPLANE_GENERIC);
	assert_int_equal(now.interfaces[2].mode, DATAPLANE_NONE);
	assert_string_equal(now.interfaces[2].why, "switched off");
	assert_int_equal(now.interfaces[3].mode, DATAPLANE_NONE);
	assert_string_equal(now.interfaces[3].why, "no such interface");
}

static struct sluice_interface_slots row_of(const char *interface)
{
	uint32_t at = if_nametoindex(interface) % SLUICE_INTERFACE_ROWS;
	struct sluice_interface_slots row = {};

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(harness.dp->xdp->maps.interface_slots), &at, &row),
		0);
	assert_int_equal(row.ifindex, if_nametoindex(interface));
	return row;
}

static __u64 mac_of(uint8_t last)
{
	const uint8_t bytes[8] = {2, 0, 0, 0, 0, last};
	__u64 mac;

	memcpy(&mac, bytes, sizeof(mac));
	return mac;
}

static bool row_has(const struct sluice_interface_slots *row, uint8_t last)
{
	for (int i = 0; i < SLUICE_INTERFACE_MACS; i++)
		if (row->macs[i] == mac_of(last))
			return true;
	return false;
}

/* The row of an interface names the addresses that frames for this node have: its own, those of
 * devices on it and of the bridge it is a port of; and follows their changes. */
static void test_addresses_of_interfaces(void **state)
{
	struct sluice_interface_slots row;

	veth_add();
	harness_sh("ip link set pkt0.5 address 02:00:00:00:00:01");
	open_ok(&veth_auto, 1);
	row = row_of("pkt0.5");
	assert_int_equal(row.mac_count, 1);
	for (int i = 0; i < SLUICE_INTERFACE_MACS; i++)
		assert_int_equal(row.macs[i], mac_of(1));
	harness_sh("ip link set pkt0.5 address 02:00:00:00:00:02");
	harness_sh("ip link add mac0 address 02:00:00:00:00:03 link pkt0.5 type macvlan");
	(void)dataplane_maintain(harness.dp);
	row = row_of("pkt0.5");
	assert_int_equal(row.mac_count, 2);
	assert_true(row.macs[0] == mac_of(2) && row_has(&row, 3) && !row_has(&row, 1));
	harness_sh("ip link del mac0; ip link add bridge0 address 02:00:00:00:00:04 type bridge; "
		   "ip link set pkt0.5 master bridge0; "
		   "ip link add mac1 address 02:00:00:00:00:05 link bridge0 type macvlan");
	(void)dataplane_maintain(harness.dp);
	row = row_of("pkt0.5");
	assert_int_equal(row.mac_count, 3);
	assert_true(row.macs[0] == mac_of(2) && row_has(&row, 4) && row_has(&row, 5));
	harness_sh("for i in 6 7 8 9; do ip link add mac$i link bridge0 type macvlan; done");
	(void)dataplane_maintain(harness.dp);
	assert_int_equal(row_of("pkt0.5").mac_count, 0); /* more than there is room for */
	harness_sh("ip link del bridge0");
}

/* The next process takes over link and maps; the interface is never without a program. */
static void test_adoption(void **state)
{
	struct dp_listener listener = {.id = 7, .name = "kept", .protocol = IPPROTO_TCP};
	const struct packet_spec null = {.flags = 0};
	uint32_t before;
	uint64_t secret;

	veth_add();
	open_ok(&veth_auto, 1);
	assert_false(report().maps_adopted);
	listener.address = harness_address(PKT_V4_LISTENER, PKT_PORT);
	harness_listeners(&listener, 1);
	before = prog_id("pkt0.5");
	secret = harness.dp->settings->hash_key[0];
	close_with(DATAPLANE_LEAVE);
	assert_int_equal(prog_id("pkt0.5"), before);
	open_ok(&veth_auto, 1);
	assert_true(report().maps_adopted);
	assert_true(report().interfaces[0].adopted);
	assert_int_equal(report().interfaces[0].mode, DATAPLANE_NATIVE);
	assert_int_not_equal(prog_id("pkt0.5"), before);
	assert_int_equal(harness.dp->settings->hash_key[0], secret);
	harness_count_from_here();
	assert_int_equal(harness_run(&null), XDP_DROP);
}

static void test_another_layout_is_replaced(void **state)
{
	const struct packet_spec null = {.flags = 0};

	veth_add();
	open_ok(&veth_auto, 1);
	harness_listen(NO_LIMIT, NO_LIMIT, NO_LIMIT);
	harness.dp->settings->layout_version = SLUICE_LAYOUT_VERSION + 1;
	close_with(DATAPLANE_LEAVE);
	open_ok(&veth_auto, 1);
	assert_false(report().maps_adopted);
	assert_true(report().interfaces[0].adopted);
	assert_int_equal(harness_run(&null), XDP_PASS);
}

/* Another size of the source table replaces that map only. */
static void test_other_sizes_are_replaced(void **state)
{
	struct dataplane_spec spec = {
		.enabled = true, .pin_dir = harness_pin_dir(), .workers = 1, .source_rows = 1024};
	const struct packet_spec null = {.flags = 0};
	struct err err = {};

	open_ok(NULL, 0);
	harness_listen(NO_LIMIT, NO_LIMIT, NO_LIMIT);
	close_with(DATAPLANE_LEAVE);
	harness_ok(dataplane_open(&spec, &harness.dp, &err), &err);
	assert_true(report().maps_adopted);
	assert_int_equal(bpf_map__max_entries(harness.dp->xdp->maps.source_buckets), 1024);
	assert_int_equal(harness.dp->settings->source_mask, 1023);
	assert_int_equal(harness_run(&null), XDP_DROP);
	close_with(DATAPLANE_DETACH);
	spec.source_rows = 1000;
	assert_int_equal(dataplane_open(&spec, &harness.dp, &err), -EINVAL);
}

static void test_programs_of_others_stay(void **state)
{
	struct xdp_pass_bpf *other = xdp_pass_bpf__open_and_load();
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	struct err err = {};
	uint32_t id;
	int link;

	assert_non_null(other);
	veth_add();
	link = bpf_link_create(bpf_program__fd(other->progs.xdp_pass),
		(int)if_nametoindex("pkt0.5"), BPF_XDP, &opts);
	assert_true(link >= 0);
	id = prog_id("pkt0.5");
	assert_int_equal(open_with(&veth_auto, 1, &err), -EBUSY);
	assert_non_null(strstr(err.text, "'xdp_pass'"));
	assert_non_null(strstr(err.text, "pkt0.5"));
	assert_int_equal(prog_id("pkt0.5"), id);
	assert_int_equal(access(harness_pin_dir(), F_OK), -1);
	close(link);
	xdp_pass_bpf__destroy(other);
}

static void test_interface_deleted_and_back(void **state)
{
	veth_add();
	open_ok(&veth_auto, 1);
	assert_int_equal(dataplane_maintain(harness.dp), 0);
	veth_del();
	assert_int_equal(dataplane_maintain(harness.dp), 1);
	assert_int_equal(report().interfaces[0].mode, DATAPLANE_NONE);
	assert_int_equal(dataplane_maintain(harness.dp), 0);
	veth_add();
	assert_int_equal(dataplane_maintain(harness.dp), 1);
	assert_int_equal(report().interfaces[0].mode, DATAPLANE_NATIVE);
	assert_int_not_equal(prog_id("pkt0.5"), 0);
	assert_int_equal(dataplane_maintain(harness.dp), 0);
}

static void test_detached_by_somebody(void **state)
{
	veth_add();
	open_ok(&veth_auto, 1);
	harness_sh("bpftool link detach pinned %s/links/xdp_pkt0%%2e5", harness_pin_dir());
	assert_int_equal(prog_id("pkt0.5"), 0);
	assert_int_equal(dataplane_maintain(harness.dp), 1);
	assert_int_not_equal(prog_id("pkt0.5"), 0);
}

static void test_set_interfaces(void **state)
{
	const struct dataplane_interface_spec both[] = {veth_auto, {"pkt1", DATAPLANE_AUTO}};
	struct err err = {};
	uint32_t id;

	veth_add();
	open_ok(both, 1);
	id = prog_id("pkt0.5");
	harness_ok(dataplane_set_interfaces(harness.dp, both, 2, &err), &err);
	assert_int_equal(prog_id("pkt0.5"), id);
	assert_int_not_equal(prog_id("pkt1"), 0);
	harness_ok(dataplane_set_interfaces(harness.dp, both + 1, 1, &err), &err);
	assert_int_equal(prog_id("pkt0.5"), 0);
	assert_int_not_equal(prog_id("pkt1"), 0);
	close_with(DATAPLANE_LEAVE);
	open_ok(both, 1); /* pkt1 is no longer configured: its link goes */
	assert_int_equal(prog_id("pkt1"), 0);
	assert_int_not_equal(prog_id("pkt0.5"), 0);
}

static void test_second_daemon_is_refused(void **state)
{
	struct dataplane_spec spec = {.enabled = true, .pin_dir = harness_pin_dir(), .workers = 1};
	struct dataplane *second = NULL;
	struct err err = {};

	open_ok(NULL, 0);
	assert_int_equal(dataplane_open(&spec, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another sluiced"));
	assert_int_equal(dataplane_purge(harness_pin_dir(), &err), -EADDRINUSE);
	harness_sh("test -e %s/maps/listeners", harness_pin_dir());
}

static void test_purge(void **state)
{
	struct err err = {};

	veth_add();
	open_ok(&veth_auto, 1);
	close_with(DATAPLANE_LEAVE);
	assert_int_not_equal(prog_id("pkt0.5"), 0);
	assert_true(dataplane_purge(harness_pin_dir(), &err) > 10);
	assert_int_equal(prog_id("pkt0.5"), 0);
	assert_int_equal(access(harness_pin_dir(), F_OK), -1);
	assert_int_equal(dataplane_purge(harness_pin_dir(), &err), 0);
}

static void check_inactive(const struct dataplane_spec *spec, const char *why)
{
	struct dp_listener listener = {.id = 1, .name = "web", .protocol = IPPROTO_TCP};
	struct dp_backend backend = {.group = "g"};
	struct dp_counters counters;
	struct dp_heartbeat heartbeat;
	struct err err = {};

	harness_ok(dataplane_open(spec, &harness.dp, &err), &err);
	assert_false(dataplane_active(harness.dp));
	assert_non_null(strstr(report().why, why));
	assert_int_equal(report().interfaces[0].mode, DATAPLANE_NONE);
	assert_non_null(strstr(report().interfaces[0].why, why));
	listener.address = harness_address(PKT_V4_LISTENER, PKT_PORT);
	backend.address = listener.address;
	harness_ok(dp_listeners_set(harness.dp, &listener, 1, &err), &err);
	harness_ok(dp_backend_set(harness.dp, &backend, &err), &err);
	harness_ok(dp_backends_retain(harness.dp, NULL, 0, &err), &err);
	harness_ok(dp_lists_set(harness.dp, &(struct dp_lists_spec){}, &err), &err);
	harness_ok(dp_counters_read(harness.dp, &counters, &err), &err);
	harness_ok(dp_heartbeat_open(harness.dp, 0, &heartbeat, &err), &err);
	dp_heartbeat_stamp(&heartbeat, 1);
	assert_int_equal(dataplane_maintain(harness.dp), 0);
	close_with(DATAPLANE_DETACH);
}

static void test_inactive_is_harmless(void **state)
{
	struct dataplane_spec spec = {.workers = 1, .interfaces = &veth_auto, .interface_count = 1};

	veth_add();
	check_inactive(&spec, "switched off");
	spec.enabled = true;
	spec.pin_dir = "/tmp/sluice-no-bpffs";
	check_inactive(&spec, "not on a bpf file system");
}

static void expect_in_dump(const char *map, const char *text)
{
	harness_sh(
		"bpftool map dump pinned %s/maps/%s | grep -q '%s'", harness_pin_dir(), map, text);
}

static void test_dumps_are_readable(void **state)
{
	struct dp_backend backend = {
		.id = 3,
		.group = "blue",
		.weight = 7,
		.state = BACKEND_UNHEALTHY,
		.reason = WHY_TARGET_TIMEOUT,
		.last_change_unix_s = 1790000000,
	};
	struct dp_group group = {.id = 1,
		.name = "blue",
		.protocol = GROUP_HTTP,
		.state_counts = {[BACKEND_UNHEALTHY] = 1, [BACKEND_HEALTHY] = 2}};
	uint32_t keep = 4;
	struct err err = {};

	open_ok(NULL, 0);
	backend.address = harness_address("2001:db8::9", 8080);
	harness_ok(dp_backend_set(harness.dp, &backend, &err), &err);
	harness_ok(dp_group_set(harness.dp, &group, &err), &err);
	harness_listen(NO_LIMIT, NO_LIMIT, NO_LIMIT);
	expect_in_dump("backends", "\"state\": \"BACKEND_UNHEALTHY\"");
	expect_in_dump("backends", "\"reason\": \"WHY_TARGET_TIMEOUT\"");
	expect_in_dump("backends", "\"address_text\": \"\\[2001:db8::9\\]:8080\"");
	expect_in_dump("backends", "\"group\": \"blue\"");
	expect_in_dump("target_groups", "\"protocol\": \"GROUP_HTTP\"");
	expect_in_dump("target_groups", "\"targets\": 3");
	expect_in_dump("listeners", "\"name\": \"web6\"");
	expect_in_dump("listeners", "\"state\": \"LISTENER_ACTIVE\"");
	expect_in_dump("counters", "\"workers_stale_rst\": 0");
	harness_ok(dp_backends_retain(harness.dp, &keep, 1, &err), &err);
	harness_sh("! bpftool map dump pinned %s/maps/backends | grep -q blue", harness_pin_dir());
	backend.id = SLUICE_MAX_BACKENDS;
	assert_int_equal(dp_backend_set(harness.dp, &backend, &err), -E2BIG);
}

static void test_names(void **state)
{
	assert_string_equal(dp_backend_state_name(BACKEND_DRAINING), "draining");
	assert_string_equal(dp_backend_reason_name(WHY_CONNECTION_REFUSED), "connection_refused");
	assert_string_equal(dp_backend_reason_name((enum backend_reason)999), "unknown");
	assert_string_equal(dp_counter_describe(COUNTER_deny_v4)->name, "deny_v4");
	assert_string_equal(dp_counter_verdict_name(COUNTER_DROP), "drop");
}

/* The other end of the veth, in a namespace of its own with a program that passes: connects and
 * ends with the errno it got. Reports "ready" when it has its namespace. */
static pid_t client_start(int ready_fd, int go_fd)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(4430)};
	struct timeval patience = {.tv_sec = 5};
	struct xdp_pass_bpf *pass;
	pid_t pid = fork();
	char byte = 'r';
	int fd;

	if (pid)
		return pid;
	if (unshare(CLONE_NEWNET) || write(ready_fd, &byte, 1) != 1 || read(go_fd, &byte, 1) != 1)
		_exit(250);
	if (system("ip link set pkt1 up && ip addr add 10.9.0.2/24 dev pkt1"))
		_exit(251);
	pass = xdp_pass_bpf__open_and_load();
	if (!pass || bpf_link_create(bpf_program__fd(pass->progs.xdp_pass),
			     (int)if_nametoindex("pkt1"), BPF_XDP, &opts) < 0)
		_exit(252);
	inet_pton(AF_INET, "10.9.0.1", &address.sin_addr);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	_exit(connect(fd, (struct sockaddr *)&address, sizeof(address)) ? errno : 0);
}

/* The kernel takes the veth down with the client's namespace, some time after the client ends. */
static void veth_gone(void)
{
	struct timespec pause = {.tv_nsec = 5000000};

	for (int tries = 0; if_nametoindex("pkt0.5"); tries++) {
		if (tries == 2000)
			fail_msg("the client's namespace is still there after 10 s");
		nanosleep(&pause, NULL);
	}
}

static int client_result(void)
{
	int ready[2], go[2], status;
	char byte;
	pid_t pid;

	veth_add();
	harness_sh("ip addr add 10.9.0.1/24 dev pkt0.5");
	assert_int_equal(pipe(ready) | pipe(go), 0);
	pid = client_start(ready[1], go[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	harness_sh("ip link set pkt1 netns %d", (int)pid);
	if (dataplane_maintain(harness.dp) != 1)
		fail_msg("not attached: %s", report().interfaces[0].why);
	harness_count_from_here();
	assert_int_equal(write(go[1], "g", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
	veth_gone();
	dataplane_maintain(harness.dp);
	return WEXITSTATUS(status);
}

/* A hung daemon: the listening socket is there and the kernel would accept, but no worker has
 * stamped. A client on the wire is refused at once; with a heartbeat it is served. */
static void test_hung_daemon_on_the_wire(void **state)
{
	struct dp_listener listener = {.id = 1, .name = "wire", .protocol = IPPROTO_TCP};
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(4430)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct dp_heartbeat heartbeat;
	struct err err = {};

	assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	assert_int_equal(listen(fd, 8), 0);
	open_ok(&veth_auto, 1);
	listener.address = harness_address("0.0.0.0", 4430);
	harness_listeners(&listener, 1);
	assert_int_equal(client_result(), ECONNREFUSED);
	assert_true(harness_counted().value[COUNTER_workers_stale_rst] > 0);
	harness_ok(dp_heartbeat_open(harness.dp, 0, &heartbeat, &err), &err);
	dp_heartbeat_stamp(&heartbeat, dp_heartbeat_now_ns() + 60000000000u);
	assert_int_equal(client_result(), 0);
	assert_int_equal(harness_counted().value[COUNTER_syn], 1);
	close(fd);
}

static void test_hostcheck(void **state)
{
	struct dp_hostcheck_row rows[DP_HOSTCHECK_MAX];
	size_t count;
	bool native = false;

	veth_add();
	count = dp_hostcheck("pkt0.5", rows);
	assert_in_range(count, 8, DP_HOSTCHECK_MAX);
	for (size_t i = 0; i < count; i++) {
		print_message(
			"%-16s %-3s %s\n", rows[i].name, rows[i].ok ? "yes" : "no", rows[i].text);
		assert_true(strlen(rows[i].text) > 0);
		native |= strcmp(rows[i].name, "xdp_native") == 0 && rows[i].ok;
	}
	assert_true(native);
	assert_int_equal(prog_id("pkt0.5"), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, each_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_attach_and_stop),
		TEST(test_generic_where_native_is_not_possible),
		TEST(test_addresses_of_interfaces),
		TEST(test_adoption),
		TEST(test_another_layout_is_replaced),
		TEST(test_other_sizes_are_replaced),
		TEST(test_programs_of_others_stay),
		TEST(test_interface_deleted_and_back),
		TEST(test_detached_by_somebody),
		TEST(test_set_interfaces),
		TEST(test_second_daemon_is_refused),
		TEST(test_purge),
		TEST(test_inactive_is_harmless),
		TEST(test_dumps_are_readable),
		TEST(test_names),
		TEST(test_hung_daemon_on_the_wire),
		TEST(test_hostcheck),
	};

	return cmocka_run_group_tests_name("bpf/attach", tests, group_setup, NULL);
}
