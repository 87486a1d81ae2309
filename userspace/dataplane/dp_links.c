/* Devices out of rtnetlink: see dp_links.h. */
#include "dataplane/dp_links.h"

#include "core/mem.h"

#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	ANSWER_BYTES = 32768, /* the kernel fills no more into one of a dump */
	DEPTH_MAX = 4, /* of devices on top of each other: VLAN, bridge, bond, port */
};

enum link_kind {
	LINK_OTHER,
	LINK_VLAN,
	LINK_MACVLAN, /* macvtap is another one: what it takes is not the kernel's */
};

struct link {
	char name[IF_NAMESIZE];
	uint32_t ifindex;
	uint32_t master; /* the bridge or bond that it is a port of; 0: none */
	uint32_t lower;  /* the device that it is on, of the same namespace; 0: none */
	enum link_kind kind;
	bool has_mac;
	__u64 mac;
};

struct dp_links {
	int watch_fd;
	bool stale;
	size_t count, room;
	struct link *rows;
};

static int rtnl_open(uint32_t groups, int flags)
{
	struct sockaddr_nl own = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE), code;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&own, sizeof(own)) == 0)
		return fd;
	code = -errno;
	close(fd);
	return code;
}

int dp_links_new(struct dp_links **ret_links)
{
	int fd = rtnl_open(RTMGRP_LINK, SOCK_NONBLOCK);

	if (fd < 0)
		return fd;
	*ret_links = mem_zalloc(sizeof(**ret_links));
	(*ret_links)->watch_fd = fd;
	(*ret_links)->stale = true;
	return 0;
}

void dp_links_free(struct dp_links *links)
{
	if (!links)
		return;
	close(links->watch_fd);
	free(links->rows);
	free(links);
}

static enum link_kind kind_of(const struct rtattr *info)
{
	const struct rtattr *inner = RTA_DATA(info);
	size_t left = RTA_PAYLOAD(info);

	for (; RTA_OK(inner, left); inner = RTA_NEXT(inner, left)) {
		const char *name = RTA_DATA(inner);

		if (inner->rta_type != IFLA_INFO_KIND)
			continue;
		if (strncmp(name, "vlan", RTA_PAYLOAD(inner)) == 0)
			return LINK_VLAN;
		if (strncmp(name, "macvlan", RTA_PAYLOAD(inner)) == 0)
			return LINK_MACVLAN;
	}
	return LINK_OTHER;
}

static uint32_t value_u32(const struct rtattr *attribute)
{
	uint32_t value = 0;

	if (RTA_PAYLOAD(attribute) >= sizeof(value))
		memcpy(&value, RTA_DATA(attribute), sizeof(value));
	return value;
}

static void link_take(struct link *link, const struct rtattr *attribute)
{
	size_t len = RTA_PAYLOAD(attribute);

	switch (attribute->rta_type) {
	case IFLA_IFNAME:
		memcpy(link->name, RTA_DATA(attribute),
			len < sizeof(link->name) ? len : sizeof(link->name) - 1);
		break;
	case IFLA_ADDRESS:
		link->has_mac &= len == ETH_ALEN;
		if (link->has_mac)
			memcpy(&link->mac, RTA_DATA(attribute), ETH_ALEN);
		break;
	case IFLA_MASTER:
		link->master = value_u32(attribute);
		break;
	case IFLA_LINK:
		link->lower = value_u32(attribute);
		break;
	case IFLA_LINKINFO:
		link->kind = kind_of(attribute);
		break;
	default:
		break;
	}
}

static void links_add(struct dp_links *links, const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = NLMSG_DATA(message);
	const struct rtattr *attribute = IFLA_RTA(info);
	size_t left = IFLA_PAYLOAD(message);
	bool elsewhere = false;
	struct link link = {
		.ifindex = (uint32_t)info->ifi_index,
		.has_mac = info->ifi_type == ARPHRD_ETHER || info->ifi_type == ARPHRD_LOOPBACK,
	};

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		link_take(&link, attribute);
		elsewhere |= attribute->rta_type == IFLA_LINK_NETNSID;
	}
	if (elsewhere)
		link.lower = 0;
	if (links->count == links->room) {
		links->room = links->room ? links->room * 2 : 16;
		links->rows = mem_realloc(links->rows, links->room * sizeof(*links->rows));
	}
	links->rows[links->count++] = link;
}

/* 1: more is to come; 0: that was all; -errno. */
static int answer_take(struct dp_links *links, const void *bytes, size_t len)
{
	const struct nlmsghdr *message = bytes;

	for (; NLMSG_OK(message, len); message = NLMSG_NEXT(message, len)) {
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			return -EAGAIN;
		if (message->nlmsg_type == NLMSG_DONE)
			return 0;
		if (message->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(message))->error;
		if (message->nlmsg_type == RTM_NEWLINK)
			links_add(links, message);
	}
	return 1;
}

static int links_dump(struct dp_links *links, int fd)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
		struct rtattr filter;
		uint32_t filter_mask;
	} request = {
		.header = {.nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.filter = {.rta_len = RTA_LENGTH(sizeof(uint32_t)), .rta_type = IFLA_EXT_MASK},
		.filter_mask = RTEXT_FILTER_SKIP_STATS,
	};
	void *answer = mem_alloc(ANSWER_BYTES);
	ssize_t len;
	int code = 1;

	if (send(fd, &request, sizeof(request), 0) < 0)
		code = -errno;
	while (code > 0) {
		len = recv(fd, answer, ANSWER_BYTES, MSG_TRUNC);
		if (len > ANSWER_BYTES)
			code = -EMSGSIZE;
		else
			code = len < 0 ? -errno : answer_take(links, answer, (size_t)len);
	}
	free(answer);
	return code;
}

/* Did anything happen since? What it was is not of interest. */
static bool watch_drain(int fd)
{
	char byte;
	bool found = false;
	ssize_t len;

	do {
		len = recv(fd, &byte, sizeof(byte), MSG_TRUNC);
		found |= len >= 0 || errno == ENOBUFS;
	} while (len >= 0 || errno == ENOBUFS || errno == EINTR);
	return found;
}

int dp_links_refresh(struct dp_links *links)
{
	int fd, code;

	links->stale |= watch_drain(links->watch_fd);
	if (!links->stale)
		return 0;
	links->count = 0;
	fd = rtnl_open(0, 0);
	if (fd < 0)
		return fd;
	code = links_dump(links, fd);
	close(fd);
	if (code)
		links->count = 0;
	links->stale = code != 0;
	return code;
}

static const struct link *link_of(const struct dp_links *links, uint32_t ifindex)
{
	for (size_t i = 0; ifindex && i < links->count; i++)
		if (links->rows[i].ifindex == ifindex)
			return &links->rows[i];
	return NULL;
}

/* Adds the address if it is not there. False: no room. */
static bool macs_add(__u64 macs[SLUICE_INTERFACE_MACS], size_t *count, __u64 mac)
{
	for (size_t i = 0; i < *count; i++)
		if (macs[i] == mac)
			return true;
	if (*count == SLUICE_INTERFACE_MACS)
		return false;
	macs[(*count)++] = mac;
	return true;
}

/* The addresses of a device and of all that get frames from it. */
static bool macs_collect(const struct dp_links *links, const struct link *link,
	__u64 macs[SLUICE_INTERFACE_MACS], size_t *count, int depth)
{
	const struct link *master;

	if (link->has_mac && !macs_add(macs, count, link->mac))
		return false;
	if (depth == DEPTH_MAX)
		return true;
	for (size_t i = 0; i < links->count; i++) {
		const struct link *upper = &links->rows[i];

		if (upper->lower == link->ifindex && upper->kind != LINK_OTHER &&
			!macs_collect(links, upper, macs, count, depth + 1))
			return false;
	}
	master = link_of(links, link->master);
	return !master || macs_collect(links, master, macs, count, depth + 1);
}

size_t dp_links_macs(
	const struct dp_links *links, uint32_t ifindex, __u64 ret_macs[SLUICE_INTERFACE_MACS])
{
	const struct link *link = link_of(links, ifindex);
	size_t count = 0;

	if (!link || !link->has_mac || !macs_collect(links, link, ret_macs, &count, 0))
		return 0;
	for (size_t i = count; i < SLUICE_INTERFACE_MACS; i++)
		ret_macs[i] = ret_macs[0];
	return count;
}

const char *dp_links_vlan(const struct dp_links *links, uint32_t ifindex)
{
	for (size_t i = 0; ifindex && i < links->count; i++)
		if (links->rows[i].lower == ifindex && links->rows[i].kind == LINK_VLAN)
			return links->rows[i].name;
	return NULL;
}
