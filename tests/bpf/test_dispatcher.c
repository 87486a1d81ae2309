/* Sharing an interface with the XDP programs of others, through libxdp's dispatcher; and what is done
 * where the kernel refuses to replace functions, which a dispatcher needs. */
#include "veth.h"

#include "bpf/xdp_dispatcher.skel.h"
#include "bpf/xdp_neighbour.skel.h"

#include <fcntl.h>
#include <netpacket/packet.h>
#include <sys/prctl.h>
#include <xdp/libxdp.h>

static const struct dataplane_interface_spec veth_shared = {
	"pkt0.5", DATAPLANE_NATIVE, DATAPLANE_DISPATCHER_ALWAYS};

/* IPv6 says things by itself, which the counts of these tests would see. */
static int silent_setup(void **state)
{
	if (group_setup(state))
		return -1;
	return system("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6");
}

/* Somebody else, who attaches through libxdp as every tool does; behind ours in the order. */
struct neighbour {
	struct xdp_neighbour_bpf *object;
	struct xdp_program *program;
};

static struct neighbour neighbour_add(void)
{
	struct neighbour one = {.object = xdp_neighbour_bpf__open()};
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .obj = one.object->obj);

	one.program = xdp_program__create(&opts);
	assert_int_equal(libxdp_get_error(one.program), 0);
	assert_int_equal(
		xdp_program__attach(one.program, (int)if_nametoindex("pkt0.5"), XDP_MODE_NATIVE, 0),
		0);
	return one;
}

/* libxdp before 1.5.5 cannot keep our program where it makes the next dispatcher, and leaves what it
 * finds. Others are given a dispatcher that can, as newer ones have it. */
static char newer_libxdp[] = "/tmp/sluice-test-XXXXXX";

static void newer_libxdp_begin(void)
{
	size_t len;
	const char *bytes = xdp_dispatcher_bpf__elf_bytes(&len);
	char path[64];
	int fd;

	strcpy(strrchr(newer_libxdp, '-') + 1, "XXXXXX");
	assert_non_null(mkdtemp(newer_libxdp));
	snprintf(path, sizeof(path), "%s/xdp-dispatcher.o", newer_libxdp);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
	setenv("LIBXDP_OBJECT_PATH", newer_libxdp, 1);
}

static void newer_libxdp_end(void)
{
	unsetenv("LIBXDP_OBJECT_PATH");
	harness_sh("rm -r %s", newer_libxdp);
}

static uint64_t neighbour_saw(const struct neighbour *one)
{
	uint32_t row = 0;
	uint64_t seen = 0;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(one->object->maps.neighbour_seen), &row, &seen), 0);
	return seen;
}

static void neighbour_del(struct neighbour *one)
{
	assert_int_equal(xdp_program__detach(
				 one->program, (int)if_nametoindex("pkt0.5"), XDP_MODE_NATIVE, 0),
		0);
	xdp_program__close(one->program);
	xdp_neighbour_bpf__destroy(one->object);
}

/* Runs a frame through whatever the interface carries. */
static int interface_run(const struct packet_spec *spec)
{
	struct frame frame = packet_build(spec);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data,
		.data_size_in = (uint32_t)frame.len, .data_out = harness.out.data,
		.data_size_out = sizeof(harness.out.data), .repeat = 1);
	int fd = bpf_prog_get_fd_by_id(prog_id("pkt0.5"));

	assert_true(fd >= 0);
	assert_int_equal(bpf_prog_test_run_opts(fd, &opts), 0);
	close(fd);
	return (int)opts.retval;
}

static void need_dispatcher(void)
{
	int code = dp_dispatcher_possible();

	if (!code)
		return;
	print_message("the kernel does not replace BPF functions: %s\n", strerror(-code));
	skip();
}

static const struct packet_spec null_scan = {.flags = 0};
static const struct packet_spec elsewhere = {.flags = PKT_SYN, .dport = 9};

static void listen_here(void)
{
	harness_listen(NO_LIMIT, NO_LIMIT, NO_LIMIT);
	harness_count_from_here();
}

static void test_dispatcher_fallback(void **state)
{
	if (dp_dispatcher_possible() == 0)
		skip();
	veth_add();
	open_ok(&veth_shared, 1);
	assert_string_equal(dataplane_attachment_name(&report().interfaces[0]), "native");
	assert_non_null(strstr(report().interfaces[0].why, "dispatcher: "));
	listen_here();
	assert_int_equal(interface_run(&null_scan), XDP_DROP);
	/* The next process keeps the link, although it would rather have a dispatcher. */
	close_with(DATAPLANE_LEAVE);
	open_ok(&veth_shared, 1);
	assert_true(report().interfaces[0].adopted);
}

static void test_dispatcher_made(void **state)
{
	struct neighbour other;
	uint32_t dispatcher;

	need_dispatcher();
	veth_add();
	open_ok(&veth_shared, 1);
	assert_string_equal(
		dataplane_attachment_name(&report().interfaces[0]), "native (dispatcher)");
	dispatcher = prog_id("pkt0.5");
	assert_true(dp_dispatcher_is(dispatcher));
	assert_int_not_equal(report().interfaces[0].prog_id, dispatcher);
	listen_here();
	assert_int_equal(interface_run(&null_scan), XDP_DROP);
	assert_int_equal(harness_counted().value[COUNTER_tcp_no_flags], 1);
	/* Others come and go: nothing of ours is lost. */
	newer_libxdp_begin();
	other = neighbour_add();
	assert_int_not_equal(prog_id("pkt0.5"), dispatcher);
	assert_int_equal(dataplane_maintain(harness.dp), 0);
	assert_int_equal(interface_run(&null_scan), XDP_DROP);
	assert_int_equal(neighbour_saw(&other), 0);
	assert_int_equal(interface_run(&elsewhere), XDP_PASS);
	assert_int_equal(neighbour_saw(&other), 1);
	neighbour_del(&other);
	newer_libxdp_end();
	assert_int_equal(dataplane_maintain(harness.dp), 0);
	assert_int_equal(interface_run(&null_scan), XDP_DROP);
	close_with(DATAPLANE_DETACH);
	assert_int_equal(prog_id("pkt0.5"), 0);
}

static void test_dispatcher_joined(void **state)
{
	static const struct dataplane_interface_spec never = {
		"pkt0.5", DATAPLANE_NATIVE, DATAPLANE_DISPATCHER_NEVER};
	struct neighbour other;
	struct err err = {};

	need_dispatcher();
	veth_add();
	other = neighbour_add();
	assert_int_equal(open_with(&never, 1, &err), -EBUSY);
	assert_non_null(strstr(err.text, "'xdp_dispatcher'"));
	open_ok(&veth_auto, 1);
	assert_string_equal(
		dataplane_attachment_name(&report().interfaces[0]), "native (dispatcher)");
	listen_here();
	assert_int_equal(interface_run(&null_scan), XDP_DROP);
	assert_int_equal(interface_run(&elsewhere), XDP_PASS);
	assert_int_equal(neighbour_saw(&other), 1);
	/* The end of the process, whatever it was: both go on. */
	close_with(DATAPLANE_LEAVE);
	assert_int_equal(interface_run(&null_scan), XDP_DROP);
	assert_int_equal(interface_run(&elsewhere), XDP_PASS);
	assert_int_equal(neighbour_saw(&other), 2);
	open_ok(&veth_auto, 1);
	assert_true(report().interfaces[0].adopted);
	/* An orderly stop takes ours only. */
	close_with(DATAPLANE_DETACH);
	assert_int_equal(interface_run(&null_scan), XDP_PASS);
	assert_int_equal(neighbour_saw(&other), 3);
	neighbour_del(&other);
	assert_int_equal(prog_id("pkt0.5"), 0);
}

/* Sends the frame from the other end until it is killed, beginning at a byte from ret_start. */
static pid_t flood_start(const struct packet_spec *spec, int *ret_start)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("pkt1")};
	struct timespec pause = {.tv_nsec = 5000000};
	struct frame frame = packet_build(spec);
	int fd, start[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(start), 0);
	pid = fork();
	if (pid) {
		close(start[0]);
		*ret_start = start[1];
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (read(start[0], &byte, 1) != 1)
		_exit(1);
	while (sendto(fd, frame.data, frame.len, 0, (struct sockaddr *)&to, sizeof(to)) > 0)
		nanosleep(&pause, NULL);
	_exit(1);
}

static void flood_arrives(void)
{
	uint64_t before = harness_counted().value[COUNTER_tcp_no_flags];

	for (int tries = 0; harness_counted().value[COUNTER_tcp_no_flags] < before + 5; tries++) {
		if (tries == 10000)
			fail_msg("the flood does not arrive");
		usleep(1000);
	}
}

/* Packets that ours drops come all the time: one that reaches the neighbour has found a gap. */
static void test_dispatcher_replaced_without_a_gap(void **state)
{
	struct neighbour other;
	pid_t flood;
	int started;

	need_dispatcher();
	harness_sh(
		"echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"); /* it says things itself */
	veth_add();
	other = neighbour_add();
	flood = flood_start(&null_scan, &started); /* before the lock is there to be inherited */
	open_ok(&veth_auto, 1);
	listen_here();
	assert_int_equal(write(started, "", 1), 1);
	close(started);
	for (int round = 0; round < 3; round++) {
		flood_arrives();
		close_with(DATAPLANE_LEAVE);
		open_ok(&veth_auto, 1);
		assert_true(report().interfaces[0].adopted);
	}
	flood_arrives();
	kill(flood, SIGKILL);
	waitpid(flood, NULL, 0);
	assert_int_equal(neighbour_saw(&other), 0);
	close_with(DATAPLANE_DETACH);
	neighbour_del(&other);
}

static void test_dispatcher_interface_deleted(void **state)
{
	uint32_t ifindex, dispatcher;
	char pins[64];

	need_dispatcher();
	veth_add();
	open_ok(&veth_shared, 1);
	ifindex = if_nametoindex("pkt0.5");
	dispatcher = prog_id("pkt0.5");
	snprintf(pins, sizeof(pins), "/sys/fs/bpf/xdp/dispatch-%u-%u", ifindex, dispatcher);
	assert_int_equal(access(pins, F_OK), 0);
	veth_del();
	assert_int_equal(dataplane_maintain(harness.dp), 1);
	assert_int_equal(report().interfaces[0].mode, DATAPLANE_NONE);
	assert_int_equal(access(pins, F_OK), -1);
	veth_add();
	assert_int_equal(dataplane_maintain(harness.dp), 1);
	assert_true(report().interfaces[0].dispatcher);
	/* Somebody takes the whole dispatcher away. */
	harness_sh("ip link set pkt0.5 xdp off");
	assert_int_equal(dataplane_maintain(harness.dp), 1);
	assert_true(dp_dispatcher_is(prog_id("pkt0.5")));
	/* What a crash left is found by its pin. */
	close_with(DATAPLANE_LEAVE);
	assert_true(dataplane_purge(harness_pin_dir(), &(struct err){}) > 10);
	assert_int_equal(prog_id("pkt0.5"), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, each_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dispatcher_fallback),
		TEST(test_dispatcher_made),
		TEST(test_dispatcher_joined),
		TEST(test_dispatcher_replaced_without_a_gap),
		TEST(test_dispatcher_interface_deleted),
	};

	return cmocka_run_group_tests_name("bpf/dispatcher", tests, silent_setup, NULL);
}
