/*
 * What the files of this room share; nobody else includes it. Control thread.
 *	dataplane.c  order of things: load, attach, close
 *	dp_load.c    objects and pinned maps
 *	dp_attach.c  interfaces and pinned links
 */
#ifndef SLUICE_DATAPLANE_DP_INTERNAL_H
#define SLUICE_DATAPLANE_DP_INTERNAL_H

#include "dataplane/dataplane.h"

#include <limits.h>
#include <net/if.h>
#include <sluice/abi.h>

struct sluice_xdp_bpf;
struct sluice_reuseport_bpf;

struct dp_interface {
	char name[IF_NAMESIZE];
	enum dataplane_mode wanted;
	enum dataplane_mode mode; /* reached */
	uint32_t ifindex;         /* it is attached to; 0: not attached */
	uint32_t
		tried_ifindex; /* of the last try, so that a refusal is not repeated every second */
	int link_fd; /* -1: not attached */
	bool adopted;
	bool ours; /* still in the set, while the set is being changed */
	bool other; /* somebody else's program was there when we looked last */
	char why[DATAPLANE_WHY_BYTES];
};

struct dataplane {
	bool active;
	bool maps_adopted;
	char why[DATAPLANE_WHY_BYTES];
	char pin_dir[PATH_MAX - 64];
	int lock_fd;
	uint32_t source_rows;
	struct sluice_xdp_bpf *xdp;
	struct sluice_reuseport_bpf *reuseport;
	struct sluice_settings *settings; /* memory-mapped rows, NULL when inactive */
	struct sluice_worker *workers;
	size_t interface_count;
	struct dp_interface interfaces[DATAPLANE_MAX_INTERFACES];
};

/* dp_load.c */
/* Makes pin_dir and its folders and takes the lock. -EADDRINUSE: another daemon holds it. */
int dp_pins_open(struct dataplane *dp, struct err *err) must_check;
int dp_pins_lock(const char *pin_dir, int *ret_fd, struct err *err) must_check;
/* Loads both objects, adopting pinned maps where they fit, and pins the others. */
int dp_load(struct dataplane *dp, struct err *err) must_check;
void dp_unload(struct dataplane *dp);
/* Removes every pin in pin_dir/maps; returns how many. */
int dp_maps_unpin(const char *pin_dir);

/* dp_attach.c */
/* Only -EBUSY (somebody else's program) is an error; everything else ends in interface->why. */
int dp_interface_attach(
	struct dataplane *dp, struct dp_interface *interface, struct err *err) must_check;
void dp_interface_release(
	struct dataplane *dp, struct dp_interface *interface, enum dataplane_stop stop);
/* Detaches and removes every link in pin_dir/links whose interface is not kept; NULL: all. */
int dp_links_remove(const char *pin_dir, const struct dataplane *keep);
/* Id of the program that the interface carries, 0: none (or not known). */
uint32_t dp_interface_prog_id(uint32_t ifindex);
/* What the link is attached to, 0 when it is detached; -errno. */
int dp_link_ifindex(int link_fd, uint32_t *ret_prog_id);

/* An IPv4 address is stored mapped. -EAFNOSUPPORT for other families. */
int dp_address_split(const struct sockaddr_storage *address, __u32 ret_addr_be[4],
	__u16 *ret_port_be) must_check;
void dp_address_print(const struct sockaddr_storage *address, char ret_text[SLUICE_ADDRESS_BYTES]);

#endif
