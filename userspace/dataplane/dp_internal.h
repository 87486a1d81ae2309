/*
 * What the files of this room share; nobody else includes it. Control thread.
 *	dataplane.c      order of things: load, attach, close
 *	dp_load.c        objects and pinned maps
 *	dp_attach.c      interfaces and pinned links
 *	dp_dispatcher.c  interfaces shared with the XDP programs of others
 * and those of dp_parts.h.
 */
#ifndef SLUICE_DATAPLANE_DP_INTERNAL_H
#define SLUICE_DATAPLANE_DP_INTERNAL_H

#include "dataplane/dataplane.h"
#include "dataplane/dp_gate.h"

#include <limits.h>
#include <net/if.h>
#include <sluice/abi.h>

struct dp_links;
struct sluice_xdp_bpf;
struct sluice_reuseport_bpf;
struct sluice_release_bpf;

/* Places of an interface in `xsks` and `gate_slots`. */
struct dp_slots {
	uint32_t ifindex; /* they are of this one; 0: none are reserved */
	uint32_t first;
	uint32_t reserved; /* as many as it had receive queues */
	uint32_t used;
};

struct dp_interface {
	char name[IF_NAMESIZE];
	enum dataplane_mode wanted;
	enum dataplane_mode mode; /* reached */
	uint32_t ifindex;         /* it is attached to; 0: not attached */
	uint32_t
		tried_ifindex; /* of the last try, so that a refusal is not repeated every second */
	enum dataplane_dispatcher dispatcher;
	int link_fd; /* attached alone; -1: not */
	int member_fd; /* our program in the interface's dispatcher; -1: not */
	uint32_t dispatcher_id; /* its program, as we saw it last */
	bool adopted;
	bool ours; /* still in the set, while the set is being changed */
	uint32_t other_id; /* somebody else's program that is in the way; 0: none */
	char why[DATAPLANE_WHY_BYTES];
	int tc_link_fd; /* -1: not attached */
	char tc_why[DATAPLANE_WHY_BYTES];
	struct dp_slots slots;
	struct sluice_interface_slots
		row; /* as it stands in `interface_slots`; ifindex 0: nowhere */
};

struct dataplane {
	bool active;
	bool maps_adopted;
	char why[DATAPLANE_WHY_BYTES];
	char pin_dir[PATH_MAX - 64];
	int lock_fd;
	bool takes_over; /* until dataplane_taken(): another process is at work with the maps */
	bool is_aside; /* its maps are pinned beside those of that process, which are in force */
	uint32_t source_rows, workers_wanted;
	struct sluice_xdp_bpf *xdp;
	struct sluice_reuseport_bpf *reuseport;
	struct sluice_release_bpf *release; /* NULL: not loaded, release_why says why */
	char release_why[DATAPLANE_WHY_BYTES];
	int tun_link_fd; /* -1: none */
	enum handover wanted; /* by configuration: the most that may be used */
	enum handover most; /* what was found at run time allows no more */
	char most_why[DATAPLANE_WHY_BYTES];
	struct dp_handover_report handover;
	uint64_t slots_taken[SLUICE_GATE_SLOTS / 64];
	struct dp_links *links; /* NULL: not watched yet */
	bool links_failed; /* and that was logged */
	struct sluice_settings *settings; /* memory-mapped rows, NULL when inactive */
	struct sluice_worker *workers;
	bool lists_busy; /* a change of the lists was built and not freed; atomic */
	bool lists_unfenced; /* packets may be judged by the lists before; whoever changes lists */
	struct deny_hits *deny_hits; /* in force; NULL: not counted. Whoever changes lists */
	size_t interface_count;
	struct dp_interface interfaces[DATAPLANE_MAX_INTERFACES];
};

#include "dataplane/dp_parts.h"

/* dp_load.c */
/* Loads the objects, adopting pinned maps where they fit, and pins the others. */
int dp_load(struct dataplane *dp, struct err *err) must_check;
void dp_unload(struct dataplane *dp);
/* Removes every pin in pin_dir/maps; returns how many. */
int dp_maps_unpin(const char *pin_dir);
/* The same of those that were to take their place. */
int dp_maps_unpin_aside(const char *pin_dir);
/* Pins those that are not, or whose place another process's map has. */
void dp_maps_repin(struct dataplane *dp);

/* dp_attach.c */
/* Only -EBUSY (somebody else's program) is an error; everything else ends in interface->why. */
int dp_interface_attach(
	struct dataplane *dp, struct dp_interface *interface, struct err *err) must_check;
void dp_interface_release(
	struct dataplane *dp, struct dp_interface *interface, enum dataplane_stop stop);
/* Detaches and removes every link in pin_dir/links whose interface is not kept; NULL: all. */
int dp_links_remove(const char *pin_dir, const struct dataplane *keep);
bool dp_interface_attached(const struct dp_interface *interface);
/* Whether our program is not (any more) where it should be, or may now be where it could not. */
bool dp_interface_lost(struct dp_interface *interface);
/* Id of the program that the interface carries, 0: none (or not known). */
uint32_t dp_interface_prog_id(uint32_t ifindex);
/* What the link is attached to, 0 when it is detached; -errno. */
int dp_link_ifindex(int link_fd, uint32_t *ret_prog_id);

/* dp_dispatcher.c */
bool dp_dispatcher_is(uint32_t prog_id);
/* Joins the interface's dispatcher, or makes one; the caller owns the descriptor. The others go on
 * running, in the order of their priorities. Fails where the kernel refuses to replace functions. */
int dp_dispatcher_join(const struct dataplane *dp, uint32_t ifindex, enum dataplane_mode mode,
	int *ret_member_fd, char ret_why[DATAPLANE_WHY_BYTES]) must_check;
/* Takes our program out; the others stay. -ENOENT: it is not in the interface's dispatcher. */
int dp_dispatcher_leave(uint32_t ifindex, int member_fd);
/* The same on whichever interface it is. */
int dp_dispatcher_leave_any(int member_fd);
/* NATIVE or GENERIC while the interface's dispatcher has our program, else NONE. */
enum dataplane_mode dp_dispatcher_has(uint32_t ifindex, int member_fd);
/* Removes libxdp's pins of a dispatcher that is no longer attached. */
void dp_dispatcher_forget(uint32_t ifindex, uint32_t dispatcher_id);
uint32_t dp_program_id(int fd);
/* 0 where a program may replace a function of another one, which a dispatcher needs; -errno. */
int dp_dispatcher_possible(void);

/* An IPv4 address is stored mapped. -EAFNOSUPPORT for other families. */
int dp_address_split(const struct sockaddr_storage *address, __u32 ret_addr_be[4],
	__u16 *ret_port_be) must_check;
void dp_address_print(const struct sockaddr_storage *address, char ret_text[SLUICE_ADDRESS_BYTES]);

/* dp_deny.c: what the process keeps for the lists; the lists in the maps stay. */
void dp_lists_close(struct dataplane *dp);

#endif
