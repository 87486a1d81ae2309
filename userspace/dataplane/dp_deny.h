/* Deny lists of the XDP program: whole lists, swapped at once. Control thread. */
#ifndef SLUICE_DATAPLANE_DP_DENY_H
#define SLUICE_DATAPLANE_DP_DENY_H

#include "core/err.h"
#include "core/slice.h"
#include "dataplane/dataplane.h"

struct dp_prefix {
	uint8_t addr[16]; /* network order; IPv4 in the first four bytes */
	uint8_t length_bits;
	bool v6;
};

/* "192.0.2.0/24", "2001:db8::/32", a bare address is /32 or /128. An IPv4-mapped IPv6 prefix of
 * /96 or longer becomes IPv4. Bits beyond the length must be zero (-EINVAL, the text names the
 * prefix that was probably meant). Any thread. */
int dp_prefix_parse(struct slice text, struct dp_prefix *ret_prefix, struct err *err) must_check;

/* Replaces both lists. Prefixes may repeat and cover each other. On error the old lists stay in
 * force. Takes about 10 ms; the packet path never sees half a list. */
int dp_deny_set(struct dataplane *dp, const struct dp_prefix *prefixes, size_t count,
	struct err *err) must_check;

#endif
