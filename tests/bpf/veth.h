/*
 * Attaching for tests: a veth pair pkt0.5 - pkt1 in a network namespace of this process, the packet
 * plane opened and closed on it as processes do that follow each other.
 */
#ifndef TESTS_BPF_VETH_H
#define TESTS_BPF_VETH_H

#include "harness.h"

static const struct dataplane_interface_spec veth_auto = {"pkt0.5", DATAPLANE_AUTO};

static inline int open_with(
	const struct dataplane_interface_spec *interfaces, size_t count, struct err *err)
{
	struct dataplane_spec spec = {
		.enabled = true,
		.pin_dir = harness_pin_dir(),
		.workers = 1,
		.interfaces = interfaces,
		.interface_count = count,
	};

	return dataplane_open(&spec, &harness.dp, err);
}

static inline void open_ok(const struct dataplane_interface_spec *interfaces, size_t count)
{
	struct err err = {};

	harness_ok(open_with(interfaces, count, &err), &err);
	assert_true(dataplane_active(harness.dp));
}

static inline void close_with(enum dataplane_stop stop)
{
	dataplane_close(harness.dp, stop);
	harness.dp = NULL;
}

static inline struct dataplane_report report(void)
{
	struct dataplane_report now;

	dataplane_report(harness.dp, &now);
	return now;
}

/* A name with a dot, which bpffs does not take as it is. */
static inline void veth_add(void)
{
	harness_sh("ip link add pkt0.5 type veth peer name pkt1 && ip link set pkt0.5 up && "
		   "ip link set pkt1 up");
}

static inline void veth_del(void)
{
	harness_sh("ip link del pkt0.5");
}

static inline uint32_t prog_id(const char *interface)
{
	return dp_interface_prog_id(if_nametoindex(interface));
}

static inline int group_setup(void **state)
{
	harness_sweep();
	if (unshare(CLONE_NEWNET))
		return -1;
	harness_loopback_up();
	return 0;
}

/* Whatever a failed test left: the namespace goes with the process. */
static inline int each_teardown(void **state)
{
	struct err err = {};

	if (harness.dp)
		close_with(DATAPLANE_DETACH);
	if (dataplane_purge(harness_pin_dir(), &err) < 0)
		print_error("%s\n", err.text);
	if (if_nametoindex("pkt0.5"))
		veth_del();
	return access(harness_pin_dir(), F_OK) == 0 ? -1 : 0;
}

#endif
