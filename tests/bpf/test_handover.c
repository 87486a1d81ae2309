/* Who answers SYNs: the tc programs beside XDP, what the host's settings allow, the secret of the
 * cookies over a restart, and the places of AF_XDP sockets. */
#include "harness.h"

#include "bpf/sluice_release.skel.h"
#include "dataplane/dp_gate.h"
#include "net/tun.h"
#include "net/xsk.h"

#include <time.h>

static const struct dataplane_interface_spec both[] = {
	{"gate0", DATAPLANE_AUTO}, {"gate0.1", DATAPLANE_AUTO}};

static void close_with(enum dataplane_stop stop)
{
	dataplane_close(harness.dp, stop);
	harness.dp = NULL;
}

/* Loading takes a while: what is open with these interfaces is used again. */
static void open_with(enum handover handover, size_t count)
{
	struct dataplane_spec spec = {
		.enabled = true,
		.pin_dir = harness_pin_dir(),
		.workers = 2,
		.handover = handover,
		.interfaces = both,
		.interface_count = count,
	};
	struct err err = {};

	if (harness.dp && harness.dp->wanted == handover && harness.dp->interface_count == count)
		return;
	if (harness.dp)
		close_with(DATAPLANE_DETACH);
	harness_ok(dataplane_open(&spec, &harness.dp, &err), &err);
	assert_true(dataplane_active(harness.dp));
}

static void open_again(enum handover handover, size_t count, enum dataplane_stop stop)
{
	close_with(stop);
	open_with(handover, count);
}

static void open_own(void)
{
	open_with(HANDOVER_OWN_COOKIES, 2);
}

static void sysctl(const char *name, int value)
{
	harness_sh("sysctl -qw net.ipv4.%s=%d", name, value);
}

static int group_setup(void **state)
{
	harness_sweep();
	if (unshare(CLONE_NEWNET))
		return -1;
	harness_loopback_up();
	for (int i = 0; i < 2; i++)
		harness_sh(
			"ip link add %s numrxqueues 2 numtxqueues 2 type veth peer name peer%d "
			"numrxqueues 2 numtxqueues 2 && ip link set %s up && ip link set peer%d up",
			both[i].name, i, both[i].name, i);
	return 0;
}

static int group_teardown(void **state)
{
	struct err err = {};

	dataplane_close(harness.dp, DATAPLANE_DETACH);
	return dataplane_purge(harness_pin_dir(), &err) < 0 ? -1 : 0;
}

static struct dp_handover_report report(void)
{
	struct dp_handover_report now;

	dp_handover_report(harness.dp, &now);
	assert_int_equal(now.reached, dp_settings(harness.dp)->handover);
	return now;
}

/* Id of the first tc program on the interface's ingress; 0: none. */
static uint32_t tc_prog_id(const char *interface)
{
	uint32_t ids[8] = {};
	LIBBPF_OPTS(bpf_prog_query_opts, opts, .prog_ids = ids, .prog_cnt = 8);
	int code = bpf_prog_query_opts((int)if_nametoindex(interface), BPF_TCX_INGRESS, &opts);

	assert_int_equal(code, 0);
	return opts.prog_cnt ? ids[0] : 0;
}

static uint32_t id_of(const struct bpf_program *program)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	assert_int_equal(bpf_prog_get_info_by_fd(bpf_program__fd(program), &info, &len), 0);
	return info.id;
}

static void test_own_cookies(void **state)
{
	uint32_t id;

	open_own();
	assert_string_equal(report().why, "");
	assert_int_equal(report().reached, HANDOVER_OWN_COOKIES);
	id = id_of(harness.dp->release->progs.sluice_release_link);
	assert_int_equal(tc_prog_id("gate0"), id);
	assert_int_equal(tc_prog_id("gate0.1"), id);
}

static void test_orderly_stop(void **state)
{
	open_own();
	close_with(DATAPLANE_DETACH);
	assert_int_equal(tc_prog_id("gate0"), 0);
	assert_int_equal(tc_prog_id("gate0.1"), 0);
	assert_int_not_equal(access(harness_pin_dir(), F_OK), 0);
}

static void test_less_by_configuration(void **state)
{
	open_with(HANDOVER_KERNEL_COOKIES, 1);
	assert_int_equal(report().reached, HANDOVER_KERNEL_COOKIES);
	open_with(HANDOVER_NONE, 1);
	assert_int_equal(report().reached, HANDOVER_NONE);
	assert_non_null(strstr(report().why, "xdp.handover"));
}

/* Somebody switches cookies off under a running daemon, and on again. */
static void test_syncookies_are_needed(void **state)
{
	open_own();
	sysctl("tcp_syncookies", 0);
	dataplane_maintain(harness.dp);
	assert_int_equal(report().reached, HANDOVER_NONE);
	assert_non_null(strstr(report().why, "net.ipv4.tcp_syncookies=1"));
	sysctl("tcp_syncookies", 2);
	dataplane_maintain(harness.dp);
	assert_int_equal(report().reached, HANDOVER_OWN_COOKIES);
	assert_string_equal(report().why, "");
	sysctl("tcp_syncookies", 0);
	dataplane_maintain(harness.dp);
	assert_int_equal(report().reached, HANDOVER_NONE);
	sysctl("tcp_syncookies", 1);
	dataplane_maintain(harness.dp);
}

static void test_limit_at_run_time(void **state)
{
	open_own();
	dp_handover_limit(harness.dp, HANDOVER_KERNEL_COOKIES, "a firewall drops released flights");
	assert_int_equal(report().reached, HANDOVER_KERNEL_COOKIES);
	assert_string_equal(report().why, "a firewall drops released flights");
	dataplane_maintain(harness.dp);
	assert_int_equal(report().reached, HANDOVER_KERNEL_COOKIES);
	dp_handover_limit(harness.dp, HANDOVER_OWN_COOKIES, "");
	assert_int_equal(report().reached, HANDOVER_OWN_COOKIES);
}

static void test_flags_follow_sysctls(void **state)
{
	const uint32_t all =
		SETTINGS_WINDOW_SCALING | SETTINGS_SACK | SETTINGS_TIMESTAMPS | SETTINGS_ECN;
	static const struct {
		const char *name;
		uint32_t flag;
	} rows[] = {
		{"tcp_window_scaling", SETTINGS_WINDOW_SCALING},
		{"tcp_sack", SETTINGS_SACK},
		{"tcp_timestamps", SETTINGS_TIMESTAMPS},
		{"tcp_ecn", SETTINGS_ECN},
	};

	open_own();
	assert_int_equal(dp_settings(harness.dp)->flags & all, all);
	harness.dp->settings->flags |= (1u << 31); /* somebody else's */
	for (size_t i = 0; i < array_len(rows); i++) {
		sysctl(rows[i].name, 0);
		dataplane_maintain(harness.dp);
		assert_int_equal(
			dp_settings(harness.dp)->flags, (all & ~rows[i].flag) | (1u << 31));
		sysctl(rows[i].name, 2);
	}
	sysctl("tcp_window_scaling", 1);
	dataplane_maintain(harness.dp);
	assert_int_equal(dp_settings(harness.dp)->flags, all | (1u << 31));
}

static int tc_link(const char *interface)
{
	char path[PATH_MAX];

	dp_pins_link_path(harness_pin_dir(), "links/tc", interface, path);
	return bpf_obj_get(path);
}

static void test_detached_comes_back(void **state)
{
	int fd;

	open_own();
	fd = tc_link("gate0");
	assert_true(fd >= 0);
	assert_int_equal(bpf_link_detach(fd), 0);
	close(fd);
	assert_int_equal(tc_prog_id("gate0"), 0);
	dataplane_maintain(harness.dp);
	assert_int_not_equal(tc_prog_id("gate0"), 0);
	assert_int_equal(report().reached, HANDOVER_OWN_COOKIES);
}

static void test_tun(void **state)
{
	struct err err = {};
	struct tun *tun;
	char name[16];

	open_own();
	harness_ok(tun_open("gatet%d", 1, &tun, &err), &err);
	snprintf(name, sizeof(name), "%s", tun_name(tun));
	harness_ok(dp_gate_attach_tun(harness.dp, tun_ifindex(tun), &err), &err);
	assert_int_equal(tc_prog_id(name), id_of(harness.dp->release->progs.sluice_release_tun));
	harness_ok(dp_gate_attach_tun(harness.dp, tun_ifindex(tun), &err), &err); /* again */
	tun_close(tun);
	assert_int_equal(if_nametoindex(name), 0);
}

static void check_secret(const uint64_t key[2])
{
	assert_memory_equal(
		sluice_cookie_secret_of(dp_settings(harness.dp))->keys[0], key, 2 * sizeof(key[0]));
}

static void test_secret(void **state)
{
	const struct dp_cookie_secret mine = {.keys = {{1, 2}, {3, 4}}};
	const struct sluice_cookie_secret *secret;
	const struct sluice_settings *settings;
	uint64_t first[2];

	open_own();
	settings = dp_settings(harness.dp);
	secret = sluice_cookie_secret_of(settings);
	memcpy(first, secret->keys[0], sizeof(first));
	assert_true(first[0] && first[1] && settings->meta_magic);
	assert_false(secret->keys[1][0] | secret->keys[1][1]);
	dp_cookies_rotate(harness.dp);
	/* whoever was reading it when it changed has the old one whole */
	assert_memory_equal(secret->keys[0], first, sizeof(first));
	assert_ptr_not_equal(secret, sluice_cookie_secret_of(settings));
	secret = sluice_cookie_secret_of(settings);
	assert_memory_equal(secret->keys[1], first, sizeof(first));
	assert_memory_not_equal(secret->keys[0], first, sizeof(first));
	dp_cookies_forget(harness.dp);
	secret = sluice_cookie_secret_of(settings);
	assert_false(secret->keys[1][0] | secret->keys[1][1]);
	dp_cookies_set(harness.dp, &mine);
	assert_memory_equal(sluice_cookie_secret_of(settings)->keys, mine.keys, sizeof(mine.keys));
}

static void test_epoch_follows_the_clock(void **state)
{
	open_own();
	harness.dp->settings->epoch = 7; /* as after a clock that was hours off */
	dataplane_maintain(harness.dp);
	assert_true(labs((long)dp_settings(harness.dp)->epoch - time(NULL) / 64) <= 1);
}

static struct sluice_interface_slots row_of(uint32_t ifindex)
{
	struct sluice_interface_slots row;
	uint32_t at = ifindex % SLUICE_INTERFACE_ROWS;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(harness.dp->xdp->maps.interface_slots), &at, &row),
		0);
	return row;
}

static struct sluice_gate_slot slot_of(uint32_t slot)
{
	struct sluice_gate_slot gate;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(harness.dp->xdp->maps.gate_slots), &slot, &gate),
		0);
	return gate;
}

/* Nothing reads an XSKMAP: replaces the socket by itself where there is one. */
static bool has_socket(uint32_t slot, const struct xsk *xsk)
{
	int fd = xsk_fd(xsk);

	return bpf_map_update_elem(
		       bpf_map__fd(harness.dp->xdp->maps.xsks), &slot, &fd, BPF_EXIST) == 0;
}

static struct xsk *xsk_on(const char *interface, uint32_t queue)
{
	const struct xsk_spec spec = {interface, queue};
	struct err err = {};
	struct xsk *xsk;

	harness_ok(xsk_open(&spec, &xsk, &err), &err);
	return xsk;
}

static void test_interfaces_have_queues(void **state)
{
	struct dp_gate_interface rows[DATAPLANE_MAX_INTERFACES];

	open_own();
	assert_int_equal(dp_gate_interfaces(harness.dp, rows), 2);
	assert_string_equal(rows[1].name, "gate0.1");
	assert_int_equal(rows[1].ifindex, if_nametoindex("gate0.1"));
	assert_int_equal(rows[1].queues, 2);
	harness_sh("ethtool -L peer0 tx 1 && ethtool -L gate0 rx 1");
	assert_int_equal(dp_gate_interfaces(harness.dp, rows), 2);
	assert_int_equal(rows[0].queues, 1);
	harness_sh("ethtool -L gate0 rx 2 && ethtool -L peer0 tx 2");
}

/* Both queues of the second interface, dealt to two workers, behind those of the first. */
static void test_slots(void **state)
{
	uint32_t first = if_nametoindex("gate0"), second = if_nametoindex("gate0.1");
	struct xsk *sockets[4];
	struct err err = {};

	open_own();
	for (uint32_t i = 0; i < 4; i++) {
		sockets[i] = xsk_on(both[i / 2].name, i % 2);
		harness_ok(dp_gate_add(harness.dp, i < 2 ? first : second, i % 2, !(i % 2),
				   xsk_fd(sockets[i]), &err),
			&err);
	}
	assert_int_equal(row_of(first).ifindex, first);
	assert_int_equal(row_of(first).queues, 2);
	assert_int_equal(row_of(first).mtu, 1500);
	assert_int_equal(row_of(second).first, row_of(first).first + 2);
	assert_int_equal(slot_of(row_of(second).first).worker, 1);
	assert_int_equal(slot_of(row_of(second).first + 1).worker, 0);
	assert_int_equal(slot_of(row_of(second).first + 1).queue, 1);
	assert_true(has_socket(row_of(second).first + 1, sockets[3]));
	assert_int_equal(dp_gate_add(harness.dp, first, 2, 0, xsk_fd(sockets[0]), &err), -EINVAL);
	assert_int_equal(dp_gate_add(harness.dp, 9999, 0, 0, xsk_fd(sockets[0]), &err), -ENODEV);

	dp_gate_remove(harness.dp, first);
	assert_int_equal(row_of(first).queues, 0);
	assert_int_equal(row_of(first).mtu, 1500); /* SYN-ACKs need it all the same */
	assert_false(has_socket(row_of(first).first, sockets[0]));
	assert_false(has_socket(row_of(first).first + 1, sockets[1]));
	assert_int_equal(dp_gate_add(harness.dp, first, 1, 0, xsk_fd(sockets[1]), &err), -EINVAL);
	harness_ok(dp_gate_add(harness.dp, first, 0, 0, xsk_fd(sockets[0]), &err), &err);
	assert_int_equal(row_of(first).queues, 1);
	dp_gate_remove(harness.dp, first);
	dp_gate_remove(harness.dp, second);
	for (int i = 0; i < 4; i++)
		xsk_close(sockets[i]);
}

static void test_mtu_is_followed(void **state)
{
	open_own();
	assert_int_equal(row_of(if_nametoindex("gate0")).mtu, 1500);
	harness_sh("ip link set gate0 mtu 1400");
	dataplane_maintain(harness.dp);
	assert_int_equal(row_of(if_nametoindex("gate0")).mtu, 1400);
	harness_sh("ip link set gate0 mtu 1500");
}

/* Deleted and made again, it has another index: the slots of the old one are free. */
static void test_interface_comes_back(void **state)
{
	uint32_t before = if_nametoindex("gate0.1"), after;
	struct err err = {};
	struct xsk *xsk;

	open_own();
	xsk = xsk_on("gate0.1", 0);
	harness_ok(dp_gate_add(harness.dp, before, 0, 0, xsk_fd(xsk), &err), &err);
	harness_sh("ip link del gate0.1");
	dataplane_maintain(harness.dp);
	assert_int_equal(row_of(before).ifindex, 0);
	harness_sh("ip link add gate0.1 numrxqueues 2 numtxqueues 2 type veth peer name peer1 "
		   "numrxqueues 2 numtxqueues 2 && ip link set gate0.1 up && ip link set peer1 up");
	assert_int_equal(dataplane_maintain(harness.dp), 1);
	after = if_nametoindex("gate0.1");
	assert_int_equal(row_of(after).ifindex, after);
	assert_int_equal(row_of(after).queues, 0);
	assert_int_not_equal(tc_prog_id("gate0.1"), 0);
	xsk_close(xsk);
	xsk = xsk_on("gate0.1", 0);
	harness_ok(dp_gate_add(harness.dp, after, 0, 1, xsk_fd(xsk), &err), &err);
	assert_int_equal(slot_of(row_of(after).first).ifindex, after);
	xsk_close(xsk);
}

static uint32_t tc_link_id(const char *interface)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	int fd = tc_link(interface);

	assert_true(fd >= 0);
	assert_int_equal(bpf_link_get_info_by_fd(fd, &info, &len), 0);
	close(fd);
	return info.id;
}

/* As a killed process leaves it: a row that names sockets which are gone. */
static void row_of_the_dead_write(void)
{
	const struct sluice_interface_slots stale = {.ifindex = 4000, .queues = 3};
	uint32_t at = 4000;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(harness.dp->xdp->maps.interface_slots),
				 &at, &stale, BPF_ANY),
		0);
}

/* The same links with other programs: there was no gap. The same secret: what is under way counts. */
static void test_restart_takes_over(void **state)
{
	const struct dp_cookie_secret mine = {.keys = {{5, 6}}};
	uint32_t link_id, old_prog;
	uint64_t magic;

	open_own();
	dp_cookies_set(harness.dp, &mine);
	row_of_the_dead_write();
	link_id = tc_link_id("gate0.1");
	old_prog = tc_prog_id("gate0.1");
	magic = dp_settings(harness.dp)->meta_magic;
	open_again(HANDOVER_OWN_COOKIES, 2, DATAPLANE_LEAVE);
	assert_int_equal(tc_link_id("gate0.1"), link_id);
	assert_int_not_equal(tc_prog_id("gate0.1"), old_prog);
	assert_int_equal(
		tc_prog_id("gate0.1"), id_of(harness.dp->release->progs.sluice_release_link));
	check_secret(mine.keys[0]);
	assert_true(dp_settings(harness.dp)->meta_magic == magic);
	assert_int_equal(row_of(4000).queues, 0);
	assert_int_equal(row_of(if_nametoindex("gate0")).mtu, 1500);
	/* The second interface is no longer configured. */
	open_again(HANDOVER_OWN_COOKIES, 1, DATAPLANE_LEAVE);
	assert_int_equal(tc_prog_id("gate0.1"), 0);
	assert_int_not_equal(tc_prog_id("gate0"), 0);
}

static void test_purge_removes_all(void **state)
{
	const struct dp_cookie_secret mine = {.keys = {{7, 8}}};
	uint64_t key[2];
	struct err err = {};

	open_own();
	dp_cookies_set(harness.dp, &mine);
	close_with(DATAPLANE_LEAVE);
	assert_int_not_equal(tc_prog_id("gate0"), 0);
	assert_true(dataplane_purge(harness_pin_dir(), &err) > 4);
	assert_int_equal(tc_prog_id("gate0"), 0);
	assert_int_equal(tc_prog_id("gate0.1"), 0);
	assert_int_not_equal(access(harness_pin_dir(), F_OK), 0);
	open_own();
	memcpy(key, sluice_cookie_secret_of(dp_settings(harness.dp))->keys[0], sizeof(key));
	assert_true(key[0] > 8 && key[1] > 8);
}

static void test_inactive_does_nothing(void **state)
{
	struct dataplane_spec spec = {.workers = 1, .pin_dir = harness_pin_dir()};
	struct dp_gate_interface rows[DATAPLANE_MAX_INTERFACES];
	struct dp_cookie_secret secret = {};
	struct dp_handover_report now;
	struct err err = {};

	if (harness.dp)
		close_with(DATAPLANE_DETACH);
	harness_ok(dataplane_open(&spec, &harness.dp, &err), &err);
	dp_handover_report(harness.dp, &now);
	assert_int_equal(now.reached, HANDOVER_NONE);
	assert_string_equal(now.why, "switched off");
	assert_null(dp_settings(harness.dp));
	dp_cookies_set(harness.dp, &secret);
	dp_cookies_rotate(harness.dp);
	dp_cookies_forget(harness.dp);
	dp_handover_limit(harness.dp, HANDOVER_NONE, "whatever");
	assert_int_equal(dp_gate_interfaces(harness.dp, rows), 0);
	assert_int_equal(dp_gate_attach_tun(harness.dp, 1, &err), 0);
	assert_int_equal(dp_gate_add(harness.dp, 1, 0, 0, 1, &err), 0);
	dp_gate_remove(harness.dp, 1);
	assert_int_equal(dataplane_maintain(harness.dp), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_cookies),
		cmocka_unit_test(test_syncookies_are_needed),
		cmocka_unit_test(test_limit_at_run_time),
		cmocka_unit_test(test_flags_follow_sysctls),
		cmocka_unit_test(test_detached_comes_back),
		cmocka_unit_test(test_tun),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_epoch_follows_the_clock),
		cmocka_unit_test(test_interfaces_have_queues),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_mtu_is_followed),
		cmocka_unit_test(test_interface_comes_back),
		cmocka_unit_test(test_restart_takes_over),
		cmocka_unit_test(test_purge_removes_all),
		cmocka_unit_test(test_orderly_stop),
		cmocka_unit_test(test_less_by_configuration),
		cmocka_unit_test(test_inactive_does_nothing),
	};

	return cmocka_run_group_tests_name("bpf/handover", tests, group_setup, group_teardown);
}
