/*
 * The packet plane as the daemon sees it: loads the BPF programs, adopts or makes the pinned
 * maps, attaches the XDP program to interfaces, and takes everything away again. Owns every BPF
 * descriptor of the process. Control thread only, unless a header says otherwise.
 *
 * Where BPF cannot be had (no rights, no BTF, switched off) a dataplane is still returned: it is
 * inactive, says why, and every other call of this room is then a no-op that succeeds.
 */
#ifndef SLUICE_DATAPLANE_DATAPLANE_H
#define SLUICE_DATAPLANE_DATAPLANE_H

#include "core/attr.h"
#include "core/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sluice/gate.h>

#define DATAPLANE_PIN_DIR "/sys/fs/bpf/sluice"

enum {
	DATAPLANE_MAX_INTERFACES = 64,
	DATAPLANE_WHY_BYTES = 256,
};

/* What to try, or what was reached. AUTO: native, else generic. */
enum dataplane_mode {
	DATAPLANE_AUTO,
	DATAPLANE_NATIVE,
	DATAPLANE_GENERIC,
	DATAPLANE_NONE,
};

/* libxdp's dispatcher, through which several XDP programs share an interface. It costs a call per
 * packet and program, and anybody may take it off the interface; a program alone is held by a link
 * that only its owner can detach. So AUTO is alone where the interface is free, and joins a
 * dispatcher that is there. */
enum dataplane_dispatcher {
	DATAPLANE_DISPATCHER_AUTO,
	DATAPLANE_DISPATCHER_ALWAYS, /* make one where there is none, so that others can join */
	DATAPLANE_DISPATCHER_NEVER,  /* one that is there is somebody else's program: -EBUSY */
};

struct dataplane_interface_spec {
	const char *name;
	enum dataplane_mode mode;
	enum dataplane_dispatcher dispatcher;
};

struct dataplane_spec {
	bool enabled;        /* false: inactive from the start */
	const char *pin_dir; /* NULL: DATAPLANE_PIN_DIR */
	uint32_t workers;    /* 1 to SLUICE_MAX_WORKERS */
	enum handover
		handover; /* the most that may be used; what is reached: dp_handover_report() */
	uint32_t source_rows; /* power of two; 0: SLUICE_SOURCE_ROWS */
	const struct dataplane_interface_spec *interfaces;
	size_t interface_count;
	/* Another process is at work on pin_dir and gives it up: what it does is disturbed as little as
	 * can be until dataplane_taken(). `lock_fd` is its lock, and stays the caller's. */
	bool takes_over;
	int lock_fd;
};

struct dataplane_interface_report {
	char name[16];
	uint32_t ifindex; /* 0: there is no such interface now */
	enum dataplane_mode mode; /* NATIVE, GENERIC or NONE */
	bool dispatcher; /* attached through the dispatcher, maybe beside others */
	uint32_t prog_id; /* of our program; 0: none */
	bool adopted; /* taken over from an earlier process without a gap */
	char why[DATAPLANE_WHY_BYTES]; /* why not native; "" when there is nothing to say */
};

struct dataplane_report {
	bool active; /* programs are loaded and maps are there */
	bool maps_adopted;
	char why[DATAPLANE_WHY_BYTES]; /* why inactive */
	size_t interface_count;
	struct dataplane_interface_report interfaces[DATAPLANE_MAX_INTERFACES];
};

enum dataplane_stop {
	DATAPLANE_DETACH, /* orderly stop: detach and unpin */
	DATAPLANE_LEAVE, /* hand over to the next process: links and maps stay pinned */
};

struct dataplane;

/* Loads and attaches. Fails (-errno) only where the configuration is wrong or something else is
 * in the way that a person must decide about: another program on the interface (-EBUSY), another
 * daemon on the same pin_dir (-EADDRINUSE). Whatever the host cannot do is in the report instead. */
int dataplane_open(
	const struct dataplane_spec *spec, struct dataplane **ret_dp, struct err *err) must_check;
void dataplane_close(struct dataplane *dp, enum dataplane_stop stop);

/* --- from one process to the next */

/* The lock of pin_dir, to be shown to the process that takes over. -1: there is none. */
int dataplane_lock_fd(const struct dataplane *dp);
/* What is pinned now is another process's: this one lets go of it, and is inactive from here on. Rows
 * that workers look at stay where they are. */
void dataplane_retire(struct dataplane *dp);
/* It has not those of the process before, which had another layout. */
bool dataplane_has_own_maps(const struct dataplane *dp);
/* The other one did not come to it: programs and rows are this one's again. */
void dataplane_reclaim(struct dataplane *dp);
/* The process before serves no more, or is gone. What guards the node is its plane still where that has
 * another layout, until dataplane_settle(). */
void dataplane_taken(struct dataplane *dp);
/* Our workers run, and listeners and gate are known to the maps: ours are in force, and pinned. */
void dataplane_settle(struct dataplane *dp);

/* Changes the set of interfaces (reload): new ones are attached, missing ones detached. */
int dataplane_set_interfaces(struct dataplane *dp,
	const struct dataplane_interface_spec *interfaces, size_t count,
	struct err *err) must_check;
int dataplane_set_workers(struct dataplane *dp, uint32_t workers, struct err *err) must_check;

/* Call about every second: attaches again where an interface was deleted and came back, or where
 * somebody removed the link. Returns how many interfaces changed; what happened is logged. */
int dataplane_maintain(struct dataplane *dp);

void dataplane_report(const struct dataplane *dp, struct dataplane_report *ret_report);
bool dataplane_active(const struct dataplane *dp);
const char *dataplane_mode_name(enum dataplane_mode mode);
/* What a person reads: "native", "native (dispatcher)", "none". */
const char *dataplane_attachment_name(const struct dataplane_interface_report *interface);

/* Removes what a crashed daemon left under pin_dir (NULL: the default): links are detached, pins
 * removed. Needs no dataplane. -EADDRINUSE while a daemon runs on it. Returns how many pins went. */
int dataplane_purge(const char *pin_dir, struct err *err) must_check;

#endif
