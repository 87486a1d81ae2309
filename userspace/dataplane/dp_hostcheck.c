/* What this kernel allows: see dp_hostcheck.h. Any one thread; leaves nothing behind. */
#include "dataplane/dp_hostcheck.h"

#include "bpf/host_probe.skel.h"
#include "bpf/xdp_pass.skel.h"
#include "dataplane/dp_internal.h"
#include "dataplane/dp_links.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/netdev.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

struct hostcheck {
	struct dp_hostcheck_row *rows;
	size_t count;
};

static void row_add(struct hostcheck *check, const char *name, bool ok, const char *format, ...)
	printf_like(4, 5);

static void row_add(struct hostcheck *check, const char *name, bool ok, const char *format, ...)
{
	struct dp_hostcheck_row *row = &check->rows[check->count++];
	va_list args;

	row->name = name;
	row->ok = ok;
	va_start(args, format);
	vsnprintf(row->text, sizeof(row->text), format, args);
	va_end(args);
}

static void check_kernel(struct hostcheck *check)
{
	struct utsname kernel;
	bool btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;

	uname(&kernel);
	row_add(check, "kernel", true, "%s %s", kernel.release, kernel.machine);
	row_add(check, "btf", btf,
		btf ? "/sys/kernel/btf/vmlinux"
		    : "no kernel BTF (CONFIG_DEBUG_INFO_BTF): the packet plane stays off");
}

static void check_xdp_load(struct hostcheck *check, int code)
{
	if (code)
		row_add(check, "xdp_load", false,
			"loading an XDP program: %s: the packet plane stays off (CAP_BPF, CAP_NET_ADMIN, "
			"CAP_PERFMON)",
			strerror(-code));
	else
		row_add(check, "xdp_load", true, "XDP programs with fragments can be loaded");
}

static void check_attach(struct hostcheck *check, const char *name, const char *interface,
	int prog_fd, uint32_t flags, const char *instead)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	uint32_t ifindex = if_nametoindex(interface), other = 0;
	int fd;

	if (ifindex)
		other = dp_interface_prog_id(ifindex);
	if (!ifindex || other) {
		row_add(check, name, ifindex != 0,
			ifindex ? "%s carries XDP program id %u: not tried" : "no interface %s",
			interface, other);
		return;
	}
	fd = bpf_link_create(prog_fd, (int)ifindex, BPF_XDP, &opts);
	if (fd < 0) {
		row_add(check, name, false, "%s: %s: %s", interface, strerror(-fd), instead);
		return;
	}
	row_add(check, name, true, "%s", interface);
	close(fd);
}

static void check_reuseport(struct hostcheck *check)
{
	int known = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SK_REUSEPORT, NULL);

	row_add(check, "reuseport", known == 1,
		known == 1 ? "a BPF program chooses the worker of a connection"
			   : "no SK_REUSEPORT programs: the kernel's hash chooses the worker");
}

static void check_mmap(struct hostcheck *check)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "probe", 4, 64, 1, &opts);
	void *row = fd < 0 ? MAP_FAILED : mmap(NULL, 64, PROT_READ, MAP_SHARED, fd, 0);

	row_add(check, "mmapable_maps", row != MAP_FAILED,
		row != MAP_FAILED ? "heartbeats are plain stores"
				  : "no memory-mapped maps: the packet plane stays off");
	if (row != MAP_FAILED)
		munmap(row, 64);
	if (fd >= 0)
		close(fd);
}

static bool has_function(const struct btf *btf, const char *name)
{
	return btf && btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

static void check_make_sockets(struct hostcheck *check)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool sockets = has_function(btf, "bpf_sk_assign_tcp_reqsk");
	bool tcx = has_function(btf, "tcx_prog_attach");

	row_add(check, "make_sockets", sockets,
		sockets ? "bpf_sk_assign_tcp_reqsk: sockets can be made from judged first flights"
			: "no bpf_sk_assign_tcp_reqsk (Linux 6.9): the kernel's SYN cookies, or none");
	row_add(check, "tcx", tcx,
		tcx ? "tc programs can be attached by links"
		    : "no tcx links (Linux 6.6): the kernel's SYN cookies, or none");
	btf__free(btf);
}

static bool can_zero_copy(const char *interface)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);
	uint32_t ifindex = if_nametoindex(interface);

	return ifindex && bpf_xdp_query((int)ifindex, 0, &opts) == 0 &&
	       opts.feature_flags & NETDEV_XDP_ACT_XSK_ZEROCOPY;
}

/* The driver says whether it could do without copies; trying would reset its queue. */
static void check_af_xdp(struct hostcheck *check, const char *interface)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0)
		row_add(check, "af_xdp", false, "AF_XDP: %s: ClientHellos are judged after accept",
			strerror(errno));
	else if (!interface)
		row_add(check, "af_xdp", true, "AF_XDP sockets can be made");
	else
		row_add(check, "af_xdp", true, "%s: %s", interface,
			can_zero_copy(interface) ? "zero-copy" : "copy mode");
	if (fd >= 0)
		close(fd);
}

/* ETHTOOL_GFLAGS: of the features that have a number from before they had names. */
static bool takes_tags_off(const char *interface)
{
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};
	struct ifreq request = {.ifr_data = (char *)&flags};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool does;

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	does = fd >= 0 && ioctl(fd, SIOCETHTOOL, &request) == 0 && flags.data & ETH_FLAG_RXVLAN;
	if (fd >= 0)
		close(fd);
	return does;
}

/* Only where there are VLAN devices on the interface: a tag that the card took off is seen by the
 * kernel, not by XDP, which then answers without it. */
static void check_vlan(struct hostcheck *check, const char *interface)
{
	struct dp_links *links;
	const char *vlan;

	if (dp_links_new(&links))
		return;
	vlan = dp_links_refresh(links) ? NULL : dp_links_vlan(links, if_nametoindex(interface));
	if (vlan && takes_tags_off(interface))
		row_add(check, "rx_vlan_offload", false,
			"%s takes VLAN tags off before XDP sees them: what comes for %s is answered "
			"without its tag, and lost (ethtool -K %s rxvlan off)",
			interface, vlan, interface);
	else if (vlan)
		row_add(check, "rx_vlan_offload", true, "off on %s: XDP sees the tags of %s",
			interface, vlan);
	dp_links_free(links);
}

static void check_dispatcher(struct hostcheck *check)
{
	int code = dp_dispatcher_possible();

	if (code)
		row_add(check, "xdp_dispatcher", false,
			"replacing BPF functions: %s: one XDP program per interface, alone",
			strerror(-code));
	else
		row_add(check, "xdp_dispatcher", true,
			"BPF functions can be replaced: XDP programs can share an interface "
			"(xdp.dispatcher)");
}

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

size_t dp_hostcheck(const char *interface, struct dp_hostcheck_row ret_rows[DP_HOSTCHECK_MAX])
{
	struct hostcheck check = {.rows = ret_rows};
	libbpf_print_fn_t before = libbpf_set_print(quiet);
	struct xdp_pass_bpf *pass = xdp_pass_bpf__open_and_load();
	int code = pass ? 0 : -errno;

	check_kernel(&check);
	check_xdp_load(&check, code);
	if (pass && interface) {
		int fd = bpf_program__fd(pass->progs.xdp_pass);

		check_attach(&check, "xdp_native", interface, fd, XDP_FLAGS_DRV_MODE,
			"generic XDP instead (slower, after the kernel's buffer)");
		check_attach(&check, "xdp_generic", interface, fd, XDP_FLAGS_SKB_MODE,
			"no XDP on this interface");
	}
	xdp_pass_bpf__destroy(pass);
	check_reuseport(&check);
	check_mmap(&check);
	check_make_sockets(&check);
	check_af_xdp(&check, interface);
	check_dispatcher(&check);
	if (interface)
		check_vlan(&check, interface);
	libbpf_set_print(before);
	return check.count;
}
