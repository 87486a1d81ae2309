/*
 * What each thread may still do, should somebody else get hold of it: its capabilities, and the calls of
 * the kernel that it can make. Threads belong to a role (confine_roles in confine.c); the process gives
 * up at its start what no role needs, and a thread what its own does not. Nothing is ever given back.
 *
 * confine_process() is for the first thread, before there are others; without it confine_thread()
 * does nothing. Then any thread, for itself.
 */
#ifndef SLUICE_CORE_CONFINE_H
#define SLUICE_CORE_CONFINE_H

#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum confine_role {
	CONFINE_CONTROL, /* attaches programs, makes devices and AF_XDP sockets, starts the others */
	CONFINE_WATCHDOG, /* ends for the control thread what that one does not */
	CONFINE_LOADER, /* reads files, binds listeners, makes the maps of lists, runs commands */
	CONFINE_LOG, /* writes files */
	CONFINE_TOKEN, /* is in somebody's library, for keys */
	CONFINE_NAMES, /* reads the answers of DNS servers */
	CONFINE_WORKER, /* reads what clients send */
	CONFINE_ROLES
};

/* What becomes of a call that is not among those of the role. In the order of config_confinement. */
enum confine_calls {
	CONFINE_CALLS_ENFORCE, /* it fails with EPERM, and the kernel's audit log has it */
	CONFINE_CALLS_LOG, /* it is made, and the audit log has it */
	CONFINE_CALLS_OFF,
};

/* Nobody gets more rights by running something (no_new_privs), and capabilities that no role has go,
 * here and in the bounding set. `joins_dispatcher`: the control thread may have to look at
 * other people's BPF programs, for which it keeps CAP_SYS_ADMIN if it has it. */
int confine_process(bool joins_dispatcher, struct err *err) must_check;

/* Of the process, and of threads that come later: confine_thread() does the rest. `has_libraries`: workers
 * run what others have written, and may make the calls that all may make. */
int confine_calls(enum confine_calls calls, bool has_libraries, struct err *err) must_check;

/* Aborts where the kernel refuses to take rights away: that cannot be. */
void confine_thread(enum confine_role role);

/* Runs `run` on a thread of that role, and waits for it: for what makes threads of its own. */
int confine_run(enum confine_role role, void (*run)(void *arg), void *arg) must_check;

/* --- for people */
enum { CONFINE_TEXT_BYTES = 256 };

/* Of those that sluiced is meant to have: "net_admin bpf", or "none". */
const char *confine_missing(char text[static CONFINE_TEXT_BYTES]);
/* What this thread has, of all there are: the same form. */
const char *confine_held(char text[static CONFINE_TEXT_BYTES]);
/* False: why this kernel, or this build, cannot filter calls. */
bool confine_can_filter(const char **ret_why);

#endif
