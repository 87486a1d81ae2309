/*
 * A frame as if it had come in on an interface, for probes: the XDP program is run on it once with
 * live frames (BPF_PROG_TEST_RUN), and what it passes goes on through the tc program, the packet
 * filters and the stack like any other frame of that interface. Control thread.
 */
#include "dataplane/dp_gate.h"

#include "bpf/sluice_xdp.skel.h"
#include "dataplane/dp_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int dp_gate_mac(uint32_t ifindex, uint8_t ret_mac[static DP_MAC_BYTES])
{
	struct ifreq request = {};
	int fd, code = 0;

	if (!if_indextoname(ifindex, request.ifr_name))
		return -errno;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		code = -errno;
	else if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		code = -EOPNOTSUPP;
	else
		memcpy(ret_mac, request.ifr_hwaddr.sa_data, DP_MAC_BYTES);
	close(fd);
	return code;
}

int dp_gate_inject(
	struct dataplane *dp, uint32_t ifindex, const void *frame, size_t len, struct err *err)
{
	struct xdp_md context = {.data_end = (uint32_t)len, .ingress_ifindex = ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len,
		.ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = 1, .batch_size = 1,
		.flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	int code;

	if (!dp->active)
		return err_set(err, -ENOTSUP, "%s", dp->why);
	code = bpf_prog_test_run_opts(bpf_program__fd(dp->xdp->progs.sluice_xdp), &opts);
	return code ? err_set(err, code, "a frame for interface %u: %s", ifindex, strerror(-code))
		    : 0;
}
