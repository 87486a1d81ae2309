/*
 * What nftables of this network namespace could drop of packets that arrive: for telling a person
 * which chain is in the way. Reads, never changes. No state; any thread, but not a worker: the
 * kernel lists all of its rules.
 */
#ifndef SLUICE_NET_FIREWALL_H
#define SLUICE_NET_FIREWALL_H

#include "core/attr.h"
#include <stddef.h>

enum {
	FIREWALL_NAME_BYTES = 64,
	FIREWALL_CHAINS_MAX = 8, /* reported */
};

struct firewall_chain {
	char family[8]; /* "inet", "ip", "ip6" */
	char table[FIREWALL_NAME_BYTES];
	char name[FIREWALL_NAME_BYTES];
};

/* Chains that see arriving packets of the family (AF_INET, AF_INET6) and drop or reject some, by
 * policy or by a rule, their own or of a chain they jump to. Returns how many; none where the
 * kernel has no nftables. */
size_t firewall_droppers(int family, struct firewall_chain ret_chains[static FIREWALL_CHAINS_MAX]);

#endif
