/*
 * The devices of this network namespace, as far as it matters to which addresses the kernel takes
 * frames: read from rtnetlink whole, and again after rtnetlink said that something changed.
 * One thread per object.
 */
#ifndef SLUICE_DATAPLANE_DP_LINKS_H
#define SLUICE_DATAPLANE_DP_LINKS_H

#include "core/attr.h"

#include <net/if.h>
#include <sluice/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dp_links;

/* -errno. They are as they were last read; see dp_links_refresh(). */
int dp_links_new(struct dp_links **ret_links) must_check;
void dp_links_free(struct dp_links *links); /* NULL: nothing */
/* Reads them where they changed since, or were never read. On failure (-errno) there are none, and
 * the next call tries again. */
int dp_links_refresh(struct dp_links *links) must_check;

/* The addresses that frames on this device may have for the kernel to take them as its own, its own
 * first. Returns how many; 0: not known (no Ethernet, no such device), or there is no room. */
size_t dp_links_macs(
	const struct dp_links *links, uint32_t ifindex, __u64 ret_macs[SLUICE_INTERFACE_MACS]);
/* Name of a VLAN device right on this one, NULL: there is none. */
const char *dp_links_vlan(const struct dp_links *links, uint32_t ifindex);

#endif
