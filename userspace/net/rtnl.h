/*
 * Requests to rtnetlink, built in place: settings of a link, a route, a neighbour. For where
 * /proc/sys may be read-only and no command can be run. No state; any thread.
 */
#ifndef SLUICE_NET_RTNL_H
#define SLUICE_NET_RTNL_H

#include "core/attr.h"
#include "net/addr.h"
#include <linux/rtnetlink.h>
#include <stdbool.h>
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

/* A route of that one address (its port does not matter) to the interface, or no longer. -EEXIST:
 * there is one. */
int rtnl_route(uint32_t ifindex, const union addr *to, bool there) must_check;
/* Who has that address on an Ethernet interface, so that nobody is asked; or no longer. */
int rtnl_neighbour(uint32_t ifindex, const union addr *addr, const uint8_t mac[static 6],
	bool there) must_check;

#endif
