/*
 * Requests to rtnetlink, built in place: settings of a link, a route. For where /proc/sys may be
 * read-only and no command can be run. No state; any thread.
 */
#ifndef SLUICE_NET_RTNL_H
#define SLUICE_NET_RTNL_H

#include "core/attr.h"
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

struct rtnl_request {
	struct nlmsghdr header;
	uint8_t body[320]; /* the fixed part, then attributes */
};

/* `fixed` is the struct ifinfomsg, rtmsg, ... that goes with the type (RTM_SETLINK, ...). */
void rtnl_request_init(
	struct rtnl_request *request, uint16_t type, uint16_t flags, const void *fixed, size_t len);
/* Returns the attribute; one that others are put into is added with len 0 and ended. */
struct rtattr *rtnl_request_add(
	struct rtnl_request *request, uint16_t type, const void *value, size_t len);
void rtnl_request_end(struct rtnl_request *request, struct rtattr *nested);
/* Sends it and waits for the kernel's word: 0 or -errno. */
int rtnl_request_run(const struct rtnl_request *request) must_check;

#endif
