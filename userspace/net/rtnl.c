/* Requests to rtnetlink: see rtnl.h. */
#include "net/rtnl.h"

#include <assert.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void rtnl_request_init(
	struct rtnl_request *request, uint16_t type, uint16_t flags, const void *fixed, size_t len)
{
	memset(request, 0, sizeof(*request));
	request->header = (struct nlmsghdr){
		.nlmsg_len = (uint32_t)NLMSG_LENGTH(len),
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags,
	};
	memcpy(request->body, fixed, len);
}

struct rtattr *rtnl_request_add(
	struct rtnl_request *request, uint16_t type, const void *value, size_t len)
{
	size_t at = NLMSG_ALIGN(request->header.nlmsg_len);
	struct rtattr *attribute = (struct rtattr *)((uint8_t *)request + at);

	assert(at + RTA_SPACE(len) <= sizeof(*request));
	attribute->rta_type = type;
	attribute->rta_len = (uint16_t)RTA_LENGTH(len);
	if (len)
		memcpy(RTA_DATA(attribute), value, len);
	request->header.nlmsg_len = (uint32_t)(at + RTA_SPACE(len));
	return attribute;
}

void rtnl_request_end(struct rtnl_request *request, struct rtattr *nested)
{
	nested->rta_len =
		(uint16_t)((uint8_t *)request + request->header.nlmsg_len - (uint8_t *)nested);
}

static int run_on(int fd, const struct rtnl_request *request)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		uint8_t more[512];
	} answer;
	ssize_t len;

	if (send(fd, request, request->header.nlmsg_len, 0) < 0)
		return -errno;
	len = recv(fd, &answer, sizeof(answer), 0);
	if (len < 0)
		return -errno;
	if ((size_t)len < NLMSG_LENGTH(sizeof(answer.error)) ||
		answer.header.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.error.error;
}

int rtnl_request_run(const struct rtnl_request *request)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), code;

	if (fd < 0)
		return -errno;
	code = run_on(fd, request);
	close(fd);
	return code;
}

static void add_address(struct rtnl_request *request, uint16_t type, const union addr *addr)
{
	if (addr->any.sa_family == AF_INET6)
		rtnl_request_add(request, type, &addr->v6.sin6_addr, 16);
	else
		rtnl_request_add(request, type, &addr->v4.sin_addr, 4);
}

int rtnl_route(uint32_t ifindex, const union addr *to, bool there)
{
	const bool v6 = to->any.sa_family == AF_INET6;
	const struct rtmsg route = {
		.rtm_family = (unsigned char)to->any.sa_family,
		.rtm_dst_len = v6 ? 128 : 32,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = v6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
	};
	struct rtnl_request request;

	rtnl_request_init(&request, there ? RTM_NEWROUTE : RTM_DELROUTE,
		there ? NLM_F_CREATE | NLM_F_EXCL : 0, &route, sizeof(route));
	add_address(&request, RTA_DST, to);
	rtnl_request_add(&request, RTA_OIF, &ifindex, sizeof(ifindex));
	return rtnl_request_run(&request);
}

int rtnl_neighbour(
	uint32_t ifindex, const union addr *addr, const uint8_t mac[static 6], bool there)
{
	const struct ndmsg neighbour = {.ndm_family = (unsigned char)addr->any.sa_family,
		.ndm_ifindex = (int)ifindex,
		.ndm_state = NUD_PERMANENT};
	struct rtnl_request request;

	rtnl_request_init(&request, there ? RTM_NEWNEIGH : RTM_DELNEIGH,
		there ? NLM_F_CREATE | NLM_F_REPLACE : 0, &neighbour, sizeof(neighbour));
	add_address(&request, NDA_DST, addr);
	rtnl_request_add(&request, NDA_LLADDR, mac, 6);
	return rtnl_request_run(&request);
}
