/*
 * The TUN device of released first flights: see tun.h. It is set up through rtnetlink, which works
 * where /proc/sys is read-only; only IPv6 that is off for new devices needs /proc/sys.
 */
#define LOG_MODULE "tun"
#include "net/tun.h"

#include "core/log.h"
#include "core/mem.h"
#include "net/rtnl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	SEND_QUEUE_PACKETS = 16, /* towards the device: nobody reads them */
	RP_FILTER_LOOSE = 2, /* the kernel takes the larger of this and of conf.all */
	PARTS_MAX = 8,
	TCP_CHECKSUM_AT = 16, /* in the TCP header */
};

struct tun {
	char name[IF_NAMESIZE];
	uint32_t ifindex;
	uint32_t queues;
	int fds[];
};

static int settings_write(uint32_t ifindex, bool with_v6)
{
	const uint32_t send_queue = SEND_QUEUE_PACKETS, loose = RP_FILTER_LOOSE;
	const struct ifinfomsg link = {.ifi_index = (int)ifindex};
	const uint8_t no_address = IN6_ADDR_GEN_MODE_NONE;
	struct rtattr *families, *family, *conf;
	struct rtnl_request request;

	rtnl_request_init(&request, RTM_SETLINK, 0, &link, sizeof(link));
	rtnl_request_add(&request, IFLA_TXQLEN, &send_queue, sizeof(send_queue));
	families = rtnl_request_add(&request, IFLA_AF_SPEC, NULL, 0);
	family = rtnl_request_add(&request, AF_INET, NULL, 0);
	conf = rtnl_request_add(&request, IFLA_INET_CONF, NULL, 0);
	rtnl_request_add(&request, IPV4_DEVCONF_RP_FILTER, &loose, sizeof(loose));
	rtnl_request_end(&request, conf);
	rtnl_request_end(&request, family);
	if (with_v6) {
		family = rtnl_request_add(&request, AF_INET6, NULL, 0);
		rtnl_request_add(
			&request, IFLA_INET6_ADDR_GEN_MODE, &no_address, sizeof(no_address));
		rtnl_request_end(&request, family);
	}
	rtnl_request_end(&request, families);
	return rtnl_request_run(&request);
}

/* net.ipv6.conf.default.disable_ipv6 may have switched it off: IPv6 flights would be dropped. */
static void v6_enable(const char *name)
{
	char path[64 + IF_NAMESIZE], now = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* no IPv6 in this kernel */
	if (read(fd, &now, 1) == 1 && now == '1') {
		close(fd);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1)
			log_warn("%s: %s: first flights over IPv6 will be dropped", path,
				strerror(errno));
	}
	if (fd >= 0)
		close(fd);
}

/*
 * A loose rp_filter drops everything that comes from a device without an IPv4 address, unless the
 * client is routed to that device (fib_validate_source). This address is reserved for nodes that
 * have none (RFC 7600 4.8: 192.0.0.8) and, with host scope, never a source of anything.
 */
static int v4_address_add(uint32_t ifindex)
{
	const struct ifaddrmsg fixed = {.ifa_family = AF_INET,
		.ifa_prefixlen = 32,
		.ifa_scope = RT_SCOPE_HOST,
		.ifa_index = ifindex};
	const uint8_t dummy[] = {192, 0, 0, 8};
	struct rtnl_request request;

	rtnl_request_init(
		&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &fixed, sizeof(fixed));
	rtnl_request_add(&request, IFA_LOCAL, dummy, sizeof(dummy));
	rtnl_request_add(&request, IFA_ADDRESS, dummy, sizeof(dummy));
	return rtnl_request_run(&request);
}

/* An IPv6 address is never made: with one, the kernel would send router solicitations. */
static int device_set_up(struct tun *tun, struct err *err)
{
	const struct ifinfomsg up = {
		.ifi_index = (int)tun->ifindex, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct rtnl_request request;
	int code = settings_write(tun->ifindex, true);

	if (code == -EAFNOSUPPORT || code == -EOPNOTSUPP) /* no IPv6 */
		code = settings_write(tun->ifindex, false);
	if (code)
		return err_set(
			err, code, "%s: rp_filter, txqueuelen: %s", tun->name, strerror(-code));
	code = v4_address_add(tun->ifindex);
	if (code)
		return err_set(
			err, code, "%s: address " TUN_ADDRESS ": %s", tun->name, strerror(-code));
	v6_enable(tun->name);
	rtnl_request_init(&request, RTM_SETLINK, 0, &up, sizeof(up));
	code = rtnl_request_run(&request);
	return code ? err_set(err, code, "%s: up: %s", tun->name, strerror(-code)) : 0;
}

static int device_failed(int code, struct err *err)
{
	const char *hint = "";

	if (code == -ENOENT || code == -ENODEV || code == -ENXIO)
		hint = " (modprobe tun; in a container: give it /dev/net/tun)";
	else if (code == -EACCES)
		hint = " (its mode: 0666 is usual, what is done with it takes CAP_NET_ADMIN)";
	else if (code == -EPERM)
		hint = " (in a container: allow the device c 10:200)";
	return err_set(err, code, "/dev/net/tun: %s%s", strerror(-code), hint);
}

/* The first queue makes the device and says what its name has become. */
static int queue_open(const char *name, struct ifreq *ret_request, struct err *err)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), code;

	if (fd < 0)
		return device_failed(-errno, err);
	memset(ret_request, 0, sizeof(*ret_request));
	ret_request->ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
	snprintf(ret_request->ifr_name, IF_NAMESIZE, "%s", name);
	if (ioctl(fd, TUNSETIFF, ret_request) == 0)
		return fd;
	code = -errno;
	close(fd);
	return err_set(err, code, "TUN device %s: %s%s", name, strerror(-code),
		code == -EPERM ? " (CAP_NET_ADMIN is needed)" : "");
}

static int queues_open(struct tun *tun, const char *name, uint32_t queues, struct err *err)
{
	struct ifreq request;
	int fd;

	while (tun->queues < queues) {
		fd = queue_open(tun->queues ? tun->name : name, &request, err);
		if (fd < 0)
			return fd;
		tun->fds[tun->queues++] = fd;
		memcpy(tun->name, request.ifr_name, sizeof(tun->name));
	}
	tun->ifindex = if_nametoindex(tun->name);
	return tun->ifindex ? 0 : err_set(err, -errno, "%s: %s", tun->name, strerror(errno));
}

int tun_open(const char *name, uint32_t queues, struct tun **ret_tun, struct err *err)
{
	struct tun *tun;
	int code;

	if (!queues || strlen(name) >= IF_NAMESIZE)
		return err_set(err, -EINVAL, "TUN device %s with %u queues", name, queues);
	tun = mem_zalloc(sizeof(*tun) + sizeof(tun->fds[0]) * queues);
	code = queues_open(tun, name, queues, err);
	if (!code)
		code = device_set_up(tun, err);
	if (code) {
		tun_close(tun);
		return code;
	}
	*ret_tun = tun;
	return 0;
}

int tun_take(const int *fds, uint32_t n_fds, uint32_t queues, struct tun **ret_tun, struct err *err)
{
	struct ifreq request = {};
	struct tun *tun;
	uint32_t i, most = queues > n_fds ? queues : n_fds;
	int code;

	if (!n_fds || ioctl(fds[0], TUNGETIFF, &request) < 0)
		return err_set(err, -EBADF, "the TUN device of the process before is none");
	tun = mem_zalloc(sizeof(*tun) + sizeof(tun->fds[0]) * most);
	memcpy(tun->fds, fds, n_fds * sizeof(fds[0]));
	memcpy(tun->name, request.ifr_name, sizeof(tun->name));
	tun->queues = n_fds;
	code = queues_open(tun, tun->name, queues, err);
	if (code) {
		for (i = n_fds; i < tun->queues; i++)
			close(tun->fds[i]);
		free(tun);
		return code;
	}
	*ret_tun = tun;
	return 0;
}

void tun_close(struct tun *tun)
{
	if (!tun)
		return;
	for (uint32_t i = 0; i < tun->queues; i++)
		close(tun->fds[i]);
	free(tun);
}

const char *tun_name(const struct tun *tun)
{
	return tun->name;
}

uint32_t tun_ifindex(const struct tun *tun)
{
	return tun->ifindex;
}

uint32_t tun_queues(const struct tun *tun)
{
	return tun->queues;
}

int tun_queue_fd(const struct tun *tun, uint32_t queue)
{
	return queue < tun->queues ? tun->fds[queue] : -1;
}

int tun_route(const struct tun *tun, const union addr *client, bool there)
{
	return rtnl_route(tun->ifindex, client, there);
}

void tun_drain(const struct tun *tun)
{
	uint8_t bytes[256];

	for (uint32_t i = 0; i < tun->queues; i++)
		while (read(tun->fds[i], bytes, sizeof(bytes)) > 0)
			;
}

int tun_write(int queue_fd, const struct iovec *parts, int n_parts, uint32_t ip_header_bytes,
	bool partial)
{
	struct virtio_net_hdr header = {};
	struct iovec all[PARTS_MAX + 1];

	if (n_parts < 1 || n_parts > PARTS_MAX)
		return -EINVAL;
	if (partial) {
		header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		header.csum_start = (uint16_t)ip_header_bytes;
		header.csum_offset = TCP_CHECKSUM_AT;
	}
	all[0] = (struct iovec){&header, sizeof(header)};
	memcpy(&all[1], parts, sizeof(*parts) * (size_t)n_parts);
	return writev(queue_fd, all, n_parts + 1) < 0 ? -errno : 0;
}
