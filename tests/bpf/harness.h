/*
 * A packet plane of its own for each test program: own pin folder, own network namespace, removed
 * again also when a test fails. Runs frames through the loaded XDP program.
 */
#ifndef TESTS_BPF_HARNESS_H
#define TESTS_BPF_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bpf/sluice_xdp.skel.h"
#include "dataplane/dataplane.h"
#include "dataplane/dp_counters.h"
#include "dataplane/dp_heartbeat.h"
#include "dataplane/dp_internal.h"
#include "dataplane/dp_listeners.h"
#include "packet.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct harness {
	struct dataplane *dp;
	struct dp_heartbeat heartbeat;
	struct dp_counters before;
	struct frame out;
};

static struct harness harness;

static inline const char *harness_pin_dir(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "/sys/fs/bpf/sluice-test-%d", (int)getpid());
	return path;
}

/* Fails the test with the text of the error. */
static inline void harness_ok(int code, const struct err *err)
{
	if (code < 0)
		fail_msg("%s (%s)", err->text, strerror(-code));
}

/* Runs a shell command; the test fails when the command does. */
static inline void harness_sh(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	if (system(command) != 0)
		fail_msg("command failed: %s", command);
}

static inline void harness_loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	request.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

static inline struct sockaddr_storage harness_address(const char *host, uint16_t port)
{
	struct sockaddr_storage address = {};

	if (strchr(host, ':')) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;

		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		assert_int_equal(inet_pton(AF_INET6, host, &v6->sin6_addr), 1);
	} else {
		struct sockaddr_in *v4 = (struct sockaddr_in *)&address;

		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		assert_int_equal(inet_pton(AF_INET, host, &v4->sin_addr), 1);
	}
	return address;
}

static inline void harness_listeners(const struct dp_listener *listeners, size_t count)
{
	struct err err = {};

	harness_ok(dp_listeners_set(harness.dp, listeners, count, &err), &err);
}

/* The usual two listeners: 203.0.113.1:443 and [2001:db8:1::1]:443, with these limits. */
static inline void harness_listen(
	struct dp_limit source, struct dp_limit packets, struct dp_limit connections)
{
	struct dp_listener listeners[] = {
		{.id = 1, .socket_row = 1, .name = "web", .protocol = IPPROTO_TCP},
		{.id = 1, .socket_row = 2, .name = "web6", .protocol = IPPROTO_TCP},
	};

	listeners[0].address = harness_address(PKT_V4_LISTENER, PKT_PORT);
	listeners[1].address = harness_address(PKT_V6_LISTENER, PKT_PORT);
	for (int i = 0; i < 2; i++) {
		listeners[i].limits[LIMIT_SOURCE_PACKETS] = source;
		listeners[i].limits[LIMIT_PACKETS] = packets;
		listeners[i].limits[LIMIT_CONNECTIONS] = connections;
	}
	harness_listeners(listeners, 2);
}

#define NO_LIMIT ((struct dp_limit){})

/* The usual two listeners, without limits. */
static inline void harness_listen_as(enum listener_syn_mode mode, bool gated)
{
	struct dp_listener listeners[] = {
		{.id = 1, .socket_row = 1, .name = "web", .protocol = IPPROTO_TCP},
		{.id = 1, .socket_row = 2, .name = "web6", .protocol = IPPROTO_TCP},
	};

	listeners[0].address = harness_address(PKT_V4_LISTENER, PKT_PORT);
	listeners[1].address = harness_address(PKT_V6_LISTENER, PKT_PORT);
	for (int i = 0; i < 2; i++) {
		listeners[i].syn_mode = mode;
		listeners[i].gated = gated;
	}
	harness_listeners(listeners, 2);
}

static inline void harness_alive(bool alive)
{
	dp_heartbeat_stamp(&harness.heartbeat, alive ? dp_heartbeat_now_ns() : 0);
}

/* What an earlier run left that ended without its teardown (killed, sanitizer). */
static inline void harness_sweep(void)
{
	DIR *dir = opendir("/sys/fs/bpf");
	struct dirent *entry;
	struct err err = {};

	while (dir && (entry = readdir(dir))) {
		char path[300];
		int pid;

		if (sscanf(entry->d_name, "sluice-test-%d", &pid) != 1 || kill(pid, 0) == 0)
			continue;
		snprintf(path, sizeof(path), "/sys/fs/bpf/%s", entry->d_name);
		if (dataplane_purge(path, &err) < 0)
			print_error("%s\n", err.text);
	}
	if (dir)
		closedir(dir);
}

static inline int harness_setup(void **state)
{
	struct dataplane_spec spec = {
		.enabled = true,
		.pin_dir = harness_pin_dir(),
		.workers = 2,
	};
	struct err err = {};

	harness_sweep();
	if (unshare(CLONE_NEWNET)) {
		print_error("unshare: %s\n", strerror(errno));
		return -1;
	}
	harness_loopback_up();
	if (dataplane_open(&spec, &harness.dp, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	if (!dataplane_active(harness.dp)) {
		print_error("packet plane inactive: %s\n", harness.dp->why);
		return -1;
	}
	if (dp_heartbeat_open(harness.dp, 0, &harness.heartbeat, &err)) {
		print_error("%s\n", err.text);
		return -1;
	}
	harness_listen(NO_LIMIT, NO_LIMIT, NO_LIMIT);
	return 0;
}

static inline int harness_teardown(void **state)
{
	dataplane_close(harness.dp, DATAPLANE_DETACH);
	harness.dp = NULL;
	return access(harness_pin_dir(), F_OK) == 0 ? -1 : 0;
}

static inline int harness_program(void)
{
	return bpf_program__fd(harness.dp->xdp->progs.sluice_xdp);
}

/* Runs a frame `repeat` times; the frame as it came out is in harness.out. */
static inline int harness_run_repeat(const void *data, size_t len, int repeat)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = (uint32_t)len,
		.data_out = harness.out.data, .data_size_out = sizeof(harness.out.data),
		.repeat = repeat);
	int code = bpf_prog_test_run_opts(harness_program(), &opts);

	if (code)
		fail_msg("BPF_PROG_TEST_RUN: %s", strerror(-code));
	harness.out.len = opts.data_size_out;
	return (int)opts.retval;
}

static inline int harness_run(const struct packet_spec *spec)
{
	struct frame frame = packet_build(spec);

	return harness_run_repeat(frame.data, frame.len, 1);
}

static inline void harness_count_from_here(void)
{
	struct err err = {};

	harness_ok(dp_counters_read(harness.dp, &harness.before, &err), &err);
}

static inline struct dp_counters harness_counted(void)
{
	struct dp_counters now;
	struct err err = {};

	harness_ok(dp_counters_read(harness.dp, &now, &err), &err);
	for (int id = 0; id < COUNTER_COUNT; id++)
		now.value[id] -= harness.before.value[id];
	return now;
}

static inline uint64_t harness_sum(
	const struct dp_counters *counted, enum sluice_counter_verdict verdict)
{
	uint64_t sum = 0;

	for (int id = 0; id < COUNTER_COUNT; id++)
		if (dp_counter_describe((enum sluice_counter)id)->verdict == verdict)
			sum += counted->value[id];
	return sum;
}

#endif
