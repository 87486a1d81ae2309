/* Requests to rtnetlink: see rtnl.h. */
#include "net/rtnl.h"

#include <assert.h>
#include <errno.h>
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
