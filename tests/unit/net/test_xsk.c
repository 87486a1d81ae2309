/* AF_XDP sockets on one end of a veth pair, a packet socket on the other: frames arrive and leave
 * whole, buffers go round, nothing grows. The redirecting program is written out in instructions. */
#include "net/xsk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	DEADLINE_MS = 5000,
	HEAD_BYTES = 14,
	ETHERTYPE = 0x88b5, /* for local experiments: nobody else's frames are counted */
};

static struct xsk *xsk;
static int map_fd, packet_fd;

static long bpf_call(enum bpf_cmd command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int xskmap_new(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_XSKMAP, .key_size = 4, .value_size = 4, .max_entries = 4};

	return (int)bpf_call(BPF_MAP_CREATE, &attr);
}

static void xskmap_set(uint32_t slot, int fd)
{
	union bpf_attr attr = {.map_fd = (uint32_t)map_fd};

	attr.key = (uintptr_t)&slot;
	attr.value = (uintptr_t)&fd;
	assert_int_equal(bpf_call(BPF_MAP_UPDATE_ELEM, &attr), 0);
}

/* return bpf_redirect_map(&map, ctx->rx_queue_index, XDP_PASS) */
static int redirect_program(void)
{
	const struct bpf_insn code[] = {
		{BPF_LDX | BPF_W | BPF_MEM, BPF_REG_2, BPF_REG_1,
			offsetof(struct xdp_md, rx_queue_index), 0},
		{BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map_fd},
		{0},
		{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, XDP_PASS},
		{BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map},
		{BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
	};
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_XDP, .insn_cnt = array_len(code)};

	attr.insns = (uintptr_t)code;
	attr.license = (uintptr_t)"GPL";
	return (int)bpf_call(BPF_PROG_LOAD, &attr);
}

/* The link lives as long as the process. */
static int redirect_attach(const char *interface)
{
	union bpf_attr attr = {};
	int prog_fd = redirect_program();

	if (prog_fd < 0)
		return -1;
	attr.link_create.prog_fd = (uint32_t)prog_fd;
	attr.link_create.target_ifindex = if_nametoindex(interface);
	attr.link_create.attach_type = BPF_XDP;
	attr.link_create.flags = XDP_FLAGS_DRV_MODE;
	return (int)bpf_call(BPF_LINK_CREATE, &attr);
}

static int packet_socket(const char *interface)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHERTYPE)), room = 1 << 22;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		return -1;
	address.sll_ifindex = (int)if_nametoindex(interface);
	return bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -1 : fd;
}

static int setup(void **state)
{
	if (unshare(CLONE_NEWNET) ||
		system("ip link add x0 mtu 3000 type veth peer name x1 mtu 3000 && "
		       "sysctl -qw net.ipv6.conf.x0.disable_ipv6=1 net.ipv6.conf.x1.disable_ipv6=1 && "
		       "ip link set x0 up && ip link set x1 up"))
		return -1;
	map_fd = xskmap_new();
	packet_fd = packet_socket("x1");
	return map_fd < 0 || packet_fd < 0 || redirect_attach("x0") < 0 ? -1 : 0;
}

static int open_xsk(void **state)
{
	const struct xsk_spec spec = {"x0", 0};
	struct err err = {};

	if (xsk_open(&spec, &xsk, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	xskmap_set(0, xsk_fd(xsk));
	return 0;
}

static int close_xsk(void **state)
{
	xsk_close(xsk);
	xsk = NULL;
	return 0;
}

/* Every byte depends on the frame's number. */
static void frame_fill(uint8_t *bytes, uint32_t len, uint32_t number)
{
	memset(bytes, 0xff, 6);
	memcpy(bytes + 6, "\2\0\0\0\0\1", 6);
	bytes[12] = ETHERTYPE >> 8;
	bytes[13] = ETHERTYPE & 0xff;
	for (uint32_t i = HEAD_BYTES; i < len; i++)
		bytes[i] = (uint8_t)(number >> (i % 2 * 8) ^ i / 16);
}

static void frame_check(const uint8_t *bytes, uint32_t len, uint32_t expected, uint32_t number)
{
	uint8_t want[4096];

	frame_fill(want, expected, number);
	assert_int_equal(len, expected);
	assert_memory_equal(bytes + HEAD_BYTES, want + HEAD_BYTES, expected - HEAD_BYTES);
}

static void peer_send(uint32_t len, uint32_t number)
{
	uint8_t bytes[4096];

	frame_fill(bytes, len, number);
	assert_int_equal(send(packet_fd, bytes, len, 0), len);
}

static void wait_readable(int fd)
{
	struct pollfd polled = {fd, POLLIN, 0};

	if (poll(&polled, 1, DEADLINE_MS) != 1)
		fail_msg("nothing arrived within %d ms", DEADLINE_MS);
}

/* Frames first to behind - 1, in that order, through as many batches as it takes. */
static void expect_frames(uint32_t len, uint32_t first, uint32_t behind)
{
	struct xsk_frame frames[XSK_BATCH_MAX];

	while (first < behind) {
		size_t n = xsk_receive(xsk, frames, XSK_BATCH_MAX);

		if (!n)
			wait_readable(xsk_fd(xsk));
		for (size_t i = 0; i < n; i++)
			frame_check(frames[i].bytes, frames[i].len_bytes, len, first++);
		xsk_put_back(xsk);
	}
	assert_int_equal(first, behind);
}

static void test_frames_arrive(void **state)
{
	peer_send(60, 7);
	expect_frames(60, 7, 8);
	peer_send(1514, 8);
	expect_frames(1514, 8, 9);
	peer_send(XSK_FRAME_BYTES, 9);
	expect_frames(XSK_FRAME_BYTES, 9, 10);
}

/* Three times as many as there are buffers. */
static void test_buffers_go_round(void **state)
{
	const uint32_t all = 3 * XSK_RX_FRAMES, step = 256;

	for (uint32_t number = 0; number < all; number += step) {
		for (uint32_t i = 0; i < step; i++)
			peer_send(200, number + i);
		expect_frames(200, number, number + step);
	}
}

static void test_small_batches(void **state)
{
	struct xsk_frame frames[3];

	for (uint32_t i = 0; i < 4; i++)
		peer_send(100, i);
	wait_readable(xsk_fd(xsk));
	while (xsk_receive(xsk, frames, 3) < 3) /* not put back: receiving does it */
		wait_readable(xsk_fd(xsk));
	frame_check(frames[2].bytes, frames[2].len_bytes, 100, 2);
	xsk_put_back(xsk);
	expect_frames(100, 3, 4);
}

/* Nobody receives: the socket takes what it has room for and says what was lost. */
static void test_overload_is_counted(void **state)
{
	struct xsk_frame frames[XSK_BATCH_MAX];
	struct xsk_counts before, after;
	uint32_t got = 0;
	size_t n;

	assert_int_equal(xsk_counts(xsk, &before), 0);
	for (uint32_t i = 0; i < XSK_RX_FRAMES + 500; i++)
		peer_send(60, 1);
	peer_send(60, 2);
	while ((n = xsk_receive(xsk, frames, XSK_BATCH_MAX)) > 0) {
		got += (uint32_t)n;
		xsk_put_back(xsk);
	}
	assert_int_equal(xsk_counts(xsk, &after), 0);
	assert_int_equal(got, XSK_RX_FRAMES);
	assert_int_equal(after.dropped - before.dropped, 501);
	assert_true(after.fill_empty > before.fill_empty);
	peer_send(60, 3);
	expect_frames(60, 3, 4);
}

static void peer_expect(uint32_t len, uint32_t first, uint32_t behind)
{
	uint8_t bytes[4096];

	for (; first < behind; first++) {
		wait_readable(packet_fd);
		frame_check(bytes, (uint32_t)recv(packet_fd, bytes, sizeof(bytes), 0), len, first);
	}
}

static uint32_t send_frames(uint32_t len, uint32_t first, uint32_t behind)
{
	uint8_t *bytes;

	for (; first < behind && (bytes = xsk_send_begin(xsk)); first++) {
		frame_fill(bytes, len, first);
		xsk_send_end(xsk, len);
	}
	return first;
}

/* More than the kernel moves in one call. */
static void test_frames_are_sent(void **state)
{
	assert_int_equal(send_frames(60, 0, 1), 1);
	xsk_flush(xsk);
	peer_expect(60, 0, 1);
	assert_int_equal(send_frames(1514, 0, 200), 200);
	xsk_flush(xsk);
	peer_expect(1514, 0, 200);
}

static void test_send_buffers_are_bounded(void **state)
{
	for (int round = 0; round < 5; round++) {
		assert_int_equal(send_frames(60, 0, 1000), XSK_TX_FRAMES);
		assert_null(xsk_send_begin(xsk));
		xsk_flush(xsk);
		peer_expect(60, 0, XSK_TX_FRAMES);
	}
	assert_ptr_equal(xsk_send_begin(xsk), xsk_send_begin(xsk)); /* begun, not ended */
}

/* As another process does it, by descriptors of its own: frames that wait are not lost, all buffers are there. */
static void test_goes_on_in_other_hands(void **state)
{
	struct xsk_state given;
	int fds[XSK_FDS];
	struct xsk *other;
	struct err err;

	test_buffers_go_round(NULL);
	assert_ptr_not_equal(xsk_send_begin(xsk), NULL); /* and is not sent */
	peer_send(60, 1);
	peer_send(60, 2);
	assert_int_equal(send_frames(60, 3, 4), 4);
	xsk_give(xsk, &given, fds);
	for (int i = 0; i < XSK_FDS; i++)
		fds[i] = dup(fds[i]);
	given.chunk_bytes /= 2;
	assert_int_equal(xsk_take(&given, fds, &other, &err), -EPROTO);
	given.chunk_bytes *= 2;
	assert_int_equal(xsk_take(&given, fds, &other, &err), 0);
	close_xsk(NULL);
	xsk = other;
	peer_expect(60, 3, 4);
	expect_frames(60, 1, 3);
	test_buffers_go_round(NULL);
	test_send_buffers_are_bounded(NULL);
}

static void test_queue_is_one_sockets(void **state)
{
	const struct xsk_spec spec = {"x0", 0}, absent = {"x0", 9}, nowhere = {"x9", 0};
	struct xsk *second = NULL;
	struct err err = {};

	assert_int_equal(xsk_open(&spec, &second, &err), -EBUSY);
	assert_non_null(strstr(err.text, "x0 queue 0"));
	assert_int_equal(xsk_open(&absent, &second, &err), -EINVAL);
	assert_int_equal(xsk_open(&nowhere, &second, &err), -ENODEV);
	assert_null(second);
	/* A restart opens what was closed just now. */
	close_xsk(NULL);
	assert_int_equal(open_xsk(NULL), 0);
	peer_send(60, 1);
	expect_frames(60, 1, 2);
}

/* Drops the right to lock memory and to raise limits. */
static void rights_drop(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};

	if (syscall(SYS_capget, &header, data))
		_exit(9);
	data[CAP_IPC_LOCK / 32].effective &= ~(1u << CAP_IPC_LOCK % 32);
	data[CAP_SYS_RESOURCE / 32].effective &= ~(1u << CAP_SYS_RESOURCE % 32);
	if (syscall(SYS_capset, &header, data))
		_exit(8);
}

static int open_with_memlock(rlim_t soft, rlim_t hard)
{
	const struct xsk_spec spec = {"x0", 0};
	const struct rlimit limit = {soft, hard};
	struct err err = {};
	int status, pid = fork();

	if (pid == 0) {
		if (setrlimit(RLIMIT_MEMLOCK, &limit))
			_exit(7);
		rights_drop();
		status = xsk_open(&spec, &xsk, &err);
		_exit(status == -ENOBUFS && strstr(err.text, "RLIMIT_MEMLOCK") ? 2 : status != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_memory_limit(void **state)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	assert_int_equal(open_with_memlock(65536, 65536), 2);
	assert_int_equal(open_with_memlock(65536, limit.rlim_max),
		limit.rlim_max < 4096 * (XSK_RX_FRAMES + XSK_TX_FRAMES) ? 2 : 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_frames_arrive, open_xsk, close_xsk),
		cmocka_unit_test_setup_teardown(test_buffers_go_round, open_xsk, close_xsk),
		cmocka_unit_test_setup_teardown(test_small_batches, open_xsk, close_xsk),
		cmocka_unit_test_setup_teardown(test_overload_is_counted, open_xsk, close_xsk),
		cmocka_unit_test_setup_teardown(test_frames_are_sent, open_xsk, close_xsk),
		cmocka_unit_test_setup_teardown(test_send_buffers_are_bounded, open_xsk, close_xsk),
		cmocka_unit_test_setup_teardown(test_goes_on_in_other_hands, open_xsk, close_xsk),
		cmocka_unit_test_setup_teardown(test_queue_is_one_sockets, open_xsk, close_xsk),
		cmocka_unit_test(test_memory_limit),
	};

	return cmocka_run_group_tests_name("net/xsk", tests, setup, NULL);
}
